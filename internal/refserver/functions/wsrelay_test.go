package functions

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/edgeload/edgeload/internal/refserver/edge"
	"github.com/edgeload/edgeload/internal/refserver/relay"
	"github.com/edgeload/edgeload/internal/wire"
)

// patience bounds every wait of these tests for something that must happen.
const patience = 10 * time.Second

// relayServer is a WSRelay behind the edge, on a loopback port.
type relayServer struct {
	*WSRelay
	url string // ws://…/functions/v1/ws-relay
}

func newRelay(t testing.TB, o relay.Options) *relayServer {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, leaks) })
	return newRelayIn(t, o, edge.Options{})
}

// newRelayIn is newRelay in a server with these workers and limits.
func newRelayIn(t testing.TB, o relay.Options, workers edge.Options) *relayServer {
	t.Helper()
	f, err := NewWSRelay(o)
	if err != nil {
		t.Fatal(err)
	}
	workers.Functions = []edge.Function{f.Function()}
	workers.Collectors = []prometheus.Collector{f}
	front := edge.New(workers)
	server := httptest.NewServer(front)
	broker, disconnect := context.WithCancel(context.WithoutCancel(t.Context()))
	ran := make(chan error, 1)
	go func() { ran <- f.Run(broker) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Second)
		defer cancel()
		if err := f.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		server.Close()
		if err := front.Terminate(ctx); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
		disconnect()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
		st := f.Stats()
		if st.Rooms != 0 || st.Peers != 0 || st.Pending != 0 || st.RoomOwed != st.Offered+st.Split+st.Broker.GapDeliveries || st.Offered != st.Written+st.DroppedOldest+st.DroppedSlow+st.DroppedLeft {
			t.Errorf("at the end: %+v", st)
		}
	})
	return &relayServer{WSRelay: f, url: "ws" + strings.TrimPrefix(server.URL, "http") + wire.PathWSRelay}
}

// handler is the function in a worker that lives until ctx ends.
func handler(ctx context.Context, f *WSRelay) http.Handler {
	return &relayWorker{f, f.relay.NewHub(ctx)}
}

// page is the server's page of metrics.
func (s *relayServer) page() string {
	return "http" + strings.TrimSuffix(strings.TrimPrefix(s.url, "ws"), wire.PathWSRelay) + wire.PathMetrics
}

// dial connects to a room; the connection closes with the test.
func (s *relayServer) dial(t testing.TB, room string) *websocket.Conn {
	t.Helper()
	conn, resp, err := websocket.DefaultDialer.DialContext(t.Context(), s.url+"?room="+room, http.Header{"Origin": {"https://elsewhere.example"}})
	if err != nil {
		t.Fatalf("dial: %v (%v)", err, resp)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	return conn
}

// await polls until ok, or fails.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

func send(t testing.TB, conn *websocket.Conn, kind int, payload []byte) {
	t.Helper()
	if err := conn.WriteMessage(kind, payload); err != nil {
		t.Fatal(err)
	}
}

func expect(t testing.TB, conn *websocket.Conn, kind int, payload []byte) {
	t.Helper()
	gotKind, got, err := conn.ReadMessage()
	if err != nil {
		t.Fatal(err)
	}
	if gotKind != kind || !bytes.Equal(got, payload) {
		t.Fatalf("got kind %d, %.40q (%d bytes); want kind %d, %.40q (%d bytes)", gotKind, got, len(got), kind, payload, len(payload))
	}
}

// expectClose reads until the connection ends, which must be by a Close frame
// with this code.
func expectClose(t testing.TB, conn *websocket.Conn, code int) {
	t.Helper()
	for {
		_, _, err := conn.ReadMessage()
		if err == nil {
			continue
		}
		if !websocket.IsCloseError(err, code) {
			t.Errorf("connection ended with %v, want close %d", err, code)
		}
		return
	}
}

func TestRelayPassesMessagesUnchanged(t *testing.T) {
	s := newRelay(t, relay.Options{})
	a, b, c := s.dial(t, "r"), s.dial(t, "r"), s.dial(t, "r")
	elsewhere := s.dial(t, "other")
	everyByte := make([]byte, 256)
	for i := range everyByte {
		everyByte[i] = byte(i)
	}
	for _, m := range []struct {
		kind    int
		payload []byte
	}{
		{websocket.TextMessage, []byte("hällo \U0001F30D")},
		{websocket.BinaryMessage, everyByte},
		{websocket.TextMessage, nil},
		{websocket.BinaryMessage, bytes.Repeat(everyByte, 4096)}, // 1 MiB, just allowed
		{websocket.BinaryMessage, bytes.Repeat([]byte{7}, 125)},
		{websocket.BinaryMessage, bytes.Repeat([]byte{7}, 126)},
		{websocket.BinaryMessage, bytes.Repeat([]byte{7}, 65535)},
		{websocket.BinaryMessage, bytes.Repeat([]byte{7}, 65536)},
	} {
		send(t, a, m.kind, m.payload)
		expect(t, b, m.kind, m.payload)
		expect(t, c, m.kind, m.payload)
	}
	// A fragmented message arrives as one.
	w, err := b.NextWriter(websocket.TextMessage)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("fragment ", 5000)
	if _, err := io.WriteString(w, long); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	// The first thing a sees is b's message: none of its own came back.
	expect(t, a, websocket.TextMessage, []byte(long))
	expect(t, c, websocket.TextMessage, []byte(long))
	// And the other room has seen nothing.
	send(t, s.dial(t, "other"), websocket.TextMessage, []byte("here"))
	expect(t, elsewhere, websocket.TextMessage, []byte("here"))
}

// Who asks for it is told of each message when it was written to him; the others
// in the room get it as it was sent.
func TestRelayStampsItsWrites(t *testing.T) {
	s := newRelay(t, relay.Options{})
	sender, plain := s.dial(t, "r"), s.dial(t, "r")
	stamped := s.dial(t, "r&"+wire.QueryStamp+"="+wire.StampWrites)
	latest := time.Now().UnixNano()
	for i, payload := range []string{"text", strings.Repeat("x", 100_000), ""} {
		kind := websocket.TextMessage + i%2
		if err := sender.WriteMessage(kind, []byte(payload)); err != nil {
			t.Fatal(err)
		}
		gotKind, got, err := stamped.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		at, rest, ok := wire.CutStamp(got)
		if now := time.Now().UnixNano(); !ok || gotKind != kind || string(rest) != payload || at < latest || at > now {
			t.Errorf("stamped %v at %d (of %d to %d): %.60q of kind %d", ok, at, latest, now, rest, gotKind)
		}
		latest = at
		if gotKind, got, err = plain.ReadMessage(); err != nil || gotKind != kind || string(got) != payload {
			t.Errorf("the one that did not ask got %.60q of kind %d, %v", got, gotKind, err)
		}
	}
	_, resp, err := websocket.DefaultDialer.DialContext(t.Context(), s.url+"?stamp=maybe", nil)
	if err == nil || resp == nil || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("?stamp=maybe: %v, %v, want 400", resp, err)
	}
}

func TestRelayKeepsOrderOfEachSender(t *testing.T) {
	const senders, each = 4, 500
	s := newRelay(t, relay.Options{QueueMessages: senders * each})
	receiver := s.dial(t, "r")
	var tasks sync.WaitGroup
	defer tasks.Wait()
	for id := range senders {
		conn := s.dial(t, "r")
		tasks.Go(func() {
			go func() { _, _ = io.Copy(io.Discard, conn.NetConn()) }() // ends with the connection
			for i := range each {
				if err := conn.WriteMessage(websocket.BinaryMessage, []byte{byte(id), byte(i >> 8), byte(i)}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var next [senders]int
	for range senders * each {
		_, m, err := receiver.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		if seq := int(m[1])<<8 | int(m[2]); seq != next[m[0]] {
			t.Fatalf("message %d of sender %d came where %d was due", seq, m[0], next[m[0]])
		}
		next[m[0]]++
	}
}

func TestRelayAnswersPing(t *testing.T) {
	s := newRelay(t, relay.Options{})
	conn, other := s.dial(t, "r"), s.dial(t, "r")
	pong := ""
	conn.SetPongHandler(func(data string) error { pong = data; return nil })
	if err := conn.WriteControl(websocket.PingMessage, []byte("are you there"), time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	await(t, "the pong to be queued before the message", func() bool {
		send(t, other, websocket.TextMessage, []byte("m"))
		expect(t, conn, websocket.TextMessage, []byte("m"))
		return pong == "are you there"
	})
}
