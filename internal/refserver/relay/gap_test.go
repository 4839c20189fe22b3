package relay

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgeload/edgeload/internal/service"
)

// talk has everyone publish, 500 messages a second in all, until stop is called, which
// returns how many it were.
func (h *house) talk(t testing.TB) (stop func() int) {
	ctx, cancel := context.WithCancel(t.Context())
	var sent atomic.Int64
	var all sync.WaitGroup
	for _, p := range h.peers {
		all.Go(func() {
			tick := time.NewTicker(time.Duration(len(h.peers)) * 2 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				if err := p.Publish(websocket.TextMessage, []byte("x")); err != nil {
					t.Error(err)
				}
				sent.Add(1)
			}
		})
	}
	t.Cleanup(func() { cancel(); all.Wait() })
	return func() int {
		cancel()
		all.Wait()
		return int(sent.Load())
	}
}

const aWhile = 300 * time.Millisecond

// The server is killed and comes back: what was published between is lost and
// counted, for each who has missed it, and nothing else is.
func TestRedisOutageIsCountedExactly(t *testing.T) {
	server := service.StartRedis(t)
	h := newHouse(t, 2, Options{Broker: server.URL, QueueMessages: 1 << 20})
	awaitConnected(t, h.all...)

	stop := h.talk(t)
	time.Sleep(aWhile)
	before := stop()
	h.expect(t, before)
	if h.gaps() != 0 {
		t.Fatalf("%d deliveries missed before the outage", h.gaps())
	}

	stop = h.talk(t)
	time.Sleep(aWhile)
	server.Kill(t)
	time.Sleep(aWhile)
	server.Start(t)
	time.Sleep(aWhile)
	awaitConnected(t, h.all...)
	during := stop()
	h.expect(t, before+during)
	missed := h.gaps()
	if missed == 0 {
		t.Error("nothing was missed in an outage")
	}
	received := h.waiting()

	h.publishAll(t, 20)
	h.expect(t, before+during+40*20)
	if got := h.waiting() - received; got != 40*20*39 || h.gaps() != missed {
		t.Errorf("after the outage %d received and %d missed, want %d and none", got, h.gaps()-missed, 40*20*39)
	}
	for _, r := range h.all {
		if b := r.Stats().Broker; b.Reconnects != 1 || b.PublishFailed == 0 || b.GapMessages == 0 {
			t.Errorf("%+v", b)
		}
	}
	t.Logf("%d messages published, %d deliveries received, %d missed", before+during+40*20, h.waiting(), missed)
}

// A tail: nothing is published after the outage.
func TestRedisGapAtTheEndIsCounted(t *testing.T) {
	server := service.StartRedis(t)
	h := newHouse(t, 2, Options{Broker: server.URL})
	h.publishAll(t, 1)
	h.expect(t, 40)
	server.Kill(t)
	for _, r := range h.all {
		await(t, "the outage", func() bool { return !r.Stats().Broker.Connected }, func() any { return r.Stats() })
	}
	h.publishAll(t, 3)
	server.Start(t)
	h.expect(t, 40*4)
	if h.gaps() != 40*3*39 {
		t.Errorf("%d deliveries missed, want %d", h.gaps(), 40*3*39)
	}
}

// Everyone joins, and publishes, while there is no server.
func TestRedisGapAtTheBeginningIsCounted(t *testing.T) {
	server := service.StartRedis(t)
	server.Kill(t)
	h := newHouse(t, 2, Options{Broker: server.URL})
	for i, log := range h.logs {
		await(t, "the broker to be away for publishing", func() bool { return strings.Contains(log.String(), "publishing=") }, func() any { return h.logs[i] })
	}
	h.publishAll(t, 2)
	server.Start(t)
	h.expect(t, 40*2)
	awaitConnected(t, h.all...)
	h.publishAll(t, 2)
	h.expect(t, 40*4)
	if h.gaps() != 40*2*39 {
		t.Errorf("%d deliveries missed, want %d", h.gaps(), 40*2*39)
	}
}

// One who leaves during an outage tells what it has said when the server is back.
func TestRedisGapOfOneWhoHasLeft(t *testing.T) {
	server := service.StartRedis(t)
	a, _ := startProcess(t, Options{Broker: server.URL})
	b, _ := startProcess(t, Options{Broker: server.URL})
	speaker, listener := join(t, a.NewHub(t.Context()), "r"), join(t, b.NewHub(t.Context()), "r")
	defer listener.Leave()
	publish(t, speaker, []byte("x"))
	await(t, "the message", func() bool { return pop(listener) != nil }, func() any { return b.Stats() })
	server.Kill(t)
	await(t, "the outage", func() bool { return !a.Stats().Broker.Connected }, func() any { return a.Stats() })
	for range 5 {
		publish(t, speaker, []byte("x"))
	}
	speaker.Leave()
	server.Start(t)
	await(t, "the gap", func() bool { return b.Stats().Broker.GapDeliveries == 5 }, func() any { return b.Stats() })
}

// One who leaves while only the others' connections are broken tells them, too.
func TestRedisGapOfOneWhoLeftUnheard(t *testing.T) {
	server := service.StartRedis(t)
	a, _ := startProcess(t, Options{Broker: server.URL})
	b, _ := startProcess(t, Options{Broker: server.URL})
	hub := a.NewHub(t.Context())
	listener := join(t, b.NewHub(t.Context()), "r")
	defer listener.Leave()
	for range 20 {
		speaker := join(t, hub, "r")
		awaitConnected(t, a, b)
		before := b.Stats().Broker
		publish(t, speaker, []byte("x"))
		await(t, "the message", func() bool { return b.Stats().Broker.Received == before.Received+1 }, func() any { return b.Stats() })
		do(t, server.URL, "CLIENT", "KILL", "TYPE", "pubsub")
		publish(t, speaker, []byte("x"))
		publish(t, speaker, []byte("x"))
		speaker.Leave()
		await(t, "each to be received or missed", func() bool {
			now := b.Stats().Broker
			return now.Received-before.Received+now.GapMessages-before.GapMessages == 3
		}, func() any { return b.Stats() })
	}
}

// One of the two kinds of connection breaks, or the server answers nothing for longer
// than is waited for: what it does afterwards with what it was sent is not known, and
// the count is exact all the same.
func TestRedisHalfAnOutageIsCountedExactly(t *testing.T) {
	for name, command := range map[string][]string{
		"publishing":  {"CLIENT", "KILL", "TYPE", "normal"},
		"subscribing": {"CLIENT", "KILL", "TYPE", "pubsub"},
		"paused":      {"CLIENT", "PAUSE", "700", "ALL"},
	} {
		t.Run(name, func(t *testing.T) {
			server := service.StartRedis(t)
			h := newHouse(t, 2, Options{Broker: server.URL, QueueMessages: 1 << 20, Redis: RedisOptions{Timeout: 200 * time.Millisecond}})
			awaitConnected(t, h.all...)
			stop := h.talk(t)
			sent := 0
			for range 3 {
				time.Sleep(aWhile)
				do(t, server.URL, command...)
			}
			time.Sleep(aWhile)
			awaitConnected(t, h.all...)
			sent += stop()
			h.expect(t, sent)
			missed := h.gaps()
			h.publishAll(t, 5)
			h.expect(t, sent+40*5)
			if h.gaps() != missed {
				t.Errorf("%d deliveries missed afterwards", h.gaps()-missed)
			}
			t.Logf("%d messages published, %d deliveries received, %d missed", sent, h.waiting(), missed)
		})
	}
}

// A member joins, and leaves, in its own time while the server is away.
func TestRedisJoinDuringAnOutage(t *testing.T) {
	server := service.StartRedis(t)
	r, _ := startProcess(t, Options{Broker: server.URL})
	hub := r.NewHub(t.Context())
	p := join(t, hub, "r")
	defer p.Leave()
	server.Kill(t)
	await(t, "the outage", func() bool { return !r.Stats().Broker.Connected }, func() any { return r.Stats() })
	start := time.Now()
	q, other := join(t, hub, "r"), join(t, hub, "another")
	defer other.Leave()
	for range 1000 {
		publish(t, q, []byte("x"))
	}
	q.Leave()
	if took := time.Since(start); took > time.Second {
		t.Errorf("it took %v", took)
	}
	server.Start(t)
	await(t, "two subscriptions", func() bool { return r.Stats().Broker.Subscriptions == 2 }, func() any { return r.Stats() })
	// The only member that is left has missed them all; q is one that came and went.
	await(t, "the gap", func() bool { return r.Stats().Broker.GapMessages == 1000 }, func() any { return r.Stats() })
}
