package driver

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// A destination is what decides which transport a workload's requests take.
type destination struct {
	base  *url.URL
	prior bool // HTTP/2 by prior knowledge
	keep  int  // connections kept open idle
	// gather and gatherers are those of h1.Options.
	gather    time.Duration
	gatherers int
}

// defaultKeep is how many connections stay open idle where the scenario sets no
// bound of its own.
const defaultKeep = 10_000

// destinationOf is the destination of w's requests, which go to base.
func destinationOf(w *scenario.Workload, base *url.URL) destination {
	keep := max(w.Load.MaxInFlight, w.Load.Users)
	if keep == 0 {
		keep = defaultKeep
	}
	return destination{base: base, prior: w.HTTP2 && base.Scheme == "http", keep: keep}
}

// chooseTransport returns the transport for requests to a destination over
// connections of d:
//
//   - net/http through a proxy, with HTTP/2 by prior knowledge, and where there
//     are no event loops;
//   - event loops for HTTP/1.1;
//   - on https, whose server decides by ALPN, event loops until a connection turns
//     out to speak HTTP/2, and net/http from then on.
func chooseTransport(clock engine.Clock, d *dialer, to destination) (transport, error) {
	onNetHTTP := newNetHTTP(clock, newTransport(d, to.prior, to.keep))
	if proxy, err := http.ProxyFromEnvironment(&http.Request{URL: to.base}); to.prior || proxy != nil || err != nil {
		return onNetHTTP, nil
	}
	onLoops, err := newLoops(clock, d.open1, to)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return onNetHTTP, nil
	case err != nil:
		return nil, err
	}
	return newNegotiated(onLoops, onNetHTTP), nil
}

// open1 opens a connection for HTTP/1.1.
func (d *dialer) open1(ctx context.Context, addr string, secure bool) (net.Conn, error) {
	if !secure {
		return d.dial(ctx, "tcp", addr)
	}
	conn, err := d.dialTLS(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if t, ok := conn.(*tls.Conn); ok && t.ConnectionState().NegotiatedProtocol == "h2" {
		return nil, &http2Error{conn, addr}
	}
	return conn, nil
}

// An http2Error is that a connection for HTTP/1.1 speaks HTTP/2.
type http2Error struct {
	conn net.Conn
	addr string // that was dialled
}

func (e *http2Error) Error() string { return e.addr + " speaks HTTP/2" }

// A negotiated transport is on event loops, and for https until a connection
// speaks HTTP/2. That connection, and any opened at the same time, are net/http's then.
type negotiated struct {
	one *loops
	two *netHTTP
	is2 atomic.Bool

	mu     sync.Mutex
	opened []*http2Error
}

func newNegotiated(one *loops, two *netHTTP) *negotiated {
	t := &negotiated{one: one, two: two}
	dial := two.http.DialTLSContext
	two.http.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if conn := t.take(addr); conn != nil {
			return conn, nil
		}
		return dial(ctx, network, addr)
	}
	return t
}

func (t *negotiated) start(ctx context.Context, req *http.Request, until time.Duration, x exchange) {
	switch {
	case req.URL.Scheme == "http":
		t.one.start(ctx, req, until, x)
		return
	case t.is2.Load():
		t.two.start(ctx, req, until, x)
		return
	}
	t.one.start(ctx, req, until, &undecided{exchange: x, onHTTP2: func(conn *http2Error) {
		t.is2.Store(true)
		t.keep(conn)
		again := req
		if req.GetBody != nil { // the body has been read
			body, err := req.GetBody()
			if err != nil {
				x.end(err)
				return
			}
			again = req.WithContext(req.Context())
			again.Body = body
		}
		t.two.start(ctx, again, until, x)
	}})
}

// keep takes a connection for net/http, one for an address: HTTP/2 needs no more.
func (t *negotiated) keep(conn *http2Error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if slices.ContainsFunc(t.opened, func(c *http2Error) bool { return c.addr == conn.addr }) {
		_ = conn.conn.Close() // nothing was sent on it
		return
	}
	t.opened = append(t.opened, conn)
}

// take returns a connection to addr that was kept, or nil.
func (t *negotiated) take(addr string) net.Conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := slices.IndexFunc(t.opened, func(c *http2Error) bool { return c.addr == addr })
	if at < 0 {
		return nil
	}
	conn := t.opened[at].conn
	t.opened = slices.Delete(t.opened, at, at+1)
	return conn
}

func (t *negotiated) close() {
	t.one.close()
	t.two.close()
	for _, unused := range t.opened {
		_ = unused.conn.Close() // nothing was sent on it
	}
}

// An undecided exchange goes on over HTTP/2 where its connection speaks it,
// which shows before anything has been told of it.
type undecided struct {
	exchange
	onHTTP2 func(*http2Error)
}

func (x *undecided) end(err error) {
	if two, ok := errors.AsType[*http2Error](err); ok {
		x.onHTTP2(two)
		return
	}
	x.exchange.end(err)
}
