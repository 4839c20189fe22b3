package driver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/rxtime"
)

// linger is how long a connection is read on after a stream's last event or
// beside an error status, so that it can be kept for the next arrival.
const linger = 250 * time.Millisecond

// errStreamTimeout is the cause of a context whose stream took too long.
var errStreamTimeout = errors.New("stream timeout")

// An exchange is one request and what the transport's goroutines tell of it.
// They may do so after the arrival is over, so it is never used again.
type exchange struct {
	clock     engine.Clock
	conn      atomic.Pointer[rxtime.Conn]
	reused    atomic.Bool
	ready     atomic.Int64 // instant of the run: the connection was there
	firstByte atomic.Int64 // instant of the run
}

// trace returns a context whose request reports to x and rec.
func (x *exchange) trace(ctx context.Context, rec *engine.Recorder, bodySize int64) context.Context {
	ctx = withConnectTimes(ctx, func(t connectTimes) {
		rec.Add(sseConnections, 1)
		rec.Record(sseDial, int64(t.Dial))
		if t.DNS > 0 {
			rec.Record(sseDNS, int64(t.DNS))
		}
		if t.TLS > 0 {
			rec.Record(sseTLS, int64(t.TLS))
		}
	})
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			x.reused.Store(info.Reused)
			x.ready.Store(int64(x.clock.Now()))
			if conn, ok := rxtime.From(info.Conn); ok {
				x.conn.Store(conn)
			}
		},
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			if info.Err == nil {
				rec.Add(sseBytesOut, bodySize)
			}
		},
		GotFirstResponseByte: func() { x.firstByte.Store(int64(x.headInstant())) },
	})
}

// headInstant is when the bytes left the socket that the connection's reading
// goroutine, which calls it, is looking at.
func (x *exchange) headInstant() time.Duration {
	if conn := x.conn.Load(); conn != nil {
		at, _ := conn.LastRead()
		return x.clock.Since(at)
	}
	return x.clock.Now()
}

// sent records when the request, which has been answered, had left, and reports
// whether that is known: the answer may come before the write returns. It is for
// a connection that is this stream's alone.
func (x *exchange) sent(s *sseStream, conn *rxtime.Conn) bool {
	stamp, _ := conn.LastSent()
	left, ready := x.clock.Since(stamp.At), time.Duration(x.ready.Load())
	if left < ready {
		return false
	}
	s.sent = left
	s.record(sseSendLag, max(0, left-max(s.arrival.Intended, ready)))
	if !stamp.Kernel {
		s.rec.Add(sseUnstampedSends, 1)
	}
	return true
}

// received says when the bytes of the body's latest read arrived.
//
// Over HTTP/1.x the connection is this stream's alone and the body is read in
// the caller's goroutine, so the instant of the connection's latest read is
// theirs, even where net/http had them in its buffer.
//
// An HTTP/2 connection is shared, and read ahead of the body by a goroutine of
// its own. Its latest read when the body's returns is the one that brought the
// body's bytes or a later one, so its instant errs to the late side, and by less
// than the return of the body's read does. Each read of the body counts as one.
type received func() receipt

func (x *exchange) received(s *sseStream, protoMajor int) received {
	conn := x.conn.Load()
	if protoMajor == 1 && conn != nil {
		known := x.sent(s, conn)
		return func() receipt {
			known = known || x.sent(s, conn)
			stamp, reads := conn.Last()
			return newReceipt(x.clock, stamp, reads)
		}
	}
	var last receipt
	return func() receipt {
		now := x.clock.Now()
		r := receipt{at: now, returned: now, after: last.at, read: last.read + 1}
		if conn != nil {
			stamp, _ := conn.Last()
			r.at, r.returned, r.kernel = x.clock.Since(stamp.At), x.clock.Since(stamp.Returned), stamp.Kernel
		}
		last = r
		return r
	}
}

// stream does the exchange of s and says how it ended.
func (d *sseDriver) stream(parent context.Context, s *sseStream) ending {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	timer := time.AfterFunc(d.left(s), func() { cancel(errStreamTimeout) })
	defer timer.Stop()

	req, err := d.request.build(ctx, d.data(s.arrival))
	if err != nil {
		return ending{outcomeNotSent, classTemplate, excerpt(err.Error())}
	}
	x := &exchange{clock: s.clock}
	req = req.WithContext(x.trace(ctx, s.rec, req.ContentLength))
	resp, err := d.transport.RoundTrip(req)
	if err != nil {
		return broken(parent, ctx, err)
	}
	defer func() { _ = resp.Body.Close() }() // the stream's end is known by then

	contentType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case resp.StatusCode != http.StatusOK:
		timer.Reset(min(linger, d.left(s)))
		return ending{outcomeHTTPError, fmt.Sprintf("http %d", resp.StatusCode), refusal(resp, s)}
	case contentType != "text/event-stream":
		timer.Reset(min(linger, d.left(s)))
		return ending{outcomeHTTPError, classNotStream, refusal(resp, s)}
	}
	s.newConn = !x.reused.Load()
	if resp.ProtoMajor == 2 {
		s.rec.Add(sseHTTP2, 1)
	}
	s.record(sseTTFB, time.Duration(x.firstByte.Load())-s.arrival.Started)
	return d.read(parent, ctx, s, resp.Body, x.received(s, resp.ProtoMajor), timer)
}

// left is how much of the stream's time is left.
func (d *sseDriver) left(s *sseStream) time.Duration {
	return s.arrival.Started + d.timeout - s.clock.Now()
}

// read reads the body to its end and says how the stream ended. After the
// terminal event or an in-band error it reads on for a moment only.
func (d *sseDriver) read(parent, ctx context.Context, s *sseStream, body io.Reader, when received, timer *time.Timer) ending {
	lingering := false
	for {
		n, err := body.Read(s.buf)
		if n > 0 {
			r := when()
			s.arrived(r)
			if bad := s.receive(s.buf[:n], r.at, r.read); bad != nil {
				if s.over() {
					return s.ending()
				}
				return ending{outcomeConnectionError, classProtocol, excerpt(bad.Error())}
			}
		}
		switch {
		case err != nil && !s.over():
			return d.cut(parent, ctx, s, err)
		case err != nil:
			return s.ending()
		case s.over() && !lingering:
			lingering = true
			timer.Reset(min(linger, d.left(s)))
		}
	}
}

// cut says how a stream ended whose body ended, with err, before the stream did.
func (d *sseDriver) cut(parent, ctx context.Context, s *sseStream, err error) ending {
	if errors.Is(err, io.EOF) {
		if s.decoder.EndsAtEOF() {
			s.done, s.ended = true, s.clock.Now()
			return s.ending()
		}
		return ending{outcomeTruncated, classTruncated, excerpt("end of the body without a terminal event, " + s.progress())}
	}
	end := broken(parent, ctx, err)
	end.example = excerpt(end.example + ", " + s.progress())
	if end.outcome == outcomeConnectionError && (end.class == classClosed || end.class == classStreamReset) {
		end.outcome, end.class = outcomeTruncated, classTruncated
	}
	return end
}

// refusal reads the beginning of an answer that is no event stream, as an
// example, and no more of it than a connection worth keeping would hold.
func refusal(resp *http.Response, s *sseStream) string {
	const most = 64 << 10
	var text []byte
	for total := 0; total < most; {
		n, err := resp.Body.Read(s.buf)
		total += n
		s.rec.Add(sseBytesIn, int64(n))
		if room := maxExample - len(text); room > 0 {
			text = append(text, s.buf[:min(n, room)]...)
		}
		if err != nil {
			break
		}
	}
	return excerpt(fmt.Sprintf("%s, %s: %s", resp.Status, resp.Header.Get("Content-Type"), text))
}
