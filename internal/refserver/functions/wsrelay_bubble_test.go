package functions

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgeload/edgeload/internal/refserver/relay"
)

// pipes is a net.Listener whose connections are pipes, for fake time.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error { p.once.Do(func() { close(p.closed) }); return nil }

func (p *pipes) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }

func (pipeAddr) String() string { return "pipe" }

// inBubble serves f in fake time and hands over a dial function.
func inBubble(t *testing.T, o relay.Options, test func(t *testing.T, f *WSRelay, dial func(room string) *websocket.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		f, err := NewWSRelay(o)
		if err != nil {
			t.Fatal(err)
		}
		ln := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		server := &http.Server{Handler: handler(t.Context(), f)}
		var served sync.WaitGroup
		served.Go(func() { _ = server.Serve(ln) })
		dialer := websocket.Dialer{NetDialContext: func(context.Context, string, string) (net.Conn, error) {
			client, remote := net.Pipe()
			ln.conns <- remote
			return client, nil
		}}
		var conns []*websocket.Conn
		test(t, f, func(room string) *websocket.Conn {
			conn, _, err := dialer.DialContext(t.Context(), "ws://relay/?room="+room, nil)
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, conn)
			return conn
		})
		for _, conn := range conns {
			_ = conn.Close()
		}
		if err := f.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		_ = server.Close()
		served.Wait()
	})
}

func TestRelayIdleTimeout(t *testing.T) {
	o := relay.Options{PingInterval: 20 * time.Second, IdleTimeout: 60 * time.Second}
	inBubble(t, o, func(t *testing.T, f *WSRelay, dial func(string) *websocket.Conn) {
		start := time.Now()
		conn := dial("r")
		pings := 0
		conn.SetPingHandler(func(string) error { pings++; return nil }) // does not answer
		expectClose(t, conn, websocket.ClosePolicyViolation)
		if after := time.Since(start); after != 60*time.Second {
			t.Errorf("closed after %v", after)
		}
		if pings < 2 {
			t.Errorf("%d pings before", pings)
		}
		_ = conn.Close()
		synctest.Wait()
		if st := f.Stats(); st.IdleClosed != 1 || st.Peers != 0 {
			t.Errorf("%+v", st)
		}
	})
}

func TestRelayPongsKeepAPeerAlive(t *testing.T) {
	inBubble(t, relay.Options{}, func(t *testing.T, f *WSRelay, dial func(string) *websocket.Conn) {
		listener, speaker := dial("r"), dial("r")
		var readers sync.WaitGroup
		for _, conn := range []*websocket.Conn{listener, speaker} {
			readers.Go(func() {
				for {
					if _, _, err := conn.ReadMessage(); err != nil {
						return
					}
				}
			})
		}
		// Neither says anything of its own for an hour, and then one speaks.
		time.Sleep(time.Hour)
		send(t, speaker, websocket.TextMessage, []byte("still here"))
		synctest.Wait()
		if st := f.Stats(); st.Peers != 2 || st.Written != 1 {
			t.Errorf("after an hour: %+v", st)
		}
		_ = listener.Close()
		_ = speaker.Close()
		readers.Wait()
	})
}

// A queue that is never empty does not keep the pings back.
func TestRelayPingsABusyPeer(t *testing.T) {
	o := relay.Options{QueueMessages: 4, Slow: relay.SlowDropOldest}
	inBubble(t, o, func(t *testing.T, f *WSRelay, dial func(string) *websocket.Conn) {
		speaker, slow := dial("r"), dial("r")
		ctx, stop := context.WithCancel(t.Context())
		var talk, answers sync.WaitGroup
		answers.Go(func() { _, _, _ = speaker.ReadMessage() }) // answers pings, and ends with the connection
		talk.Go(func() {
			for ctx.Err() == nil {
				if err := speaker.WriteMessage(websocket.TextMessage, []byte("tick")); err != nil {
					t.Error(err)
					_ = slow.Close()
					return
				}
				time.Sleep(100 * time.Millisecond)
			}
		})
		for range 600 { // ten minutes, at a tenth of the speaker's pace
			time.Sleep(time.Second)
			if _, _, err := slow.ReadMessage(); err != nil {
				t.Errorf("a peer that answers its pings was closed: %v", err)
				break
			}
		}
		stop()
		talk.Wait()
		_ = speaker.Close()
		answers.Wait()
		if st := f.Stats(); st.DroppedOldest < 5000 || st.IdleClosed != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// A message that trickles in is no silence.
func TestRelayLargeMessageOnASlowLine(t *testing.T) {
	inBubble(t, relay.Options{}, func(t *testing.T, f *WSRelay, dial func(string) *websocket.Conn) {
		conn := dial("r")
		conn.SetPingHandler(func(string) error { return nil }) // a pong would fall into the middle of the frame
		var reading sync.WaitGroup
		reading.Go(func() { _, _, _ = conn.ReadMessage() })
		raw := conn.NetConn()
		if _, err := raw.Write([]byte{0x82, 0x80 | 10, 0, 0, 0, 0}); err != nil { // 10 bytes under a mask of zeros
			t.Fatal(err)
		}
		for i := range 10 {
			time.Sleep(50 * time.Second)
			if _, err := raw.Write([]byte{byte(i)}); err != nil {
				t.Fatalf("byte %d: %v", i, err)
			}
		}
		synctest.Wait()
		if st := f.Stats(); st.Received != 1 || st.ReceivedBytes != 10 || st.IdleClosed != 0 {
			t.Errorf("%+v", st)
		}
		_ = conn.Close()
		reading.Wait()
	})
}

func TestRelayCutsAStalledPeer(t *testing.T) {
	var log syncBuffer
	o := relay.Options{WriteTimeout: 3 * time.Second, Slow: relay.SlowDropOldest, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	inBubble(t, o, func(t *testing.T, f *WSRelay, dial func(string) *websocket.Conn) {
		speaker, _ := dial("r"), dial("r") // the other one never reads: a pipe holds nothing
		for range 10 {
			send(t, speaker, websocket.TextMessage, []byte("x"))
		}
		time.Sleep(2999 * time.Millisecond)
		if st := f.Stats(); st.Peers != 2 || st.StalledClosed != 0 {
			t.Errorf("before the write timeout: %+v", st)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if st := f.Stats(); st.Peers != 1 || st.StalledClosed != 1 || st.DroppedSlow != 10 || st.Pending != 0 {
			t.Errorf("after the write timeout: %+v", st)
		}
		if !strings.Contains(log.String(), "stalled consumer closed") || !strings.Contains(log.String(), "room=r peer=2") {
			t.Errorf("log: %s", log.String())
		}
	})
}
