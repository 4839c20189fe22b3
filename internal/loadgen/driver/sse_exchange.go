package driver

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"
)

// mostRefusal bounds how much is read of an answer that is no event stream, in
// bytes: no more than a connection worth keeping would hold.
const mostRefusal = 64 << 10

// A refusal is an answer that is no event stream.
type refusal struct {
	class string
	text  []byte // its beginning, for an example
	read  int    // bytes of its body
}

// opened takes the connection.
func (s *sseStream) opened(c connection) {
	s.newConn, s.ready = !c.reused, c.ready
}

// sent records when the request left. Opening a connection is not the generator's
// delay, waiting to begin is.
func (s *sseStream) sent(d departure) {
	s.account.Add(sseBytesOut, s.bodySize)
	if d.at == 0 {
		return
	}
	s.sentAt = d.at
	lag := d.at - s.arrival.Intended
	if s.newConn {
		lag -= s.ready - s.arrival.Started
	}
	s.record(sseSendLag, max(0, lag))
	if !d.kernel {
		s.rec.Add(sseUnstampedSends, 1)
	}
}

// head judges the answer by its status and type.
func (s *sseStream) head(resp *http.Response, first time.Duration, _ receipt) next {
	contentType := resp.Header.Get("Content-Type")
	if contentType != eventStream {
		contentType, _, _ = mime.ParseMediaType(contentType)
	}
	switch {
	case resp.StatusCode != http.StatusOK:
		s.refused = &refusal{class: fmt.Sprintf("http %d", resp.StatusCode)}
	case contentType != eventStream:
		s.refused = &refusal{class: classNotStream}
	default:
		s.begun = true
		if resp.ProtoMajor == 2 {
			s.account.Add(sseHTTP2, 1)
		}
		s.record(sseTTFB, first-s.arrival.Started)
		return more
	}
	s.refused.text = fmt.Appendf(nil, "%s, %s: ", resp.Status, resp.Header.Get("Content-Type"))
	return enough
}

// body takes a piece of the stream.
func (s *sseStream) body(p []byte, r receipt) next {
	if s.refused != nil {
		return s.refusal(p)
	}
	s.arrived(r)
	if bad := s.receive(p, r.at, r.read); bad != nil {
		s.bad = bad
		return stop
	}
	switch {
	case s.over():
		return enough
	case s.left:
		return stop
	}
	return more
}

// refusal takes a piece of an answer that is no event stream.
func (s *sseStream) refusal(p []byte) next {
	r := s.refused
	s.account.Add(sseBytesIn, int64(len(p)))
	r.read += len(p)
	if room := maxExample - len(r.text); room > 0 {
		r.text = append(r.text, p[:min(len(p), room)]...)
	}
	if r.read >= mostRefusal {
		return stop
	}
	return enough
}

// end has the stream taken up again, or closes its account.
func (s *sseStream) end(err error) {
	end := s.outcomeOf(err)
	if s.resumes(end) {
		s.resume(end)
		return
	}
	s.driver.ended(s, s.sofar(end))
}

// outcomeOf says how the stream ended whose exchange ended with err.
func (s *sseStream) outcomeOf(err error) ending {
	switch {
	case s.refused != nil:
		return ending{outcomeHTTPError, s.refused.class, excerpt(string(s.refused.text))}
	case s.over():
		return s.ending()
	case s.left || s.client.leave > 0 && errors.Is(err, errTimeout) && s.until() < s.deadline():
		return ending{outcome: outcomeLeft}
	case s.idle.expired():
		return ending{outcomeTimeout, classIdle, excerpt("no byte for " + s.client.idle.String() + ", " + s.progress())}
	case s.bad != nil:
		return ending{outcomeConnectionError, classProtocol, excerpt(s.bad.Error())}
	case err == nil && s.decoder.EndsAtEOF():
		s.done, s.ended = true, s.clock.Now()
		return s.ending()
	case err == nil:
		return ending{outcomeTruncated, classTruncated, excerpt("end of the body without a terminal event, " + s.progress())}
	}
	end := broken(err)
	if s.begun {
		end = cut(end, err, s.progress())
	}
	return end
}

// cut says how a stream ended that had begun, after progress.
func cut(end ending, err error, progress string) ending {
	end.example = excerpt(end.example + ", " + progress)
	closed := end.class == classClosed || end.class == classStreamReset || errors.Is(err, io.ErrUnexpectedEOF)
	if end.outcome == outcomeConnectionError && closed {
		end.outcome, end.class = outcomeTruncated, classTruncated
	}
	return end
}
