package driver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/rxtime"
)

// readBuffer is the size of one read of a body, in bytes.
const readBuffer = 8 << 10

// A netHTTP is the transport on net/http: it speaks everything that package
// does, HTTP/2 and proxies among it, and takes three goroutines and their
// buffers an exchange. start returns when the exchange has ended.
type netHTTP struct {
	http    *http.Transport
	clock   engine.Clock
	buffers sync.Pool // of *[readBuffer]byte
	rate    int       // bytes a second at which bodies are read; 0: as they come
}

func newNetHTTP(clock engine.Clock, t *http.Transport) *netHTTP {
	return &netHTTP{http: t, clock: clock, buffers: sync.Pool{New: func() any { return new([readBuffer]byte) }}}
}

func (t *netHTTP) close() { t.http.CloseIdleConnections() }

// A tracked request is what the goroutines of net/http tell of it. They may do
// so after the exchange is over, so it is never used again.
type tracked struct {
	clock     engine.Clock
	oneWrite  bool // the whole request leaves in one write
	conn      atomic.Pointer[rxtime.Conn]
	got       atomic.Pointer[connection]
	wrote     atomic.Bool
	firstByte atomic.Int64 // instant of the run
}

func (r *tracked) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			if conn, ok := rxtime.From(info.Conn); ok {
				r.conn.Store(conn)
			}
			r.got.Store(&connection{reused: info.Reused, ready: r.clock.Now()})
		},
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			if info.Err == nil {
				r.wrote.Store(true)
			}
		},
		GotFirstResponseByte: func() { r.firstByte.Store(int64(r.headInstant())) },
	})
}

// headInstant is when the bytes left the socket that the connection's reading
// goroutine, which calls it, is looking at.
func (r *tracked) headInstant() time.Duration {
	if conn := r.conn.Load(); conn != nil {
		at, _ := conn.LastRead()
		return r.clock.Since(at)
	}
	return r.clock.Now()
}

// A teller tells an exchange what a tracked request has come to so far, each
// thing once.
type teller struct {
	*tracked
	x            exchange
	opened, sent bool
}

// connected tells of the connection.
func (t *teller) connected() {
	if c := t.got.Load(); !t.opened && c != nil {
		t.opened = true
		t.x.opened(*c)
	}
}

// left tells when the request, which has been answered, had left, if that is
// known by now: the answer may come before the write returns. The instant is of
// a connection that is this exchange's alone; over HTTP/2 there is none.
func (t *teller) left(protoMajor int) {
	t.connected()
	if t.sent || !t.opened {
		return
	}
	if conn := t.conn.Load(); protoMajor == 1 && conn != nil {
		if !t.oneWrite && !t.wrote.Load() {
			return // some of it may still be on its way
		}
		stamp, _ := conn.LastSent()
		if at := t.clock.Since(stamp.At); at >= t.got.Load().ready {
			t.sent = true
			t.x.sent(departure{at: at, kernel: stamp.Kernel})
		}
		return
	}
	if t.wrote.Load() {
		t.sent = true
		t.x.sent(departure{})
	}
}

// ended tells of the end, and of what no answer has told before.
func (t *teller) ended(err error) {
	t.connected()
	if !t.sent && t.opened && t.wrote.Load() {
		t.x.sent(departure{})
	}
	t.x.end(err)
}

// received says when the bytes of the body's latest read arrived.
//
// Over HTTP/1.x the connection is this exchange's alone and the body is read in
// the caller's goroutine, so the instant of the connection's latest read is
// theirs, even where net/http had them in its buffer.
//
// An HTTP/2 connection is shared, and read ahead of the body by a goroutine of
// its own. Its latest read when the body's returns is the one that brought the
// body's bytes or a later one, so its instant errs to the late side, and by less
// than the return of the body's read does. Each read of the body counts as one.
func (t *teller) received(protoMajor int) func() receipt {
	conn := t.conn.Load()
	if protoMajor == 1 && conn != nil {
		return func() receipt {
			stamp, reads := conn.Last()
			return newReceipt(t.clock, stamp, reads)
		}
	}
	var last receipt
	return func() receipt {
		now := t.clock.Now()
		r := receipt{at: now, returned: now, after: last.at, read: last.read + 1}
		if conn != nil {
			stamp, _ := conn.Last()
			r.at, r.returned, r.kernel = t.clock.Since(stamp.At), t.clock.Since(stamp.Returned), stamp.Kernel
		}
		last = r
		return r
	}
}

func (t *netHTTP) start(parent context.Context, req *http.Request, until time.Duration, x exchange) {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	timer := time.AfterFunc(until-t.clock.Now(), func() { cancel(errTimeout) })
	defer timer.Stop()

	tell := &teller{tracked: &tracked{clock: t.clock, oneWrite: req.ContentLength <= connWriteBuffer/2}, x: x}
	resp, err := t.http.RoundTrip(req.WithContext(tell.trace(ctx)))
	if err != nil {
		tell.ended(because(parent, ctx, err))
		return
	}
	defer func() { _ = resp.Body.Close() }() // the exchange's end is known by then
	tell.ended(because(parent, ctx, t.read(ctx, tell, resp, func() {
		timer.Reset(min(linger, until-t.clock.Now()))
	})))
}

// read tells of the head and the body; brief is called when the exchange has
// had enough.
func (t *netHTTP) read(ctx context.Context, tell *teller, resp *http.Response, brief func()) error {
	when := tell.received(resp.ProtoMajor)
	tell.left(resp.ProtoMajor)
	body := resp.Body
	resp.Body = nil
	wants := tell.x.head(resp, time.Duration(tell.firstByte.Load()), when())
	resp.Body = body

	buf, _ := t.buffers.Get().(*[readBuffer]byte)
	defer t.buffers.Put(buf)
	slow := newThrottle(t.rate)
	briefly := false
	for {
		switch {
		case wants == stop:
			return nil
		case wants == enough && !briefly:
			briefly = true
			brief()
		}
		n, err := body.Read(slow.part(buf[:]))
		if late := slow.take(ctx, n); late != nil && err == nil {
			err = late
		}
		if n > 0 {
			tell.left(resp.ProtoMajor)
			wants = tell.x.body(buf[:n], when())
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && briefly:
			return nil // it had enough
		case err != nil:
			return err
		}
	}
}

// because adds to err, if there is one, why the exchange's context had ended.
// parent is what the engine cancels, ctx the exchange's own context beneath it.
func because(parent, ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case parent.Err() != nil:
		return fmt.Errorf("%w: %w", errCut, err)
	case errors.Is(context.Cause(ctx), errTimeout) && !errors.Is(err, errTimeout):
		return fmt.Errorf("%w: %w", errTimeout, err)
	}
	return err
}
