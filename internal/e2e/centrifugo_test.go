package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// A centrifugoLike is a relay that speaks the core of Centrifugo's JSON protocol, as its
// documentation gives it: a client connects and subscribes by commands with an id,
// publishes to channels by commands too, and gets publications as pushes, its own
// included. An empty object is the server's ping, which the client answers with one.
// Several commands or replies in one message stand in lines.
type centrifugoLike struct {
	URL string

	mu       sync.Mutex
	channels map[string]map[*centrifugoClient]bool
	pongs    int
}

// A centrifugoClient is one connection.
type centrifugoClient struct {
	conn      *websocket.Conn
	writing   sync.Mutex
	connected bool
}

func (c *centrifugoClient) write(lines ...any) error {
	var b bytes.Buffer
	for _, line := range lines {
		if err := json.NewEncoder(&b).Encode(line); err != nil {
			return err
		}
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.conn.WriteMessage(websocket.TextMessage, bytes.TrimSpace(b.Bytes()))
}

// centrifugoCommand is what a client sends; nothing in it is the answer to a ping.
type centrifugoCommand struct {
	ID        int
	Connect   *struct{ Token string }
	Subscribe *struct{ Channel string }
	Publish   *struct {
		Channel string
		Data    json.RawMessage
	}
}

type object = map[string]any

// startCentrifugoLike serves it at /connection/websocket, and pings every 100 ms.
func startCentrifugoLike(t *testing.T) *centrifugoLike {
	t.Helper()
	r := &centrifugoLike{channels: make(map[string]map[*centrifugoClient]bool)}
	mux := http.NewServeMux()
	mux.HandleFunc("/connection/websocket", func(w http.ResponseWriter, req *http.Request) {
		conn, err := new(websocket.Upgrader).Upgrade(w, req, nil)
		if err != nil {
			return // it has been answered
		}
		r.serve(&centrifugoClient{conn: conn})
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	r.URL = s.URL
	return r
}

// serve does what one client says until it leaves or breaks the protocol.
func (r *centrifugoLike) serve(c *centrifugoClient) {
	gone := make(chan struct{})
	var pinging sync.WaitGroup
	defer func() {
		close(gone)
		_ = c.conn.Close()
		pinging.Wait()
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, members := range r.channels {
			delete(members, c)
		}
	}()
	pinging.Go(func() {
		for {
			select {
			case <-time.After(100 * time.Millisecond):
				if err := c.write(object{}); err != nil {
					return
				}
			case <-gone:
				return
			}
		}
	})
	for {
		_, message, err := c.conn.ReadMessage()
		if err != nil {
			return
		}
		for line := range bytes.Lines(message) {
			var command centrifugoCommand
			if err := json.Unmarshal(line, &command); err != nil {
				return
			}
			if err := r.do(c, command); err != nil {
				return
			}
		}
	}
}

// do does one command and answers it. Nothing but connect may come first.
func (r *centrifugoLike) do(c *centrifugoClient, command centrifugoCommand) error {
	switch {
	case command.Connect != nil:
		c.connected = true
		return c.write(object{"id": command.ID, "connect": object{"client": fmt.Sprintf("%p", c), "ping": 1, "pong": true}})
	case !c.connected:
		return fmt.Errorf("command %d before connect", command.ID)
	case command.Subscribe != nil:
		r.mu.Lock()
		channel := command.Subscribe.Channel
		if r.channels[channel] == nil {
			r.channels[channel] = make(map[*centrifugoClient]bool)
		}
		r.channels[channel][c] = true
		r.mu.Unlock()
		return c.write(object{"id": command.ID, "subscribe": object{}})
	case command.Publish != nil:
		push := object{"push": object{"channel": command.Publish.Channel, "pub": object{"data": command.Publish.Data}}}
		r.mu.Lock()
		members := make([]*centrifugoClient, 0, len(r.channels[command.Publish.Channel]))
		for m := range r.channels[command.Publish.Channel] {
			members = append(members, m)
		}
		r.mu.Unlock()
		for _, m := range members {
			if m == c { // reply and own publication in one message, in lines
				continue
			}
			_ = m.write(push) // whoever has gone misses it
		}
		return c.write(object{"id": command.ID, "publish": object{}}, push)
	default:
		r.mu.Lock()
		r.pongs++
		r.mu.Unlock()
		return nil
	}
}

// The example for Centrifugo: every publication reaches all subscribers, and nobody is
// closed for a ping without its answer.
func TestCentrifugo(t *testing.T) {
	relay := startCentrifugoLike(t)
	run := measured(t, example(t, "centrifugo.yaml", "warmup: 2s", "warmup: 1s", "ramp: 1s", "ramp: 500ms"), nil, "--target", relay.URL, "-d", "2s")
	balanced(t, run.Result)
	if run.Code != 0 {
		t.Errorf("exit code %d\n%s\n%s", run.Code, run.Stdout, run.Stderr)
	}
	const messages = 10 * 2 * 2 // rooms × messages a second × seconds
	counts(t, run.workload(t, "rooms"), map[string]float64{
		"connections": 100, "published": messages, "expected": messages * 9, "received": messages * 9, "unexpected": 0, "foreign": 0, "connections_lost": 0,
	})
	relay.mu.Lock()
	defer relay.mu.Unlock()
	if relay.pongs < 100 {
		t.Errorf("%d pings were answered by 100 clients", relay.pongs)
	}
}

// The relay in the test speaks the protocol: two who subscribe get what one publishes.
func TestCentrifugoLike(t *testing.T) {
	relay := startCentrifugoLike(t)
	var conns []*websocket.Conn
	for range 2 {
		conn, resp, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(relay.URL, "http")+"/connection/websocket", nil)
		if err != nil {
			t.Fatal(err, resp)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"id":1,"connect":{}}`+"\n"+`{"id":2,"subscribe":{"channel":"room"}}`)); err != nil {
			t.Fatal(err)
		}
		if got := received(t, conn, 2); len(got) != 2 || !strings.HasPrefix(got[0], `{"connect":{"client":`) || got[1] != `{"id":2,"subscribe":{}}` {
			t.Fatalf("joined with %q", got)
		}
		conns = append(conns, conn)
	}
	if err := conns[0].WriteMessage(websocket.TextMessage, []byte(`{"id":3,"publish":{"channel":"room","data":{"n":1}}}`)); err != nil {
		t.Fatal(err)
	}
	const push = `{"push":{"channel":"room","pub":{"data":{"n":1}}}}`
	for i, want := range []string{`{"id":3,"publish":{}}` + "\n" + push, push} {
		got := "{}"
		for got == "{}" { // pings come between
			got = strings.Join(received(t, conns[i], 1), "")
		}
		if got != want {
			t.Errorf("client %d got %q, want %q", i, got, want)
		}
	}
}
