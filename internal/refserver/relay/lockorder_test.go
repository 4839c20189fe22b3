package relay

import (
	"fmt"
	"hash/maphash"
	"sync"
	"testing"
	"time"
)

// sibling is the name of another room on the same shard.
func sibling(r *Relay, room string) string {
	for i := 0; ; i++ {
		name := fmt.Sprint("sibling ", i)
		if maphash.String(r.seed, name)%shardCount == maphash.String(r.seed, room)%shardCount {
			return name
		}
	}
}

// Rooms that come and go, messages from the broker to a room whose members change, and
// a connection that is made again: all at once, and none waits for another for good.
// No server is needed for it.
func TestRedisLockOrder(t *testing.T) {
	r, err := New(Options{Broker: "redis://127.0.0.1:1", Slow: SlowDropOldest})
	if err != nil {
		t.Fatal(err)
	}
	b, ok := r.broker.(*redis)
	if !ok {
		t.Fatalf("the broker is a %T", r.broker)
	}
	b.disconnected() // all rooms are late, and no Join waits
	h := r.NewHub(t.Context())
	member := join(t, h, "r")
	s, ok := member.part.room.channel.(*stay)
	if !ok {
		t.Fatalf("the channel is a %T", member.part.room.channel)
	}

	const rounds = 20_000
	var all sync.WaitGroup
	comeAndGo := func(room string) {
		for range rounds {
			p, err := h.Join(t.Context(), room)
			if err != nil {
				t.Error(err)
				return
			}
			p.Leave()
		}
	}
	all.Go(func() { comeAndGo("r") })             // its members have to be looked up anew
	all.Go(func() { comeAndGo(sibling(r, "r")) }) // it is opened and left under the shard's lock
	all.Go(func() {
		for range rounds {
			b.all()
		}
	})
	all.Go(func() {
		for number := range uint64(rounds) {
			s.hear(&envelope{kind: kindText, origin: origin{b.process + 1, 1}, number: number + 1})
		}
	})
	done := make(chan struct{})
	go func() {
		all.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("they wait for each other")
	}
	if got := r.Stats().Broker.Received; got != rounds {
		t.Errorf("%d messages came of %d", got, rounds)
	}
	member.Leave()
	balance(t, r.Stats())
}
