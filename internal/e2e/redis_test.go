package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgeload/edgeload/internal/service"
)

// crowd is the members of one room, over several servers.
type crowd struct {
	conns    []*websocket.Conn
	received atomic.Int64
}

// newCrowd opens n sockets at each server, one after the other, so that workers get
// them in turn.
func newCrowd(t *testing.T, n int, servers ...*server) *crowd {
	t.Helper()
	c := new(crowd)
	var readers sync.WaitGroup
	t.Cleanup(readers.Wait)
	for _, s := range servers {
		url := "ws" + strings.TrimPrefix(s.URL, "http") + "/functions/v1/ws-relay?room=r"
		for range n {
			conn, resp, err := websocket.DefaultDialer.DialContext(t.Context(), url, nil)
			if err != nil {
				t.Fatal(err, resp)
			}
			t.Cleanup(func() { _ = conn.Close() })
			c.conns = append(c.conns, conn)
			readers.Go(func() {
				for {
					if _, _, err := conn.ReadMessage(); err != nil {
						return
					}
					c.received.Add(1)
				}
			})
		}
	}
	return c
}

// talk has all members together send 500 messages a second until stop is called, which
// returns how many were sent.
func (c *crowd) talk(t *testing.T) (stop func() int) {
	ctx, cancel := context.WithCancel(t.Context())
	var sent atomic.Int64
	var all sync.WaitGroup
	for _, conn := range c.conns {
		all.Go(func() {
			tick := time.NewTicker(time.Duration(len(c.conns)) * 2 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				if err := conn.WriteMessage(websocket.TextMessage, []byte("x")); err != nil {
					t.Error(err)
					return
				}
				sent.Add(1)
			}
		})
	}
	return func() int {
		cancel()
		all.Wait()
		return int(sent.Load())
	}
}

// sum is the sum of a counter over servers.
func sum(t *testing.T, name string, servers ...*server) (n int) {
	t.Helper()
	for _, s := range servers {
		n += int(counter(t, get(t, s.URL+"/metrics"), name))
	}
	return n
}

// eventually waits for something that must come to be.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); wait(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited 30 s for %s", what)
		}
	}
}

// A room of 40 over the four workers of one process: about a quarter of what is owed
// arrives, and ground truth says so.
func TestRoomSplitsOverWorkers(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--workers", "4")
	c := newCrowd(t, 40, s)
	for _, conn := range c.conns {
		if err := conn.WriteMessage(websocket.TextMessage, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all to be passed on", func() bool {
		return sum(t, "relay_messages_received_total", s) == 40 && sum(t, "relay_deliveries_pending", s) == 0
	})
	owed, split, written := sum(t, "relay_deliveries_owed_total", s), sum(t, "relay_deliveries_split_total", s), sum(t, "relay_deliveries_written_total", s)
	if owed != 40*39 || split != 40*30 || written != 40*9 {
		t.Errorf("%d owed, %d missed by the split, %d written", owed, split, written)
	}
	eventually(t, "what was written to arrive", func() bool { return c.received.Load() >= 40*9 })
}

// Two processes of four workers with one Redis between them, which is killed and
// started again: what was published between is lost, and nothing else; and what was
// received and what is counted as lost are what was owed, exactly.
func TestRoomsOverProcessesAndAnOutageOfRedis(t *testing.T) {
	t.Parallel()
	redis := service.StartRedis(t)
	servers := make([]*server, 2)
	for i := range servers {
		servers[i] = startServer(t, "--workers", "4", "--broker", redis.URL)
	}
	c := newCrowd(t, 20, servers...)
	connected := func() bool { return sum(t, "relay_broker_connected", servers...) == 2 }
	eventually(t, "the broker", connected)
	exactly := func(messages int) (missed int) {
		t.Helper()
		owed := messages * 39
		count := func() int {
			missed = sum(t, "relay_broker_gap_deliveries_total", servers...)
			return int(c.received.Load()) + missed
		}
		eventually(t, fmt.Sprint(owed, " deliveries, received or counted as lost"), func() bool { return count() >= owed })
		if got := count(); got != owed {
			t.Errorf("%d received and %d counted as lost, want %d together", c.received.Load(), missed, owed)
		}
		return missed
	}

	stop := c.talk(t)
	wait(time.Second)
	before := stop()
	if missed := exactly(before); missed != 0 {
		t.Errorf("%d deliveries lost before the outage", missed)
	}

	stop = c.talk(t)
	wait(time.Second)
	redis.Kill(t)
	wait(time.Second)
	redis.Start(t)
	wait(time.Second)
	eventually(t, "the broker", connected)
	during := stop()
	missed := exactly(before + during)
	if missed == 0 {
		t.Error("an outage of a second has cost nothing")
	}

	stop = c.talk(t)
	wait(time.Second)
	after := stop()
	if again := exactly(before + during + after); again != missed {
		t.Errorf("%d deliveries lost after the outage", again-missed)
	}
	t.Logf("%d messages, %d deliveries received, %d counted as lost", before+during+after, c.received.Load(), missed)
}
