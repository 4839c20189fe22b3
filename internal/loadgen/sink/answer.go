package sink

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// answer does what a says and reports whether another request may follow. gone is
// called when the caller goes while it waits.
func (c *conn) answer(req *http.Request, call *Call, a Answer, gone func()) (more bool) {
	if a.Wait == nil {
		a.Wait = onTime
	}
	if a.Leaves == nil {
		a.Leaves = func(time.Time, bool) {}
	}
	if a.After > 0 || a.Hang || a.Stream != nil {
		defer c.watch(gone)()
	}
	ctx := call.Context
	begin := call.Whole.Add(a.After)
	switch {
	case a.After > 0 && !a.Wait(ctx, begin):
		a.Leaves(time.Now(), true)
		c.sink.account.unanswered.Add(1)
		return false
	case a.Hang:
		onTime(ctx, time.Now().Add(hangLimit))
		a.Leaves(time.Now(), true)
		return false
	case a.Reset:
		a.Leaves(time.Now(), false)
		c.reset()
		return false
	}
	if a.Status == 0 {
		a.Status = http.StatusOK
	}
	more = !req.Close && req.ProtoAtLeast(1, 1)
	var err error
	if a.Stream != nil {
		err = c.stream(ctx, req, call, a, begin, more)
	} else {
		err = c.whole(ctx, req, a, more)
	}
	if err != nil {
		c.sink.account.unanswered.Add(1)
		return false
	}
	return more
}

// watch calls gone once the caller has closed or lost the connection, until the function
// it returns is called. Meanwhile nothing else reads. It sees no end behind bytes of
// another request.
func (c *conn) watch(gone func()) (stop func()) {
	if c.net.SetReadDeadline(time.Time{}) != nil {
		gone()
		return func() {}
	}
	over := make(chan struct{})
	stopping := make(chan struct{})
	go func() {
		defer close(over)
		if _, err := c.buf.Peek(c.buf.Buffered() + 1); err == nil {
			return
		}
		select {
		case <-stopping:
		default:
			gone()
		}
	}()
	return func() {
		close(stopping)
		_ = c.net.SetReadDeadline(time.Unix(longAgo, 0)) // of a closed connection the read has ended
		<-over
	}
}

// reset makes the end of the connection a TCP reset.
func (c *conn) reset() {
	if tcp, ok := c.net.(interface{ SetLinger(int) error }); ok {
		_ = tcp.SetLinger(0) // fails on a closed connection, which has ended
	}
	_ = c.net.Close() // whoever serves it ends
}

// whole writes an answer that is all there.
func (c *conn) whole(ctx context.Context, req *http.Request, a Answer, more bool) error {
	body := a.Body
	if body == nil {
		body = []byte("{\"ok\":" + strconv.FormatBool(a.Status < http.StatusBadRequest) + "}\n")
	}
	if bodiless(a.Status) {
		body = nil
	}
	c.head(&a, len(body), !more)
	if req.Method != http.MethodHead {
		c.out.Write(body)
	}
	a.Leaves(time.Now(), ctx.Err() != nil)
	return c.write(ctx, c.out.Bytes())
}

// stream writes an answer whose body is a Stream.
func (c *conn) stream(ctx context.Context, req *http.Request, call *Call, a Answer, begin time.Time, more bool) error {
	chunked := req.ProtoAtLeast(1, 1)
	size := unknownSize
	if chunked {
		size = chunkedSize
	}
	// A caller that does not read is not waited for once the call is to end.
	defer context.AfterFunc(ctx, func() { _ = c.net.SetWriteDeadline(time.Unix(longAgo, 0)) })() // fails once it is closed
	c.head(&a, size, !more)
	if req.Method == http.MethodHead {
		a.Leaves(time.Now(), false)
		return c.write(ctx, c.out.Bytes())
	}
	if err := c.write(ctx, c.out.Bytes()); err != nil {
		a.Leaves(time.Now(), true)
		return err
	}
	err := a.Stream.write(ctx, begin, len(call.Body), a.Wait, func(event []byte) error {
		if !chunked {
			return c.write(ctx, event)
		}
		c.out.Reset()
		c.out.Write(strconv.AppendInt(c.out.AvailableBuffer(), int64(len(event)), 16))
		c.out.WriteString("\r\n")
		c.out.Write(event)
		c.out.WriteString("\r\n")
		return c.write(ctx, c.out.Bytes())
	})
	a.Leaves(time.Now(), err != nil)
	if err == nil && chunked {
		err = c.write(ctx, []byte("0\r\n\r\n"))
	}
	return err
}

// Sizes of bodies that are not a number of bytes.
const (
	chunkedSize = -1
	unknownSize = -2 // the connection's end is the body's
)

// framing are the headers by which a message is framed, which are not a handler's.
var framing = map[string]bool{"Content-Length": true, "Transfer-Encoding": true, "Connection": true, "Date": true}

// bodiless reports that an answer of a status has no body.
func bodiless(status int) bool {
	return status < http.StatusOK || status == http.StatusNoContent || status == http.StatusNotModified
}

// head begins c.out with the head of an answer.
func (c *conn) head(a *Answer, size int, last bool) {
	out := &c.out
	out.Reset()
	out.WriteString("HTTP/1.1 ")
	out.Write(strconv.AppendInt(out.AvailableBuffer(), int64(a.Status), 10))
	out.WriteString(" " + reason(a.Status) + "\r\nDate: ")
	out.Write(time.Now().UTC().AppendFormat(out.AvailableBuffer(), http.TimeFormat))
	out.WriteString("\r\n")
	switch {
	case bodiless(a.Status):
	case size == chunkedSize:
		out.WriteString("Transfer-Encoding: chunked\r\n")
	case size >= 0:
		out.WriteString("Content-Length: ")
		out.Write(strconv.AppendInt(out.AvailableBuffer(), int64(size), 10))
		out.WriteString("\r\n")
	}
	if a.Header.Get("Content-Type") == "" && !bodiless(a.Status) {
		out.WriteString("Content-Type: application/json\r\n")
	}
	if last {
		out.WriteString("Connection: close\r\n")
	}
	_ = a.Header.WriteSubset(out, framing) // a buffer takes everything
	out.WriteString("\r\n")
}

// reason is a status in words.
func reason(status int) string {
	if status == statusOverloaded {
		return "Overloaded"
	}
	if text := http.StatusText(status); text != "" {
		return text
	}
	return "Status " + strconv.Itoa(status)
}

// write writes b at once, unless ctx has ended: then no deadline set by its end is undone.
func (c *conn) write(ctx context.Context, b []byte) error {
	if err := c.net.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := c.net.Write(b)
	return err
}
