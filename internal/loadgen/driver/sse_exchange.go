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

// received says when the bytes of the body's latest read left the socket, and
// which read it was. Over HTTP/1.x the connection is this stream's alone and
// the body is read in the caller's goroutine, so the socket's own instant is
// right even where net/http had the bytes in its buffer; an HTTP/2 connection
// is shared, and the return of the body's read must do.
type received func() (at time.Duration, read uint64)

func (x *exchange) received(protoMajor int) received {
	conn := x.conn.Load()
	if protoMajor == 1 && conn != nil {
		return func() (time.Duration, uint64) {
			at, reads := conn.LastRead()
			return x.clock.Since(at), reads
		}
	}
	var reads uint64
	return func() (time.Duration, uint64) {
		reads++
		return x.clock.Now(), reads
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
	s.record(sseTTFB, time.Duration(x.firstByte.Load())-s.arrival.Started)
	return d.read(parent, ctx, s, resp.Body, x.received(resp.ProtoMajor), timer)
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
			at, read := when()
			if bad := s.receive(s.buf[:n], at, read); bad != nil {
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
