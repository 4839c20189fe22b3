package knownanswer

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgeload/edgeload/internal/wire"
)

// bases are the addresses of a running server.
type bases struct{ plain, tls, http2 string }

// start runs a server until the test ends.
func start(t *testing.T) bases {
	t.Helper()
	var listeners [3]net.Listener
	for i := range listeners {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners[i] = l
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- new(Server).Serve(ctx, Listeners{Plain: listeners[0], TLS: listeners[1], HTTP2: listeners[2]})
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("the server did not end")
		}
	})
	return bases{listeners[0].Addr().String(), listeners[1].Addr().String(), listeners[2].Addr().String()}
}

// Two streams on one connection: each event carries a stamp of its own that lies
// between the deadline and the arrival, and a late event does not move the next.
func TestStreamStamps(t *testing.T) {
	on := start(t)
	for _, tt := range []struct{ name, base, proto string }{
		{"plain", "http://" + on.plain, "HTTP/1.1"},
		{"TLS", "https://" + on.tls, "HTTP/1.1"},
		{"HTTP/2", "https://" + on.http2, "HTTP/2.0"},
	} {
		t.Run(tt.name, func(t *testing.T) { streamStamps(t, tt.base, tt.proto) })
	}
}

func streamStamps(t *testing.T, base, proto string) {
	transport := &http.Transport{
		MaxConnsPerHost: 1, ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	for range 2 {
		begin := time.Now()
		resp, err := client.Get(base + PathStream + "?events=5&ttft=40ms&gap=20ms")
		if err != nil {
			t.Fatal(err)
		}
		if got := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || got != "text/event-stream" || resp.Proto != proto {
			t.Fatalf("%s, %s, %s", resp.Status, got, resp.Proto)
		}
		var stamps []int64
		var contents, ends int
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			arrived := time.Now()
			line := lines.Bytes()
			switch {
			case bytes.HasPrefix(line, []byte(":")):
				stamp, ok := wire.ParseStamp(line[1:])
				if !ok {
					t.Fatalf("no stamp: %s", line)
				}
				due := begin.Add(40*time.Millisecond + time.Duration(len(stamps))*20*time.Millisecond)
				if at := time.Unix(0, stamp); at.Before(due) || at.After(arrived) {
					t.Errorf("event %d is stamped %v after its deadline and %v before it arrived", len(stamps), at.Sub(due), arrived.Sub(at))
				}
				stamps = append(stamps, stamp)
			case string(line) == "data: [DONE]":
				ends++
			case bytes.HasPrefix(line, []byte("data: ")):
				if contents++; contents != len(stamps) {
					t.Errorf("content %d follows %d stamps", contents, len(stamps))
				}
			}
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		if contents != 5 || ends != 1 {
			t.Errorf("%d contents and %d ends", contents, ends)
		}
	}
}

func TestStreamRefuses(t *testing.T) {
	base := start(t).plain
	for _, path := range []string{
		PathStream, PathStream + "?events=0&ttft=1s&gap=1s", PathStream + "?events=5&ttft=-1s&gap=1s",
		PathStream + "?events=5&ttft=1s&gap=2m", PathRoom,
	} {
		resp, err := http.Get("http://" + base + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close() // not read
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s, want 400", path, resp.Status)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func join(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	dialer := websocket.Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	c, resp, err := dialer.Dial(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close() // empty
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// Each receiver is told the instant of its own write, and the sender nothing.
func TestRoomStamps(t *testing.T) {
	on := start(t)
	for _, base := range []string{"ws://" + on.plain, "wss://" + on.tls} {
		room := base + PathRoom + "?room="
		sender := join(t, room+"a")
		receivers := []*websocket.Conn{join(t, room+"a"), join(t, room+"a")}
		stranger := join(t, room+"b")
		begin := time.Now().UnixNano()
		const message = `{"edgeload":"1:…"}`
		if err := sender.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
			t.Fatal(err)
		}
		seen := map[int64]bool{}
		for i, c := range receivers {
			kind, got, err := c.ReadMessage()
			if err != nil {
				t.Fatal(err)
			}
			at, rest, ok := wire.CutStamp(got)
			if !ok || kind != websocket.TextMessage || string(rest) != message || at < begin || at > time.Now().UnixNano() {
				t.Errorf("receiver %d got %s of kind %d", i, got, kind)
			}
			seen[at] = true
		}
		if len(seen) != 2 {
			t.Error("two writes share an instant")
		}
		for _, c := range []*websocket.Conn{sender, stranger} {
			if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			if _, message, err := c.ReadMessage(); err == nil {
				t.Errorf("the sender or a stranger got %s", message)
			}
		}
	}
}

// The lines of a stream and the buffer of a room are used again: what the server
// does of its own between a stamp and the write allocates nothing.
func TestTellingDoesNotAllocate(t *testing.T) {
	out := &own{conn: discard{}}
	event := append(wire.AppendStamp(nil, time.Now()), streamEvent...)
	if n := testing.AllocsPerRun(100, func() {
		event = append(wire.AppendStamp(event[:0], time.Now()), streamEvent...)
		if err := out.event(event); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// discard is a connection that takes whatever is written.
type discard struct{ net.Conn }

func (discard) Write(b []byte) (int, error)      { return len(b), nil }
func (discard) SetWriteDeadline(time.Time) error { return nil }

// The loops end with their context, and a server that ends cuts its streams.
func TestBusyEnds(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	Busy(ctx, 2)
	if ctx.Err() == nil {
		t.Error("ended before its context")
	}
	Busy(t.Context(), 0)
}

func TestServeEndsWithStreamsUnderWay(t *testing.T) {
	for _, version := range []string{"HTTP/1.1", "HTTP/2.0"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		on, scheme := Listeners{Plain: l}, "http://"
		if version == "HTTP/2.0" {
			on, scheme = Listeners{HTTP2: l}, "https://"
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- new(Server).Serve(ctx, on) }()
		transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
		resp, err := (&http.Client{Transport: transport}).Get(scheme + l.Addr().String() + PathStream + "?events=100&ttft=0s&gap=1s")
		if err != nil {
			cancel()
			t.Fatal(err)
		}
		if resp.Proto != version {
			t.Errorf("spoke %s, want %s", resp.Proto, version)
		}
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("the server waits for its streams")
		}
		_ = resp.Body.Close() // cut
		transport.CloseIdleConnections()
	}
}

// One listener that cannot be served on ends the others, and the error says which.
func TestServeEndsWhenAListenerFails(t *testing.T) {
	var on Listeners
	for _, l := range []*net.Listener{&on.Plain, &on.TLS} {
		opened, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		*l = opened
	}
	if err := on.TLS.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err := new(Server).Serve(ctx, on)
	if err == nil || !strings.Contains(err.Error(), on.TLS.Addr().String()) || ctx.Err() != nil {
		t.Errorf("%v, want one that names %s, at once", err, on.TLS.Addr())
	}
}
