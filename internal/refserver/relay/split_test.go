package relay

import (
	"context"
	"fmt"
	"testing"

	"github.com/gorilla/websocket"
	"pgregory.net/rapid"
)

// Each message reaches the part of its room in its sender's worker, and the others
// are counted, whoever joins and leaves, in whatever worker.
func TestSplitModel(t *testing.T) {
	ctx := t.Context()
	rapid.Check(t, func(t *rapid.T) {
		const workers = 4
		r, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		var hubs [workers]*Hub
		for i := range hubs {
			hubs[i] = r.NewHub(ctx)
		}
		type member struct {
			*Peer
			worker int
			room   string
		}
		var members []member
		defer func() {
			for _, m := range members {
				m.Leave()
			}
		}()
		var owed, offered, split uint64
		t.Repeat(map[string]func(*rapid.T){
			"join": func(t *rapid.T) {
				m := member{worker: rapid.IntRange(0, workers-1).Draw(t, "worker"), room: fmt.Sprint(rapid.IntRange(0, 2).Draw(t, "room"))}
				if m.Peer, err = hubs[m.worker].Join(ctx, m.room); err != nil {
					t.Fatal(err)
				}
				members = append(members, m)
			},
			"leave": func(t *rapid.T) {
				if len(members) == 0 {
					t.Skip("nobody is there")
				}
				i := rapid.IntRange(0, len(members)-1).Draw(t, "who")
				members[i].Leave()
				members = append(members[:i], members[i+1:]...)
			},
			"publish": func(t *rapid.T) {
				if len(members) == 0 {
					t.Skip("nobody is there")
				}
				from := rapid.SampledFrom(members).Draw(t, "who")
				for _, m := range members {
					switch {
					case m.Peer == from.Peer || m.room != from.room:
						continue
					case m.worker == from.worker:
						offered++
					default:
						split++
					}
					owed++
				}
				if err := from.Publish(websocket.TextMessage, []byte("x")); err != nil {
					t.Fatal(err)
				}
			},
			"": func(t *rapid.T) {
				st := r.Stats()
				if st.RoomOwed != owed || st.Offered != offered || st.Split != split || st.Peers != len(members) {
					t.Fatalf("%+v; want %d owed, %d offered, %d split, %d peers", st, owed, offered, split, len(members))
				}
			},
		})
	})
}

// A room of 40, ten in each of four workers: a message reaches 9 of 39.
func TestSplitOfFourWorkers(t *testing.T) {
	r, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	var hubs []*Hub
	for range 4 {
		hubs = append(hubs, r.NewHub(t.Context()))
	}
	var peers []*Peer
	for i := range 40 {
		p := join(t, hubs[i%4], "r")
		defer p.Leave()
		peers = append(peers, p)
	}
	for _, p := range peers {
		publish(t, p, []byte("x"))
	}
	st := r.Stats()
	if st.RoomOwed != 40*39 || st.Offered != 40*9 || st.Split != 40*30 {
		t.Errorf("%+v", st)
	}
	for i, p := range peers {
		if p.queue.length != 9 {
			t.Errorf("peer %d has %d messages, want 9", i, p.queue.length)
		}
	}
}

// A worker's end is that of its part of a room; the counters stay.
func TestPartEndsWithItsWorker(t *testing.T) {
	r, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, kill := context.WithCancel(t.Context())
	dying, other := r.NewHub(ctx), r.NewHub(t.Context())
	victim, left := join(t, dying, "r"), join(t, other, "r")
	publish(t, victim, []byte("x"))
	kill()
	for dead := false; !dead; { // what context.AfterFunc starts is soon there
		victim.mu.Lock()
		dead = victim.aborted
		victim.mu.Unlock()
	}
	if p, err := dying.Join(t.Context(), "r"); err == nil {
		p.Leave()
		t.Error("a dead worker took a peer")
	}
	victim.Leave()
	publish(t, left, []byte("x"))
	if st := r.Stats(); st.RoomOwed != 1 || st.Split != 1 || st.Peers != 1 || st.Received != 2 {
		t.Errorf("%+v", st)
	}
	left.Leave()
}

// A message to a room that is split allocates what one to a room that is not does.
func TestSplitAllocatesNothing(t *testing.T) {
	payload := make([]byte, 256)
	measure := func(workers int) float64 {
		r, err := New(Options{Slow: SlowDropOldest, QueueMessages: 1})
		if err != nil {
			t.Fatal(err)
		}
		var sender *Peer
		for w := range workers {
			hub := r.NewHub(t.Context())
			for range 10 {
				p := join(t, hub, "r")
				defer p.Leave()
				if w == 0 {
					sender = p
				}
			}
		}
		publish(t, sender, payload)
		return testing.AllocsPerRun(100, func() { publish(t, sender, payload) })
	}
	if whole, split := measure(1), measure(4); split > whole {
		t.Errorf("%v allocations, %v where the room is whole", split, whole)
	}
}
