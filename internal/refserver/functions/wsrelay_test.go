package functions

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
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
	f, err := NewWSRelay(o)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(edge.New(edge.Options{
		Functions:  []edge.Function{edge.Shared(NameWSRelay, f)},
		Collectors: []prometheus.Collector{f},
	}))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Second)
		defer cancel()
		if err := f.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		server.Close()
		http.DefaultClient.CloseIdleConnections()
		st := f.Stats()
		if st.Rooms != 0 || st.Peers != 0 || st.Pending != 0 || st.Offered != st.Written+st.DroppedOldest+st.DroppedSlow+st.DroppedLeft {
			t.Errorf("at the end: %+v", st)
		}
		goleak.VerifyNone(t, leaks)
	})
	return &relayServer{WSRelay: f, url: "ws" + strings.TrimPrefix(server.URL, "http") + wire.PathWSRelay}
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

func TestRelayDefaultRoom(t *testing.T) {
	s := newRelay(t, relay.Options{})
	bare, resp, err := websocket.DefaultDialer.Dial(s.url, nil)
	if err != nil {
		t.Fatal(err, resp)
	}
	defer func() { _ = bare.Close() }()
	named := s.dial(t, "default")
	empty := s.dial(t, "") // searchParams.get('room') is "", which is a room of its own
	send(t, empty, websocket.TextMessage, []byte("nobody hears this"))
	await(t, "it to be received", func() bool { return s.Stats().Received == 1 })
	send(t, bare, websocket.TextMessage, []byte("x"))
	expect(t, named, websocket.TextMessage, []byte("x"))
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

func TestRelayWithoutUpgrade(t *testing.T) {
	s := newRelay(t, relay.Options{})
	resp, err := http.Get("http" + strings.TrimPrefix(s.url, "ws"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusUpgradeRequired || string(body) != "WebSocket upgrade required" {
		t.Errorf("answer %d %q", resp.StatusCode, body)
	}
	if up, conn := resp.Header.Get("Upgrade"), resp.Header.Get("Connection"); up != "websocket" || conn != "Upgrade" {
		t.Errorf("Upgrade %q, Connection %q", up, conn)
	}
}

func TestRelayForgetsPeerWhoseUpgradeFails(t *testing.T) {
	s := newRelay(t, relay.Options{})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http"+strings.TrimPrefix(s.url, "ws"), nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", "websocket")
	request.Header.Set("Sec-WebSocket-Version", "12")
	resp, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest || resp.Header.Get("Sec-WebSocket-Version") != "13" {
		t.Errorf("answer %d, version %q", resp.StatusCode, resp.Header.Get("Sec-WebSocket-Version"))
	}
	await(t, "the peer to be forgotten", func() bool { st := s.Stats(); return st.Peers == 0 && st.Rooms == 0 })
}

func TestRelayForgetsEmptyRooms(t *testing.T) {
	s := newRelay(t, relay.Options{})
	var conns []*websocket.Conn
	for i := range 9 {
		conns = append(conns, s.dial(t, fmt.Sprint("room", i/3)))
	}
	if st := s.Stats(); st.Rooms != 3 || st.Peers != 9 {
		t.Fatalf("%+v", st)
	}
	for i, conn := range conns {
		if i%2 == 0 { // by the book
			deadline := time.Now().Add(patience)
			if err := conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4321, "bye"), deadline); err != nil {
				t.Fatal(err)
			}
			expectClose(t, conn, 4321)
		}
		_ = conn.Close()
	}
	await(t, "the rooms to be forgotten", func() bool { st := s.Stats(); return st.Rooms == 0 && st.Peers == 0 })
}

// A client that has seen its 101 gets the very next message.
func TestRelayJoinGuarantee(t *testing.T) {
	s := newRelay(t, relay.Options{})
	speaker := s.dial(t, "r")
	for i := range 200 {
		want := []byte(fmt.Sprint("message ", i))
		conn := s.dial(t, "r")
		send(t, speaker, websocket.TextMessage, want)
		expect(t, conn, websocket.TextMessage, want)
		_ = conn.Close()
	}
}

func TestRelayRefusesWithACode(t *testing.T) {
	for _, tc := range []struct {
		name    string
		kind    int
		payload []byte
		code    int
		counted func(relay.Stats) uint64
	}{
		{"too big", websocket.BinaryMessage, make([]byte, 1<<20+1), websocket.CloseMessageTooBig, func(s relay.Stats) uint64 { return s.TooBigClosed }},
		{"far too big", websocket.BinaryMessage, make([]byte, 16<<20), websocket.CloseMessageTooBig, func(s relay.Stats) uint64 { return s.TooBigClosed }},
		{"not UTF-8", websocket.TextMessage, []byte{0xff, 0xfe}, websocket.CloseInvalidFramePayloadData, func(s relay.Stats) uint64 { return s.InvalidClosed }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newRelay(t, relay.Options{})
			other, conn := s.dial(t, "r"), s.dial(t, "r")
			send(t, conn, tc.kind, tc.payload)
			expectClose(t, conn, tc.code)
			_ = conn.Close()
			await(t, "the peer to be gone", func() bool { return s.Stats().Peers == 1 })
			if n := tc.counted(s.Stats()); n != 1 {
				t.Errorf("counted %d", n)
			}
			// The others have seen nothing of it and go on.
			send(t, s.dial(t, "r"), websocket.TextMessage, []byte("next"))
			expect(t, other, websocket.TextMessage, []byte("next"))
		})
	}
}

// A peer that is refused while its room talks to it is still told why.
func TestRelayRefusesABusyPeer(t *testing.T) {
	s := newRelay(t, relay.Options{Slow: relay.SlowDropOldest, MaxMessage: 1 << 10})
	speaker := s.dial(t, "r")
	var talk sync.WaitGroup
	defer talk.Wait()
	quiet, cancel := context.WithCancel(t.Context())
	defer cancel()
	talk.Go(func() {
		for quiet.Err() == nil {
			if err := speaker.WriteMessage(websocket.BinaryMessage, make([]byte, 1<<10)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 50 {
		conn := s.dial(t, "r")
		send(t, conn, websocket.BinaryMessage, make([]byte, 64<<10))
		expectClose(t, conn, websocket.CloseMessageTooBig)
		_ = conn.Close()
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
func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// inBubble serves f in fake time and hands over a dial function.
func inBubble(t *testing.T, o relay.Options, test func(t *testing.T, f *WSRelay, dial func(room string) *websocket.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		f, err := NewWSRelay(o)
		if err != nil {
			t.Fatal(err)
		}
		ln := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		server := &http.Server{Handler: f}
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

// syncBuffer is a buffer that several goroutines may write.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// Whatever a peer that never reads is sent, memory stays bounded, the others
// get everything, and the loss is counted and named.
func TestRelaySlowConsumer(t *testing.T) {
	for _, rule := range []relay.SlowRule{relay.SlowClose, relay.SlowDropOldest} {
		t.Run(rule.String(), func(t *testing.T) {
			const (
				messages   = 600
				size       = 64 << 10
				queueBytes = 1 << 20
				bound      = 8 << 20 // of what the run may add to the heap; the messages are 37 MiB
			)
			var log syncBuffer
			s := newRelay(t, relay.Options{QueueBytes: queueBytes, Slow: rule, WriteTimeout: 30 * time.Second,
				Logger: slog.New(slog.NewTextHandler(&log, nil))})
			speaker, reader, deaf := s.dial(t, "r"), s.dial(t, "r"), s.dial(t, "r")
			if tcp, ok := deaf.NetConn().(*net.TCPConn); ok {
				_ = tcp.SetReadBuffer(64 << 10) // the kernel's share fills sooner
			}
			var before, now runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			payload := bytes.Repeat([]byte{1}, size)
			buf := make([]byte, size)
			peak := uint64(0)
			for i := range messages {
				payload[0] = byte(i)
				send(t, speaker, websocket.BinaryMessage, payload)
				_, r, err := reader.NextReader()
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(r, buf); err != nil || buf[0] != byte(i) {
					t.Fatalf("message %d: first byte %d, %v", i, buf[0], err)
				}
				if i%50 == 49 {
					runtime.GC()
					runtime.ReadMemStats(&now)
					if grown := int64(now.HeapAlloc) - int64(before.HeapAlloc); grown > 0 {
						peak = max(peak, uint64(grown))
					}
				}
			}
			t.Logf("heap grew by at most %d KiB over %d MiB relayed", peak>>10, messages*size>>20)
			if peak > bound {
				t.Errorf("heap grew by %d bytes", peak)
			}
			await(t, "the reader's last delivery to be counted", func() bool { return s.Stats().Written >= messages })
			st := s.Stats()
			if st.Offered != 2*messages || st.Offered != st.Written+st.DroppedOldest+st.DroppedSlow+st.DroppedLeft+st.Pending {
				t.Errorf("deliveries do not add up: %+v", st)
			}
			switch rule {
			case relay.SlowClose:
				if st.SlowClosed != 1 || st.DroppedSlow == 0 || st.DroppedOldest != 0 {
					t.Errorf("%+v", st)
				}
				if text := log.String(); strings.Count(text, "slow consumer closed") != 1 || !strings.Contains(text, "room=r peer=3") {
					t.Errorf("log: %s", text)
				}
			case relay.SlowDropOldest:
				if st.SlowClosed != 0 || st.DroppedSlow != 0 || st.DroppedOldest == 0 || st.Peers != 3 {
					t.Errorf("%+v", st)
				}
				if st.Pending < 1 || st.Pending > queueBytes/size+1 {
					t.Errorf("%d deliveries pending", st.Pending)
				}
			}
			if rule == relay.SlowClose {
				// It reads after all: what the kernel held, then the reason.
				_ = deaf.SetReadDeadline(time.Now().Add(patience))
				expectClose(t, deaf, websocket.CloseTryAgainLater)
			}
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

// The end of a request's context cuts its socket; the edge ends it when the
// drain is over.
func TestRelayEndsWithItsContext(t *testing.T) {
	f, err := NewWSRelay(relay.Options{})
	if err != nil {
		t.Fatal(err)
	}
	base, cut := context.WithCancel(t.Context())
	defer cut()
	server := httptest.NewUnstartedServer(f)
	server.Config.BaseContext = func(net.Listener) context.Context { return base }
	server.Start()
	defer server.Close()
	conn, resp, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http"), nil)
	if err != nil {
		t.Fatal(err, resp)
	}
	defer func() { _ = conn.Close() }()
	cut()
	expectClose(t, conn, websocket.CloseAbnormalClosure)
	await(t, "the peer to be forgotten", func() bool { return f.Stats().Peers == 0 })
}

func TestRelayMetrics(t *testing.T) {
	s := newRelay(t, relay.Options{})
	a, b := s.dial(t, "r"), s.dial(t, "r")
	send(t, a, websocket.TextMessage, []byte("four"))
	expect(t, b, websocket.TextMessage, []byte("four"))
	await(t, "the delivery to be counted", func() bool { return s.Stats().Written == 1 })
	page := "http" + strings.TrimSuffix(strings.TrimPrefix(s.url, "ws"), wire.PathWSRelay) + wire.PathMetrics
	resp, err := http.Get(page)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"refserver_relay_rooms 1", "refserver_relay_peers 2",
		"refserver_relay_messages_received_total 1", "refserver_relay_received_bytes_total 4",
		"refserver_relay_deliveries_offered_total 1", "refserver_relay_deliveries_written_total 1",
		"refserver_relay_written_bytes_total 4", "refserver_relay_deliveries_pending 0",
		`refserver_relay_deliveries_dropped_total{rule="drop-oldest"} 0`,
		`refserver_relay_deliveries_dropped_total{rule="close"} 0`,
		`refserver_relay_deliveries_dropped_total{rule="left"} 0`,
		`refserver_relay_peers_closed_total{reason="slow"} 0`,
	} {
		if !strings.Contains(string(body), line+"\n") {
			t.Errorf("metrics lack %q", line)
		}
	}
}

// BenchmarkRelay is 10 rooms of 100 on loopback sockets, one message of 256
// bytes to each room at a time. One op is a message to every room: 990
// deliveries. CPU is that of both ends, user and system.
func BenchmarkRelay(b *testing.B) {
	const rooms, members, size = 10, 100, 256
	s := newRelay(b, relay.Options{})
	speakers := make([]*websocket.Conn, rooms)
	var arrived, readers sync.WaitGroup
	for r := range rooms {
		for m := range members {
			conn := s.dial(b, fmt.Sprint("room", r))
			_ = conn.SetReadDeadline(time.Time{})
			if m == 0 {
				speakers[r] = conn
				continue
			}
			readers.Go(func() {
				raw, frame := conn.NetConn(), make([]byte, 4+size)
				for {
					if _, err := io.ReadFull(raw, frame); err != nil || frame[0] != 0x82 {
						return
					}
					arrived.Done()
				}
			})
		}
	}
	payload := make([]byte, size)
	start := cpuTime(b)
	b.ReportAllocs()
	for b.Loop() {
		arrived.Add(rooms * (members - 1))
		for _, speaker := range speakers {
			send(b, speaker, websocket.BinaryMessage, payload)
		}
		arrived.Wait()
	}
	deliveries := float64(b.N * rooms * (members - 1))
	b.ReportMetric(float64((cpuTime(b)-start).Nanoseconds())/deliveries, "cpu-ns/delivery")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/deliveries, "ns/delivery")
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		b.Error(err)
	}
	readers.Wait()
}

// cpuTime is what this process has used.
func cpuTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
