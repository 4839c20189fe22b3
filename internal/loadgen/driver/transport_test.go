package driver

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
)

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// An openTransport makes the transport under test.
type openTransport struct {
	// make it, with instants of clock. It accepts any certificate. What it needs
	// beside the transport itself it releases in t's cleanup.
	make func(t *testing.T, clock engine.Clock) transport
	// tls is what the servers speak it by; nil: plain TCP.
	tls *tls.Config
}

// testTransport holds a transport to what transport and exchange promise, against
// servers that behave and servers that do not.
func testTransport(t *testing.T, open openTransport) {
	for _, group := range []struct {
		name string
		run  func(*testing.T, openTransport)
	}{
		{"request", testRequests},
		{"framing", testFraming},
		{"pieces", testPieces},
		{"broken", testBroken},
		{"connections", testConnections},
		{"repeat", testRepeats},
		{"time", testTimes},
		{"wants", testWants},
		{"many", testMany},
	} {
		t.Run(group.name, func(t *testing.T) { group.run(t, open) })
	}
}

func TestNetHTTP(t *testing.T) {
	transport := func(t *testing.T, clock engine.Clock) transport {
		d := newDialer(patience, tlsConfig(true))
		t.Cleanup(d.close)
		return newNetHTTP(clock, newTransport(d, false, 1000))
	}
	t.Run("plain", func(t *testing.T) { testTransport(t, openTransport{make: transport}) })
	t.Run("tls", func(t *testing.T) { testTransport(t, openTransport{make: transport, tls: certified(t)}) })
}

// certified is a server's configuration with a certificate that nobody knows.
func certified(t *testing.T) *tls.Config {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	return &tls.Config{Certificates: s.TLS.Certificates}
}

// A bench is a transport beside the server that it talks to.
type bench struct {
	t      *testing.T
	clock  engine.Clock
	server *peers
	scheme string
	transport
	opened atomic.Int64 // connections, by withConnectTimes
}

// newBench opens a transport and a server that serves each of its connections by
// serve.
func newBench(t *testing.T, open openTransport, serve func(*peer)) *bench {
	t.Helper()
	b := &bench{t: t, clock: engine.NewClock(), server: listenTLS(t, open.tls, serve), scheme: "http"}
	if open.tls != nil {
		b.scheme = "https"
	}
	b.transport = open.make(t, b.clock)
	t.Cleanup(b.close)
	return b
}

// request makes one whose body can be had again.
func (b *bench) request(method, path, body string) *http.Request {
	b.t.Helper()
	var r io.Reader
	if body != "" {
		r = bytes.NewReader([]byte(body))
	}
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.scheme+"://"+b.server.addr+path, r)
	if err != nil {
		b.t.Fatal(err)
	}
	return req
}

// get asks for path and waits for the end.
func (b *bench) get(path string) *witness {
	b.t.Helper()
	return b.do(b.request(http.MethodGet, path, ""))
}

// do sends req and waits for the end.
func (b *bench) do(req *http.Request) *witness {
	b.t.Helper()
	return b.begin(b.t.Context(), req, b.clock.Now()+patience, nil).wait()
}

// begin starts an exchange that wants of each piece what wants says; nil reads
// on. The head is the piece without bytes.
func (b *bench) begin(ctx context.Context, req *http.Request, until time.Duration, wants func(p []byte) next) *witness {
	b.t.Helper()
	w := &witness{t: b.t, clock: b.clock, over: make(chan struct{}), returned: make(chan struct{}), wants: wants}
	ctx = withConnectTimes(ctx, func(c connectTimes) {
		if c.Dial <= 0 || (c.TLS > 0) != (b.scheme == "https") {
			b.t.Errorf("a connection opened in %+v", c)
		}
		b.opened.Add(1)
	})
	go func() {
		defer close(w.returned)
		b.start(ctx, req, until, w)
	}()
	return w
}

// connections holds how many connections there were to account, on both sides.
func (b *bench) connections(want int64) {
	b.t.Helper()
	if b.opened.Load() != want || b.server.accepted.Load() != want {
		b.t.Errorf("%d connections opened, %d accepted, want %d", b.opened.Load(), b.server.accepted.Load(), want)
	}
}

// A witness is an exchange that keeps what it is told, and holds the manner in
// which it is told to account.
type witness struct {
	t     *testing.T
	clock engine.Clock
	wants func([]byte) next

	busy atomic.Bool
	over chan struct{} // closed by end
	// returned is closed when start has returned.
	returned chan struct{}

	mu       sync.Mutex // no call waits for another: see busy
	conns    []connection
	left     []departure
	answer   *http.Response
	first    time.Duration
	headRead receipt
	pieces   []piece
	err      error
	ended    bool
}

// A piece is what one call of body brought.
type piece struct {
	text string
	receipt
}

// enter begins a call and answers how to end it.
func (w *witness) enter(name string) func() {
	if !w.busy.CompareAndSwap(false, true) {
		w.t.Errorf("%s while another call is under way", name)
	}
	w.mu.Lock()
	if w.ended {
		w.t.Errorf("%s after the end", name)
	}
	return func() {
		w.mu.Unlock()
		w.busy.Store(false)
	}
}

func (w *witness) opened(c connection) {
	defer w.enter("opened")()
	if w.answer != nil {
		w.t.Error("a connection after the head")
	}
	if c.ready <= 0 || c.ready > w.clock.Now() {
		w.t.Errorf("ready at %v of %v", c.ready, w.clock.Now())
	}
	w.conns = append(w.conns, c)
}

func (w *witness) sent(d departure) {
	defer w.enter("sent")()
	switch {
	case len(w.conns) == 0:
		w.t.Error("sent without a connection")
	case len(w.left) >= len(w.conns):
		w.t.Error("sent twice on one connection")
	case d.at != 0 && (d.at < w.conns[len(w.conns)-1].ready || d.at > w.clock.Now()):
		w.t.Errorf("sent at %v of %v, ready at %v", d.at, w.clock.Now(), w.conns[len(w.conns)-1].ready)
	}
	w.left = append(w.left, d)
}

func (w *witness) head(resp *http.Response, first time.Duration, r receipt) next {
	defer w.enter("head")()
	switch {
	case len(w.conns) == 0:
		w.t.Error("a head without a connection")
	case w.answer != nil:
		w.t.Error("a second head")
	case resp.Body != nil:
		w.t.Error("the head has a body")
	case first < w.conns[len(w.conns)-1].ready || first > r.at:
		w.t.Errorf("first byte at %v, last of the head at %v, ready at %v", first, r.at, w.conns[len(w.conns)-1].ready)
	}
	w.sound(r)
	w.answer, w.first, w.headRead = resp, first, r
	if w.wants != nil {
		return w.wants(nil)
	}
	return more
}

func (w *witness) body(p []byte, r receipt) next {
	defer w.enter("body")()
	last := w.headRead
	if len(w.pieces) > 0 {
		last = w.pieces[len(w.pieces)-1].receipt
	}
	switch {
	case w.answer == nil:
		w.t.Error("body before the head")
	case len(p) == 0:
		w.t.Error("an empty piece")
	case r.read < last.read || r.at < last.at || r.read == last.read && r.at != last.at:
		w.t.Errorf("read %+v after %+v", r, last)
	}
	w.sound(r)
	w.pieces = append(w.pieces, piece{string(p), r})
	if w.wants != nil {
		return w.wants(p)
	}
	return more
}

// sound holds one receipt to account.
func (w *witness) sound(r receipt) {
	if r.after > r.at || r.at > r.returned || r.returned > w.clock.Now() || r.at <= 0 {
		w.t.Errorf("receipt %+v at %v", r, w.clock.Now())
	}
}

func (w *witness) end(err error) {
	leave := w.enter("end")
	w.err, w.ended = err, true
	leave()
	close(w.over)
}

// wait waits for the end and for start's return.
func (w *witness) wait() *witness {
	w.t.Helper()
	for _, c := range []chan struct{}{w.over, w.returned} {
		select {
		case <-c:
		case <-time.After(patience + time.Second):
			w.t.Fatalf("no end within %v: %v", patience, w)
		}
	}
	return w
}

// text is the whole body.
func (w *witness) text() string {
	var b bytes.Buffer
	for _, p := range w.pieces {
		b.WriteString(p.text)
	}
	return b.String()
}

// conn is the connection the answer came on.
func (w *witness) conn() connection {
	w.t.Helper()
	if len(w.conns) == 0 {
		w.t.Fatalf("no connection: %v", w)
	}
	return w.conns[len(w.conns)-1]
}

func (w *witness) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	status := "no answer"
	if w.answer != nil {
		status = w.answer.Status
	}
	text := w.text()
	return fmt.Sprintf("%d connections, %d departures, %s, %d bytes %.60q, ended %v with %v", len(w.conns), len(w.left), status, len(text), text, w.ended, w.err)
}

// answered holds a whole answer to account.
func (w *witness) answered(status int, body string) *witness {
	w.t.Helper()
	if w.err != nil || w.answer == nil || w.answer.StatusCode != status || w.text() != body {
		w.t.Errorf("%v; want %d with %d bytes %.60q", w, status, len(body), body)
	}
	return w
}

// failed holds a failure to account: how it ended (see howEnded; where there are
// two ways to see it, both, with "or" between), the status of the head that came
// before it (0: none), and the bytes of the body.
func (w *witness) failed(how string, status int, body string) *witness {
	w.t.Helper()
	got := 0
	if w.answer != nil {
		got = w.answer.StatusCode
	}
	if !slices.Contains(strings.Split(how, " or "), howEnded(w.err)) || got != status || w.text() != body {
		w.t.Errorf("%v (%s); want %q after %d and %q", w, howEnded(w.err), how, status, body)
	}
	return w
}

// howEnded tells the ends of an exchange apart as drivers do.
func howEnded(err error) string {
	switch {
	case err == nil:
		return "well"
	case errors.Is(err, errCut):
		return "cut"
	case errors.Is(err, errTimeout):
		return "timeout"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "unexpected EOF"
	}
	return classOf(err)
}
