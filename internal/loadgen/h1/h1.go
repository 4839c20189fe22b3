// Package h1 is an HTTP/1.1 client for thousands of slow answers at once: a few
// event loops wait for all connections together, so that one which waits costs
// neither a goroutine nor a buffer, and an answer is told of by calls, piece by
// piece, with the instant each piece arrived.
//
// A request is encoded, its connection is found or dialled, and it is written in
// the goroutine that starts it; the loops read. What the loops call must not
// wait, for everything else waits for it.
//
// The package knows the framing of RFC 9112 and when a connection can be kept.
// It knows nothing of what a body says, of redirects, cookies, proxies or
// HTTP/2. It needs Linux's epoll; elsewhere New answers errors.ErrUnsupported.
package h1

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/edgeload/edgeload/internal/loadgen/rxtime"
)

// Options of a Client.
type Options struct {
	// Dial opens a connection to an address, "host:port", and does the TLS
	// handshake where secure. At the bottom of what it returns is an rxtime.Conn
	// on a TCP socket. It is required.
	Dial func(ctx context.Context, addr string, secure bool) (net.Conn, error)
	// Loops is how many event loops there are; 0 stands for one for every two
	// processors that Go uses.
	Loops int
	// Linger is how long an answer is read on that its handler has had enough of.
	Linger time.Duration
	// IdleTimeout closes a kept connection that has not been used for so long; 0
	// stands for 90 s.
	IdleTimeout time.Duration
	// Gather lets a loop that has many events look only once in so long and take
	// all that have come, which spares a wake-up for each. When they came the
	// stamps tell. It suits answers that are streams, and delays requests that
	// wait for the answer before. 0: a loop looks as soon as something has come.
	Gather time.Duration
	// Gatherers is how many clients of this process gather at once; 0 stands for 1.
	// A loop that gathers keeps a processor of Go's, where that leaves one.
	Gatherers int
	// MaxIdle is how many connections are kept for later requests to one address.
	MaxIdle int
}

// A Handler is told what becomes of one request: Opened, Sent, Head, then Body
// for each piece, as far as it comes, and End exactly once and last. The calls
// come one after the other, from any goroutine, and may not block, which Start
// would. Stamps are those of the connection's rxtime.Conn, and reads the number of
// its read.
type Handler interface {
	// Opened: there is a connection, used before or not. A request that is
	// repeated because the server had closed the first has a second call.
	Opened(reused bool, ready time.Time)
	// Sent: all of the request has been given to the kernel. There is no call where
	// the answer begins before that, and none for a repetition.
	Sent(s rxtime.Stamp)
	// Head: the status line and headers are there, after any answers below 200.
	// first is when their first byte arrived, s the read of their last one.
	// resp.Body is nil.
	Head(resp *http.Response, first time.Time, s rxtime.Stamp, reads uint64) Next
	// Body: bytes of the body, free of transfer coding and never none; they are
	// gone after the call.
	Body(p []byte, s rxtime.Stamp, reads uint64) Next
	// End: the body was read to its end, or the handler had enough, where err is
	// nil. It is io.EOF where the server closed the connection without an answer,
	// io.ErrUnexpectedEOF within one, in the chain os.ErrDeadlineExceeded at the
	// deadline and the context's cause at its end, or the error of the
	// connection or of the dial.
	End(err error)
}

// Next is what a handler wants of the rest of an answer.
type Next int

// Wishes.
const (
	More   Next = iota // read on
	Enough             // read on for Options.Linger at most, so that the connection can be kept
	Stop               // nothing more: close the connection
)

// A Client sends requests over kept connections. Any number of goroutines may
// use it at once.
type Client struct {
	options Options
	loops   []*loop
	turn    atomic.Uint64 // whose turn among the loops it is
	idle    idle
	wires   sync.Pool // of *bytes.Buffer
	again   sync.WaitGroup

	latest atomic.Pointer[http.Request] // started last
	same   atomic.Pointer[encoded]      // the one that has been started twice in a row
}

// An encoded request is what goes over the wire, and where to.
type encoded struct {
	req  *http.Request
	to   origin
	wire []byte
}

// New returns a client whose loops run until Close. It is an error where the
// kernel gives no epoll instance.
func New(o Options) (*Client, error) {
	if o.Loops == 0 {
		o.Loops = (runtime.GOMAXPROCS(0) + 1) / 2
	}
	if o.IdleTimeout == 0 {
		o.IdleTimeout = 90 * time.Second
	}
	c := &Client{options: o, idle: idle{most: o.MaxIdle}, wires: sync.Pool{New: func() any { return new(bytes.Buffer) }}}
	for range o.Loops {
		l, err := newLoop(newPace(o.Gather), o.Loops*max(o.Gatherers, 1) < runtime.GOMAXPROCS(0))
		if err != nil {
			c.Close()
			return nil, err
		}
		c.loops = append(c.loops, l)
	}
	return c, nil
}

// Close ends the loops and closes all connections. It is called once, after
// every exchange has ended.
func (c *Client) Close() {
	c.again.Wait()
	for _, l := range c.loops {
		l.close()
	}
}

// An exchange is one request and its answer. Once it is on a connection, that
// connection's lock guards it.
type exchange struct {
	client   *Client
	handler  Handler
	ctx      context.Context
	deadline time.Time
	req      *http.Request
	to       origin
	wire     []byte        // the request, while it may have to be sent again
	pooled   *bytes.Buffer // that wire lies in, if any
	sent     bool          // the handler knows
	on       atomic.Pointer[conn]
	detach   func() bool // from ctx
}

// An origin is where connections go.
type origin struct {
	addr   string // host:port
	secure bool
}

// Start sends req, whose context is not looked at, and has h told what becomes
// of it until deadline or the end of ctx. It returns when the request is written.
// A request without a body may be started any number of times, at once too, and
// is not changed meanwhile.
func (c *Client) Start(ctx context.Context, req *http.Request, deadline time.Time, h Handler) {
	x := &exchange{client: c, handler: h, ctx: ctx, deadline: deadline, req: req}
	if err := c.encode(x); err != nil {
		h.End(err)
		return
	}
	x.detach = context.AfterFunc(ctx, x.cut)
	c.send(x, true)
}

// encode gives x its wire. What is the same for every arrival is encoded once.
func (c *Client) encode(x *exchange) error {
	if same := c.same.Load(); same != nil && same.req == x.req {
		x.to, x.wire = same.to, same.wire
		return nil
	}
	to, err := originOf(x.req.URL)
	if err != nil {
		return err
	}
	wire, err := c.written(x.req)
	if err != nil {
		return err
	}
	x.to, x.wire, x.pooled = to, wire.Bytes(), wire
	if x.req.Body == nil && c.latest.Swap(x.req) == x.req {
		c.same.Store(&encoded{req: x.req, to: to, wire: bytes.Clone(x.wire)})
	}
	return nil
}

// originOf is where u's requests go.
func originOf(u *url.URL) (origin, error) {
	to := origin{addr: u.Host, secure: u.Scheme == "https"}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return to, fmt.Errorf("%s: want an http or https URL", u.Redacted())
	case u.Port() == "" && to.secure:
		to.addr = net.JoinHostPort(u.Hostname(), "443")
	case u.Port() == "":
		to.addr = net.JoinHostPort(u.Hostname(), "80")
	}
	return to, nil
}

// written is req as it goes over the wire.
func (c *Client) written(req *http.Request) (*bytes.Buffer, error) {
	for name, values := range req.Header {
		if !httpguts.ValidHeaderFieldName(name) {
			return nil, fmt.Errorf("malformed header name %q", name)
		}
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				return nil, fmt.Errorf("malformed value of header %s", name)
			}
		}
	}
	wire, _ := c.wires.Get().(*bytes.Buffer)
	wire.Reset()
	if err := req.Write(wire); err != nil {
		return nil, fmt.Errorf("encode the request: %w", err)
	}
	return wire, nil
}

// send writes x on a kept connection, where reuse, or on a fresh one.
func (c *Client) send(x *exchange, reuse bool) {
	for reuse {
		kept := c.idle.take(x.to)
		if kept == nil {
			break
		}
		if kept.begin(x, true) {
			return
		}
	}
	ctx, cancel := context.WithDeadline(x.ctx, x.deadline)
	defer cancel()
	fresh, err := c.dial(ctx, x.to)
	switch {
	case err == nil:
		fresh.begin(x, false)
		return
	case x.ctx.Err() != nil:
		err = x.ended()
	case ctx.Err() != nil:
		err = fmt.Errorf("%w: %w", os.ErrDeadlineExceeded, err)
	}
	x.end(err)
}

// dial opens a connection that a loop is to wait for.
func (c *Client) dial(ctx context.Context, to origin) (*conn, error) {
	top, err := c.options.Dial(ctx, to.addr, to.secure)
	if err != nil {
		return nil, err
	}
	rx, ok := rxtime.From(top)
	if !ok {
		_ = top.Close() // nothing was written
		return nil, fmt.Errorf("dial %s: %w: a %T is not timed", to.addr, errors.ErrUnsupported, top)
	}
	socket, err := rx.Detach()
	if err != nil {
		_ = top.Close() // nothing was written
		return nil, err
	}
	made := &conn{
		client: c, loop: c.loops[c.turn.Add(1)%uint64(len(c.loops))], to: to,
		top: top, in: top, socket: socket, fd: socket.FD(), timer: none,
	}
	if !to.secure {
		made.in = socket // no layer between
	}
	return made, nil
}

// cut ends the exchange with its context.
func (x *exchange) cut() {
	c := x.on.Load()
	if c == nil {
		return // send will see it
	}
	c.mu.Lock()
	mine := c.x == x
	if mine {
		c.drop()
	}
	c.mu.Unlock()
	if mine {
		x.end(x.ended())
	}
}

// ended is the error of an exchange whose context has ended.
func (x *exchange) ended() error { return context.Cause(x.ctx) }

// sure gives up the means to send the request again.
func (x *exchange) sure() {
	x.wire = nil
	if x.pooled != nil {
		x.client.wires.Put(x.pooled)
		x.pooled = nil
	}
}

// end tells the handler. The exchange is on no connection any more.
func (x *exchange) end(err error) {
	x.detach()
	x.sure()
	x.handler.End(err)
}

// repeatable says that a request may be sent again on a fresh connection after
// the server has closed a kept one without a byte of an answer: net/http's rule.
func repeatable(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return req.Header.Get("Idempotency-Key") != "" || req.Header.Get("X-Idempotency-Key") != ""
}

var errUnasked = fmt.Errorf("answer without a request: %w", io.ErrUnexpectedEOF)
