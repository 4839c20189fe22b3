package functions

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgeload/edgeload/internal/refserver/relay"
)

// What is queued when Shutdown begins is written first, for half the time
// there is.
func TestRelayShutdownDrains(t *testing.T) {
	for _, tc := range []struct {
		name    string
		queued  int
		written int
		took    time.Duration
	}{
		// The peer reads a message a second, from the first second on; one is
		// being written when the queue is dropped at 10 s.
		{"all", 8, 8, 8 * time.Second},
		{"half the time", 50, 11, 11 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, relay.Options{}, func(t *testing.T, f *WSRelay, dial func(string) *websocket.Conn) {
				speaker, slow := dial("r"), dial("r")
				for range tc.queued {
					send(t, speaker, websocket.TextMessage, []byte("x"))
				}
				_ = speaker.Close()
				synctest.Wait()
				start := time.Now()
				var reading sync.WaitGroup
				reading.Go(func() {
					for got := 0; ; got++ {
						time.Sleep(time.Second - time.Nanosecond)
						_, _, err := slow.ReadMessage()
						if err == nil {
							continue
						}
						if !websocket.IsCloseError(err, websocket.CloseGoingAway) || got != tc.written {
							t.Errorf("after %d messages: %v, want %d and 1001", got, err, tc.written)
						}
						return
					}
				})
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				if err := f.Shutdown(ctx); err != nil {
					t.Error(err)
				}
				if took := time.Since(start); took < tc.took || took > tc.took+2*time.Second {
					t.Errorf("took %v", took)
				}
				reading.Wait()
				st := f.Stats()
				if st.Written != uint64(tc.written) || st.DroppedLeft != uint64(tc.queued-tc.written) {
					t.Errorf("%+v", st)
				}
			})
		})
	}
}

func TestRelayShutdown(t *testing.T) {
	s := newRelay(t, relay.Options{})
	speaker := s.dial(t, "room0")
	var conns []*websocket.Conn
	for i := range 30 {
		conns = append(conns, s.dial(t, fmt.Sprint("room", i%3)))
	}
	for i := range 100 {
		send(t, speaker, websocket.BinaryMessage, []byte{byte(i)})
	}
	await(t, "all to be received", func() bool { return s.Stats().Received == 100 })

	var clients sync.WaitGroup
	for i, conn := range append(conns, speaker) {
		clients.Go(func() {
			if i%3 == 0 && conn != speaker { // what was queued comes before the end
				for n := range 100 {
					_, m, err := conn.ReadMessage()
					if err != nil || m[0] != byte(n) {
						t.Errorf("message %d: %v, %v", n, m, err)
						return
					}
				}
			}
			expectClose(t, conn, websocket.CloseGoingAway)
			_ = conn.Close()
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	clients.Wait()
	if st := s.Stats(); st.Peers != 0 || st.Written != 1000 {
		t.Errorf("%+v", st)
	}
	_, resp, err := websocket.DefaultDialer.Dial(s.url, nil)
	if err == nil || resp == nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("dial after shutdown: %v, %v", resp, err)
	}
}

// A peer that never reads does not hold up the end, and the others get theirs.
func TestRelayShutdownInTime(t *testing.T) {
	s := newRelay(t, relay.Options{QueueBytes: 64 << 20})
	speaker, reader, deaf := s.dial(t, "r"), s.dial(t, "r"), s.dial(t, "r")
	payload := make([]byte, 256<<10)
	if tcp, ok := deaf.NetConn().(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(64 << 10)
	}
	for range 40 { // more than the kernel takes for the one that does not read
		send(t, speaker, websocket.BinaryMessage, payload)
		expect(t, reader, websocket.BinaryMessage, payload)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
	defer cancel()
	start := time.Now()
	shut := make(chan error, 1)
	go func() { shut <- s.Shutdown(ctx) }()
	expectClose(t, reader, websocket.CloseGoingAway)
	_ = reader.Close()
	expectClose(t, speaker, websocket.CloseGoingAway)
	_ = speaker.Close()
	err := <-shut
	if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took > 2*time.Second {
		t.Errorf("Shutdown took %v and returned %v", took, err)
	}
	if st := s.Stats(); st.Peers != 0 || st.DroppedLeft == 0 {
		t.Errorf("%+v", st)
	}
	_ = deaf.Close()
}

// The end of its worker cuts a socket without a Close frame, and nothing else.
func TestRelayEndsWithItsWorker(t *testing.T) {
	f, err := NewWSRelay(relay.Options{})
	if err != nil {
		t.Fatal(err)
	}
	base, kill := context.WithCancel(t.Context())
	defer kill()
	dying := httptest.NewServer(handler(base, f))
	defer dying.Close()
	other := httptest.NewServer(handler(t.Context(), f))
	defer other.Close()
	var conns []*websocket.Conn
	for _, server := range []*httptest.Server{dying, other, other} {
		conn, resp, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http"), nil)
		if err != nil {
			t.Fatal(err, resp)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		conns = append(conns, conn)
	}
	kill()
	expectClose(t, conns[0], websocket.CloseAbnormalClosure)
	await(t, "the peer to be forgotten", func() bool { return f.Stats().Peers == 2 })
	send(t, conns[1], websocket.TextMessage, []byte("still here"))
	expect(t, conns[2], websocket.TextMessage, []byte("still here"))
	_, resp, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(dying.URL, "http"), nil)
	if err == nil || resp == nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a dead worker answers %v, %v", resp, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := f.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown over two clients that do not answer: %v", err)
	}
}
