package h1

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/rxtime"
)

// A conn is one connection. Its lock is held by the goroutine that begins an
// exchange on it, by its loop while it reads, and by who cuts an exchange; a
// handler is called under it, but for End.
type conn struct {
	mu       sync.Mutex
	closed   bool
	briefly  bool      // the handler has had enough
	awaiting bool      // the loop waits for it
	sending  bool      // some of the request is still to go
	ends     bool      // the peer has closed its side
	x        *exchange // nil while the connection is kept, and after its end
	loop     *loop
	socket   *rxtime.Socket // what is waited for
	in       io.Reader      // what is read: the socket, or TLS over it
	answer   answer

	client *Client
	to     origin
	top    net.Conn // what is written and closed
	fd     int
	until  time.Time // the end of the exchange, or of keeping the connection

	timer int       // place among the loop's timers, none without one; guarded by the loop
	due   time.Time // when it goes off; guarded by the loop
}

// begin puts x on the connection and writes its request. It answers false where
// a kept connection turned out to be closed, and x is to go elsewhere.
func (c *conn) begin(x *exchange, reused bool) bool {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return false
	}
	c.x, c.answer, c.briefly = x, answer{}, false
	x.on.Store(c)
	err := c.write(x, reused)
	if err != nil {
		c.drop()
	}
	c.mu.Unlock()
	switch {
	case err == nil:
		return true
	case reused && x.ctx.Err() == nil && (!c.sending || repeatable(x.req)):
		x.on.Store(nil)
		return false
	}
	x.end(err)
	return true
}

func (c *conn) write(x *exchange, reused bool) error {
	x.handler.Opened(reused, time.Now())
	if x.ctx.Err() != nil {
		return x.ended() // before it could be cut here
	}
	if n, err := c.top.Write(x.wire); err != nil {
		c.sending = n > 0 || c.to.secure // some of it may have gone
		return err
	}
	if err := c.flush(); err != nil {
		return err
	}
	if !reused {
		x.sure()
	}
	c.until = x.deadline
	c.loop.arm(c, c.until)
	if c.awaiting {
		return nil
	}
	c.awaiting = true
	return c.loop.add(c, c.sending)
}

// flush sends on what the socket has not taken yet, and tells when that was all.
func (c *conn) flush() error {
	done, err := c.socket.Flush()
	if err != nil {
		return err
	}
	if done && !c.x.sent && c.answer.first.IsZero() {
		c.x.sent = true
		stamp, _ := c.socket.LastSent()
		c.x.handler.Sent(stamp)
	}
	if c.awaiting && c.sending == done {
		err = c.loop.watch(c, !done)
	}
	c.sending = !done
	return err
}

// ready is called by the loop when something has happened to the socket.
func (c *conn) ready(what events) {
	c.mu.Lock()
	x := c.x
	var err error
	over := false
	if !c.closed {
		c.socket.Ready(what.failed())
		c.ends = c.ends || what.ends()
		if c.sending && what.writable() {
			err = c.flush()
		}
		if err == nil {
			over, err = c.read()
		}
		over = over || err != nil
	}
	again := false
	if over {
		again = x != nil && c.repeats(x, err)
		whole := err == nil && !c.sending
		err = c.meaning(err)
		c.leave(whole)
	}
	c.mu.Unlock()
	switch {
	case !over || x == nil:
	case again:
		x.on.Store(nil)
		c.client.again.Go(func() { c.client.send(x, false) })
	default:
		x.end(err)
	}
}

// repeats says that x, which ended with err, is to be sent again.
func (c *conn) repeats(x *exchange, err error) bool {
	return err != nil && x.wire != nil && c.answer.first.IsZero() && x.ctx.Err() == nil && repeatable(x.req)
}

// errStopped ends an exchange whose handler wants nothing more.
var errStopped = errors.New("stopped")

// meaning is what the handler is told of an exchange that ended with err.
func (c *conn) meaning(err error) error {
	switch {
	case errors.Is(err, errStopped), c.briefly:
		return nil
	case errors.Is(err, io.EOF) && !c.answer.first.IsZero():
		return io.ErrUnexpectedEOF
	}
	return err
}

// readsAtOnce bounds how often one socket is read before the others have their
// turn.
const readsAtOnce = 16

// read takes what the socket has, and answers whether the exchange is over; a
// connection without one is over when anything comes.
func (c *conn) read() (over bool, err error) {
	for range readsAtOnce {
		n, err := c.in.Read(c.loop.buf)
		if n > 0 {
			if c.x == nil {
				return true, errUnasked
			}
			stamp, number := c.socket.Last()
			if over, err := c.take(c.loop.buf[:n], stamp, number); over || err != nil {
				c.answer.keep = c.answer.keep && c.quiet()
				return true, err
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, rxtime.ErrWait) && c.ends:
			c.ends = false
			c.socket.Ready(false) // the end is behind what has been read
		case errors.Is(err, rxtime.ErrWait):
			return false, nil
		case errors.Is(err, io.EOF) && c.answer.body == untilClose:
			return true, nil
		default:
			return true, err
		}
	}
	c.loop.later(c)
	return false, nil
}

// quiet says that nothing has come behind the answer, of which there would be no
// further report.
func (c *conn) quiet() bool {
	if c.ends {
		return false
	}
	_, err := c.in.Read(c.loop.buf)
	return errors.Is(err, rxtime.ErrWait)
}

// take takes bytes of the answer and tells the handler.
func (c *conn) take(p []byte, s rxtime.Stamp, number uint64) (over bool, err error) {
	a := &c.answer
	if a.first.IsZero() {
		a.first = s.At
		c.x.sure()
	}
	if a.body == awaited {
		resp, rest, err := a.takeHead(p, c.x.req, c.loop.heads) //nolint:bodyclose // it has none
		if resp == nil || err != nil {
			return false, err
		}
		c.x.req = nil // it is not needed any more, and there are thousands
		wants := c.x.handler.Head(resp, a.first, s, number)
		p = rest
		if a.body == fixed && a.remaining == 0 {
			a.keep = a.keep && len(p) == 0
			return true, c.wanted(wants, true)
		}
		if err := c.wanted(wants, false); err != nil {
			return false, err
		}
	}
	for len(p) > 0 {
		n, data, done, err := a.takeBody(p)
		if err != nil {
			return false, err
		}
		p = p[n:]
		var wants Next
		if len(data) > 0 {
			wants = c.x.handler.Body(data, s, number)
		}
		if done {
			a.keep = a.keep && len(p) == 0
			return true, c.wanted(wants, true)
		}
		if err := c.wanted(wants, false); err != nil {
			return false, err
		}
	}
	return false, nil
}

// wanted does as the handler wants with what is left of an answer.
func (c *conn) wanted(wants Next, over bool) error {
	switch {
	case over:
	case wants == Stop:
		return errStopped
	case wants == Enough && !c.briefly:
		c.briefly = true
		if until := time.Now().Add(c.client.options.Linger); until.Before(c.until) {
			c.until = until
			c.loop.arm(c, until)
		}
	}
	return nil
}

// expired is called by the loop when the connection's time may be over.
func (c *conn) expired(now time.Time) {
	c.mu.Lock()
	x, due := c.x, !c.closed && !now.Before(c.until)
	var err error
	switch {
	case due:
		err = c.meaning(fmt.Errorf("%w of the answer", os.ErrDeadlineExceeded))
		c.drop()
	case !c.closed:
		c.loop.arm(c, c.until)
	}
	c.mu.Unlock()
	if due && x != nil {
		x.end(err)
	}
}

// leave takes the exchange off the connection, which is kept for another where
// that is possible.
func (c *conn) leave(whole bool) {
	if c.x == nil || !whole || !c.answer.keep {
		c.drop()
		return
	}
	c.x, c.answer.head = nil, nil
	c.until = time.Now().Add(c.client.options.IdleTimeout)
	c.loop.arm(c, c.until)
	if !c.client.idle.keep(c) {
		c.drop()
	}
}

// drop closes the connection, whose lock is held.
func (c *conn) drop() {
	if c.closed {
		return
	}
	if c.x == nil {
		c.client.idle.forget(c)
	}
	c.closed, c.x = true, nil
	c.loop.forget(c)
	_ = c.top.Close() // what matters of it has been told
}
