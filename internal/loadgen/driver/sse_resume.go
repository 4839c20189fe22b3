package driver

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
	"github.com/edgeload/edgeload/internal/loadgen/stream"
)

// resumed is what a stream keeps of itself for being taken up again.
type resumed struct {
	left   int           // attempts
	begun  bool          // there was one
	broke  ending        // how the stream broke off
	cut    time.Duration // when; 0 once an event has come again
	id     []byte        // of the last event
	number uint64        // of the highest id that is a number
	isNum  bool
}

// begin returns an empty record that keeps the buffers of r.
func (r resumed) begin(by *scenario.Resume) resumed {
	n := resumed{id: r.id[:0]}
	if by != nil {
		n.left = by.Attempts
	}
	return n
}

// resumes reports whether a stream that ended so is taken up again.
func (s *sseStream) resumes(end ending) bool {
	r := &s.taken
	if !s.tracked || r.left == 0 || s.ctx.Err() != nil || s.over() {
		return false
	}
	switch end.outcome {
	case outcomeTruncated:
	case outcomeConnectionError:
		if !s.begun && !r.begun {
			return false // nothing has begun that could be taken up
		}
	default:
		return false
	}
	return s.clock.Now()+s.resumeWait() < s.until()
}

// resumeWait is how long the stream asked clients to wait.
func (s *sseStream) resumeWait() time.Duration {
	if millis, ok := s.parser.Retry(); ok {
		return time.Duration(min(millis, int64(time.Hour/time.Millisecond))) * time.Millisecond
	}
	return time.Duration(s.driver.clients.resume.Wait)
}

// resume takes up the stream after its wait, by the rules of WHATWG HTML §9.2.3: the
// same request with the last event's id.
func (s *sseStream) resume(end ending) {
	r := &s.taken
	r.left--
	if !r.begun || s.begun {
		r.broke, r.cut = end, s.clock.Now()
	}
	r.begun = true
	wait := s.resumeWait()
	s.endRead()
	s.account.Add(sseResumes, 1)
	s.pings += s.parser.Heartbeats()
	s.parser.Reset()
	s.idle.stop()
	s.refused, s.bad, s.begun, s.idle = nil, nil, false, nil
	s.read, s.from = 0, receipt{} // a connection counts its own reads
	s.driver.resuming.Go(func() {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-s.ctx.Done(): // the transport says so
		}
		req, err := s.driver.requests.build(&s.driver.run, s.arrival)
		if err != nil {
			s.driver.ended(s, ending{outcomeNotSent, classTemplate, excerpt(err.Error())})
			return
		}
		s.send(withLastEventID(req, r.id))
	})
}

// withLastEventID returns req, which may be shared, with the header of that name; as
// it is where there is no id.
func withLastEventID(req *http.Request, id []byte) *http.Request {
	if len(id) == 0 {
		return req
	}
	copied := req.WithContext(req.Context())
	copied.Header = req.Header.Clone()
	copied.Header.Set("Last-Event-ID", string(id))
	return copied
}

// sofar is how a stream ended that could not be taken up: as it broke off.
func (s *sseStream) sofar(end ending) ending {
	r := &s.taken
	if !r.begun || s.begun || end.outcome == outcomeLeft || end.outcome == outcomeUnfinished {
		return end
	}
	why := end.example
	if why == "" {
		why = end.class
	}
	return ending{r.broke.outcome, r.broke.class, excerpt(fmt.Sprintf("%s; not taken up again: %s", r.broke.example, why))}
}

// fresh notes the id of an event and reports whether the stream has not had it.
func (s *sseStream) fresh(e stream.Event) bool {
	r := &s.taken
	if r.cut > 0 {
		s.record(sseResumeGap, s.at-r.cut)
		r.cut, s.bridge = 0, s.chunks > 0
	}
	if !e.OwnID {
		return true
	}
	n, err := strconv.ParseUint(string(e.ID), 10, 64)
	if r.begun && (string(e.ID) == string(r.id) || err == nil && r.isNum && n <= r.number) {
		s.account.Add(sseRepeated, 1)
		return false
	}
	if err == nil {
		if r.begun && r.isNum && n > r.number+1 {
			s.account.Add(sseSkipped, int64(n-r.number-1))
		}
		r.number, r.isNum = n, true
	}
	r.id = append(r.id[:0], e.ID...)
	return true
}
