package sink

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"time"
)

// Limits of a connection.
const (
	maxHead       = 64 << 10 // bytes of a request's line and headers
	maxBody       = 1 << 20  // bytes of its body
	keptBody      = 16 << 10 // bytes of a body's buffer that are kept for the next
	bufferSize    = 4 << 10
	idleLimit     = 5 * time.Minute        // between two requests
	requestLimit  = 30 * time.Second       // from a request's first byte to its last
	writeLimit    = 10 * time.Second       // for one write to be taken
	hangLimit     = 10 * time.Minute       // for a caller that gets no answer
	lingerLimit   = 500 * time.Millisecond // for what is still sent by one that was refused
	longAgo       = 1                      // a deadline, in Unix seconds, that has passed
	continueReply = "HTTP/1.1 100 Continue\r\n\r\n"
)

// A conn serves one connection.
type conn struct {
	sink *Sink
	net  net.Conn
	in   arrivals
	buf  *bufio.Reader
	body bytes.Buffer
	out  bytes.Buffer
}

func newConn(s *Sink, c net.Conn) *conn {
	served := &conn{sink: s, net: c}
	served.in.conn = s.clock.Wrap(c)
	served.buf = bufio.NewReaderSize(&served.in, bufferSize)
	return served
}

// serve answers requests until one of both sides has done.
func (c *conn) serve() {
	for c.sink.ctx.Err() == nil {
		c.in.room = math.MaxInt
		if c.net.SetReadDeadline(time.Now().Add(idleLimit)) != nil {
			return
		}
		if _, err := c.buf.Peek(1); err != nil {
			return // the caller has gone, as is its right
		}
		if !c.one() {
			return
		}
	}
}

// one reads and answers one request and reports whether another may follow.
func (c *conn) one() (more bool) {
	if c.net.SetReadDeadline(time.Now().Add(requestLimit)) != nil {
		return false
	}
	c.in.room = maxHead
	req, err := http.ReadRequest(c.buf)
	c.in.room = math.MaxInt
	if err != nil {
		return c.refuse(statusOf(err), "read the request: "+err.Error())
	}
	if status, why := unfit(req); status != 0 {
		return c.refuse(status, why)
	}
	if status, err := c.readBody(req); err != nil {
		return c.refuse(status, "read the body: "+err.Error())
	}
	call := &Call{Method: req.Method, Query: req.URL.Query(), Header: req.Header, Body: c.body.Bytes()}
	call.First, call.Whole, call.Kernel = c.in.whole()
	c.in.next(c.buf.Buffered())
	more = c.dispatch(req, call)
	if c.body.Cap() > keptBody {
		c.body = bytes.Buffer{}
	}
	return more
}

// unfit is the status of a request that cannot be served, and why; 0 for one that can.
func unfit(req *http.Request) (status int, why string) {
	switch expect := req.Header.Get("Expect"); {
	case req.ProtoMajor != 1:
		return http.StatusHTTPVersionNotSupported, "the sink speaks HTTP/1.1"
	case req.ProtoAtLeast(1, 1) && req.Host == "":
		return http.StatusBadRequest, "the request has no Host"
	case expect != "" && !strings.EqualFold(expect, "100-continue"):
		return http.StatusExpectationFailed, "the sink knows no expectation but 100-continue"
	}
	return 0, ""
}

// statusOf is the status for a head that could not be read; 0 where nobody is there to
// hear of it.
func statusOf(err error) int {
	var broken net.Error
	switch {
	case errors.Is(err, errTooLong):
		return http.StatusRequestHeaderFieldsTooLarge
	case errors.As(err, &broken) && broken.Timeout():
		return http.StatusRequestTimeout
	case errors.As(err, &broken), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return 0
	}
	return http.StatusBadRequest
}

// readBody reads the whole body. Its error comes with the status to answer.
func (c *conn) readBody(req *http.Request) (status int, err error) {
	c.body.Reset()
	if req.ContentLength > maxBody {
		return http.StatusRequestEntityTooLarge, fmt.Errorf("%d bytes are more than %d", req.ContentLength, maxBody)
	}
	if req.Body == http.NoBody {
		return 0, nil
	}
	if req.ProtoAtLeast(1, 1) && req.Header.Get("Expect") != "" && c.buf.Buffered() == 0 {
		if err := c.write(c.sink.ctx, []byte(continueReply)); err != nil {
			return 0, err
		}
	}
	n, err := c.body.ReadFrom(io.LimitReader(req.Body, maxBody+1))
	switch {
	case err != nil:
		return statusOf(err), err
	case n > maxBody:
		return http.StatusRequestEntityTooLarge, fmt.Errorf("more than %d bytes", maxBody)
	}
	return 0, nil
}

// refuse counts a request that is no call, answers it, where there is a status for it,
// and ends the connection once what is still on its way has been taken: a reset would
// take the answer away.
func (c *conn) refuse(status int, why string) (more bool) {
	c.sink.account.broken.Add(1)
	if status == 0 {
		return false
	}
	c.head(&Answer{Status: status, Header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}}}, len(why)+1, true)
	c.out.WriteString(why + "\n")
	if c.write(c.sink.ctx, c.out.Bytes()) != nil {
		return false
	}
	if half, ok := c.net.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
		return false
	}
	if c.net.SetReadDeadline(time.Now().Add(lingerLimit)) == nil {
		_, _ = io.Copy(io.Discard, c.net) // until the caller ends or the time does
	}
	return false
}

// dispatch asks the handler of a call, and answers.
func (c *conn) dispatch(req *http.Request, call *Call) (more bool) {
	name, rest, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/"), "/")
	call.Rest = rest
	r := c.sink.enter(name)
	if r == nil {
		call.Context = c.sink.ctx
		return c.answer(req, call, Answer{
			Status: http.StatusNotFound, Header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}},
			Body: fmt.Appendf(nil, "nothing listens at /%s\n", name),
		}, func() {})
	}
	defer r.under.Done()
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	call.Context = ctx
	return c.answer(req, call, r.Serve(call), cancel)
}
