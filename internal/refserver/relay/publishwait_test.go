package relay

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgeload/edgeload/internal/service"
)

// A full queue makes the sender wait: for a place, for the broker to be away, or for
// PublishWait, after which the message is lost and counted. Nobody publishes here.
func TestPublishWait(t *testing.T) {
	const wait = 700 * time.Millisecond
	// waited is how long one more message takes where the queue has no place for it,
	// while meanwhile happens after half of PublishWait.
	waited := func(t *testing.T, o RedisOptions, first []string, meanwhile func(*outbox)) (time.Duration, BrokerStats) {
		t.Helper()
		o.PublishWait = wait
		r, err := New(Options{Broker: "redis://127.0.0.1:1", Redis: o})
		if err != nil {
			t.Fatal(err)
		}
		b, ok := r.broker.(*redis)
		if !ok {
			t.Fatalf("the broker is a %T", r.broker)
		}
		p, err := r.NewHub(t.Context()).add("r", false) // Join would wait for the subscription
		if err != nil {
			t.Fatal(err)
		}
		defer p.Leave()
		start := time.Now()
		for _, payload := range first {
			p.Publish(websocket.TextMessage, []byte(payload))
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("%d messages that have a place took %v", len(first), took)
		}
		var other sync.WaitGroup
		other.Go(func() {
			time.Sleep(wait / 2)
			meanwhile(b.outbox)
		})
		p.Publish(websocket.TextMessage, []byte("one more"))
		took := time.Since(start)
		other.Wait()
		return took, r.Stats().Broker
	}
	few := RedisOptions{QueueMessages: 3}
	for name, tc := range map[string]struct {
		options   RedisOptions
		first     []string
		meanwhile func(*outbox)
		took      time.Duration
		failed    uint64
	}{
		"there is a place":       {few, []string{"1", "2"}, func(*outbox) {}, 0, 0},
		"messages, no place":     {few, []string{"1", "2", "3"}, func(*outbox) {}, wait, 1},
		"bytes, no place":        {RedisOptions{QueueBytes: envelopeHeader + 10}, []string{"1"}, func(*outbox) {}, wait, 1},
		"a place in time":        {few, []string{"1", "2", "3"}, func(o *outbox) { o.take() }, wait / 2, 0},
		"away meanwhile: all go": {few, []string{"1", "2", "3"}, (*outbox).away, wait / 2, 4},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				took, st := waited(t, tc.options, tc.first, tc.meanwhile)
				if took != tc.took || st.PublishFailed != tc.failed {
					t.Errorf("it took %v and %d messages are lost, want %v and %d", took, st.PublishFailed, tc.took, tc.failed)
				}
			})
		})
	}
}

// The server answers nothing for a while, not long enough to count as away: what finds
// no place is lost, and each message is published or counted, received or missed.
func TestRedisFullQueueIsCountedExactly(t *testing.T) {
	server := service.StartRedis(t)
	h := newHouse(t, 2, Options{
		Broker: server.URL, QueueMessages: 1 << 20,
		Redis: RedisOptions{QueueMessages: 16, PublishWait: 20 * time.Millisecond, Timeout: time.Minute},
	})
	awaitConnected(t, h.all...)
	h.publishAll(t, 1)
	h.expect(t, 40)
	do(t, server.URL, "CLIENT", "PAUSE", "1500", "ALL")
	h.publishAll(t, 10)
	h.expect(t, 40+400)
	for i, r := range h.all {
		awaitPublished(t, r, 20*11)
		b := r.Stats().Broker
		if !b.Connected || b.Reconnects != 0 || b.PublishFailed == 0 || b.Published+b.PublishFailed != 20*11 {
			t.Errorf("process %d: %+v", i, b)
		}
	}
	missed := h.gaps()
	if want := 39 * (h.all[0].Stats().Broker.PublishFailed + h.all[1].Stats().Broker.PublishFailed); missed != want {
		t.Errorf("%d deliveries missed, want %d: 39 for each message that found no place", missed, want)
	}
	h.publishAll(t, 1)
	h.expect(t, 40+400+40)
	if h.gaps() != missed {
		t.Errorf("%d deliveries missed when there was a place again", h.gaps()-missed)
	}
	t.Logf("%d deliveries missed", missed)
}
