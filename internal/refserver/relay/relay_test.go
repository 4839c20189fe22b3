package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// oneWorker is a Relay and the Hub of its only worker.
type oneWorker struct {
	*Relay
	*Hub
}

func newWorker(t testing.TB, o Options) oneWorker {
	t.Helper()
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return oneWorker{r, r.NewHub(t.Context())}
}

// joiner is a Hub, or what has one.
type joiner interface {
	Join(ctx context.Context, room string) (*Peer, error)
}

func join(t testing.TB, h joiner, room string) *Peer {
	t.Helper()
	p, err := h.Join(t.Context(), room)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func publish(t testing.TB, p *Peer, payload []byte) {
	t.Helper()
	if err := p.Publish(websocket.BinaryMessage, payload); err != nil {
		t.Fatal(err)
	}
}

// pop takes the oldest message of a peer's queue; nil where it is empty. No connection
// is there to write it.
func pop(p *Peer) *message {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.queue.length == 0 {
		return nil
	}
	return p.queue.pop()
}

// balance fails where a delivery is in no place, or in two.
func balance(t testing.TB, st Stats) {
	t.Helper()
	if sum := st.Written + st.DroppedOldest + st.DroppedSlow + st.DroppedLeft + st.Pending; st.Offered != sum {
		t.Errorf("offered %d, accounted for %d: %+v", st.Offered, sum, st)
	}
	if sum := st.Offered + st.Split + st.Broker.GapDeliveries; st.RoomOwed != sum {
		t.Errorf("owed %d, accounted for %d: %+v", st.RoomOwed, sum, st)
	}
}

func TestOptions(t *testing.T) {
	o, err := Options{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if o.QueueMessages != 256 || o.QueueBytes != 4<<20 || o.MaxMessage != 1<<20 || o.Slow != SlowClose {
		t.Errorf("defaults are %+v", o)
	}
	_, err = New(Options{QueueMessages: -1, QueueBytes: -1, WriteTimeout: -1, PingInterval: time.Hour, Slow: 7})
	if err == nil {
		t.Fatal("bad options were taken")
	}
	for _, field := range []string{"QueueMessages", "QueueBytes", "WriteTimeout", "PingInterval", "Slow"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("error %q does not name %s", err, field)
		}
	}
}

func TestSlowRuleText(t *testing.T) {
	for _, rule := range []SlowRule{SlowClose, SlowDropOldest} {
		text, err := rule.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back SlowRule
		if err := back.UnmarshalText(text); err != nil || back != rule {
			t.Errorf("%q came back as %v, %v", text, back, err)
		}
	}
	var rule SlowRule
	if err := rule.UnmarshalText([]byte("wait")); err == nil || !strings.Contains(err.Error(), "drop-oldest") {
		t.Errorf("unknown rule: error %v does not say what is known", err)
	}
	if _, err := SlowRule(9).MarshalText(); err == nil {
		t.Error("an unknown rule has a text form")
	}
}

func TestRoomsComeAndGo(t *testing.T) {
	h := newWorker(t, Options{})
	var peers []*Peer
	for i := range 200 {
		peers = append(peers, join(t, h, fmt.Sprint("room ", i%50)))
	}
	if st := h.Stats(); st.Rooms != 50 || st.Peers != 200 {
		t.Fatalf("%d rooms, %d peers", st.Rooms, st.Peers)
	}
	for i, p := range peers {
		p.Leave()
		p.Leave()
		if st := h.Stats(); st.Peers != 199-i {
			t.Fatalf("%d peers after %d left", st.Peers, i+1)
		}
	}
	for i := range h.shards {
		if n := len(h.shards[i].rooms); n != 0 {
			t.Errorf("shard %d remembers %d rooms", i, n)
		}
	}
}

// A peer gets what others publish after it has joined, in each sender's order,
// whoever joins and leaves meanwhile.
func TestOrderWhileOthersComeAndGo(t *testing.T) {
	const senders, each = 4, 2000
	h := newWorker(t, Options{QueueMessages: senders * each})
	receiver := join(t, h, "r")
	defer receiver.Leave()
	var tasks sync.WaitGroup
	for s := range senders {
		p := join(t, h, "r")
		tasks.Go(func() {
			defer p.Leave()
			for i := range each {
				if err := p.Publish(websocket.TextMessage, []byte{byte(s), byte(i >> 8), byte(i)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	tasks.Go(func() {
		for range 500 {
			p, err := h.Join(t.Context(), "r")
			if err != nil {
				t.Error(err)
				return
			}
			p.Leave()
		}
	})
	tasks.Wait()

	var next [senders]int
	got := 0
	for m := pop(receiver); m != nil; m = pop(receiver) {
		receiver.counters().written.Add(1)
		payload := frameOf(t, m)
		payload = payload[len(payload)-m.size:]
		sender, seq := payload[0], int(payload[1])<<8|int(payload[2])
		if seq != next[sender] {
			t.Fatalf("message %d of sender %d came where %d was due", seq, sender, next[sender])
		}
		next[sender]++
		got++
	}
	if got != senders*each {
		t.Errorf("got %d of %d", got, senders*each)
	}
	receiver.Leave()
	st := h.Stats()
	balance(t, st)
	if st.Received != senders*each || st.Pending != 0 {
		t.Errorf("%+v", st)
	}
}

// frameOf returns the bytes a client connection would be sent for m.
func frameOf(t *testing.T, m *message) []byte {
	t.Helper()
	conn := new(recorder)
	if err := websocketOver(conn).WritePreparedMessage(m.frame); err != nil {
		t.Fatal(err)
	}
	return conn.Bytes()
}

// The queue is a queue, under any order of pushes and pops and both rules.
func TestQueueModel(t *testing.T) {
	ctx := t.Context()
	rapid.Check(t, func(t *rapid.T) {
		o := Options{
			QueueMessages: rapid.IntRange(1, 9).Draw(t, "messages"),
			QueueBytes:    rapid.IntRange(1, 40).Draw(t, "bytes"),
			Slow:          rapid.SampledFrom([]SlowRule{SlowClose, SlowDropOldest}).Draw(t, "rule"),
		}
		h, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		p, err := h.NewHub(ctx).Join(ctx, "r")
		if err != nil {
			t.Fatal(err)
		}
		defer p.Leave()
		var model []*message
		closed := false
		var oldest, slow uint64
		size := func() (n int) {
			for _, m := range model {
				n += m.size
			}
			return n
		}
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				m := &message{size: rapid.IntRange(0, 50).Draw(t, "size")}
				p.push(m)
				for !closed && len(model) > 0 && (len(model) >= o.QueueMessages || size()+m.size > o.QueueBytes) {
					if o.Slow == SlowClose {
						slow += uint64(len(model))
						closed, model = true, nil
						break
					}
					model = model[1:]
					oldest++
				}
				if closed {
					slow++
				} else {
					model = append(model, m)
				}
			},
			"pop": func(t *rapid.T) {
				m := pop(p)
				switch {
				case len(model) > 0:
					if m != model[0] {
						t.Fatalf("popped %p, want %p", m, model[0])
					}
					model = model[1:]
				case m != nil || (p.end != nil) != closed:
					t.Fatalf("popped %v from an empty queue (ended %v, closed %v)", m, p.end, closed)
				}
			},
			"": func(t *rapid.T) {
				st := h.Stats()
				if p.queue.length != len(model) || p.queue.bytes != size() || len(p.queue.ring) > o.QueueMessages {
					t.Fatalf("%d messages of %d bytes in a ring of %d, want %d of %d", p.queue.length, p.queue.bytes, len(p.queue.ring), len(model), size())
				}
				if st.DroppedOldest != oldest || st.DroppedSlow != slow || (st.SlowClosed == 1) != closed {
					t.Fatalf("counted %+v, want %d oldest, %d slow, closed %v", st, oldest, slow, closed)
				}
			},
		})
	})
}

func TestDropOldestIsCountedExactly(t *testing.T) {
	h := newWorker(t, Options{QueueMessages: 10, Slow: SlowDropOldest})
	sender, receiver := join(t, h, "r"), join(t, h, "r")
	defer sender.Leave()
	defer receiver.Leave()
	for i := range 1000 {
		publish(t, sender, []byte(fmt.Sprintf("%03d", i)))
	}
	st := h.Stats()
	if st.DroppedOldest != 990 || st.Pending != 10 || st.SlowClosed != 0 {
		t.Errorf("%+v", st)
	}
	m := pop(receiver)
	if frame := frameOf(t, m); !bytes.HasSuffix(frame, []byte("990")) {
		t.Errorf("the oldest message left is %q", frame)
	}
	receiver.counters().written.Add(1)
	balance(t, h.Stats())
}

func TestSlowPeerIsNamed(t *testing.T) {
	var log bytes.Buffer
	h := newWorker(t, Options{QueueMessages: 4, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	sender, slow := join(t, h, "kitchen"), join(t, h, "kitchen")
	defer sender.Leave()
	defer slow.Leave()
	for range 20 {
		publish(t, sender, []byte("x"))
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d log lines for one slow peer:\n%s", n, &log)
	}
	for _, want := range []string{"level=WARN", "room=kitchen", fmt.Sprint("peer=", slow.ID()), "queued=4"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log %q lacks %s", &log, want)
		}
	}
	st := h.Stats()
	balance(t, st)
	if st.SlowClosed != 1 || st.DroppedSlow != 20 {
		t.Errorf("%+v", st)
	}
}

func TestShutdownOfPeersNotYetServed(t *testing.T) {
	h := newWorker(t, Options{})
	p := join(t, h, "r")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- h.Shutdown(ctx) }()
	<-ctx.Done()
	select {
	case err := <-done:
		t.Fatalf("Shutdown returned %v with a peer left", err)
	default:
	}
	if _, err := h.Join(t.Context(), "r"); !errors.Is(err, ErrClosed) {
		t.Errorf("Join during Shutdown: %v", err)
	}
	p.Leave()
	if err := <-done; err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	if err := h.Shutdown(t.Context()); err != nil {
		t.Errorf("second Shutdown: %v", err)
	}
}
