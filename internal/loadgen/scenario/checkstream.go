package scenario

import "time"

// maxResumes bounds how often one stream is taken up again.
const maxResumes = 100

// completeStream puts in the defaults of what only an sse workload has.
func (c *checker) completeStream(at string, w *Workload) {
	if w.Slow != nil && !c.given(at+".slow.share") {
		w.Slow.Share = 1
	}
	if w.Leave != nil && !c.given(at+".leave.share") {
		w.Leave.Share = 1
	}
	if r := w.Resume; r != nil {
		if !c.given(at + ".resume.attempts") {
			r.Attempts = 3
		}
		if !c.given(at + ".resume.wait") {
			r.Wait = Duration(time.Second)
		}
	}
}

// stream checks what only an sse workload has.
func (c *checker) stream(at string, w *Workload) {
	c.positive(at+".idle_timeout", w.IdleTimeout > 0)
	if w.Slow != nil && c.good(at+".slow.share") && w.Slow.Share == 0 {
		c.wrong(at+".slow.share", "must be above 0")
	}
	if r := w.Resume; r != nil {
		c.within(at+".resume.attempts", r.Attempts, 1, maxResumes)
	}
	l := w.Leave
	if l == nil || c.bad[at+".leave"] {
		return
	}
	switch after, chunks := c.given(at+".leave.after"), c.given(at+".leave.chunks"); {
	case after == chunks:
		c.wrongKey(at+".leave", "want exactly one of after and chunks")
	case chunks && l.Chunks != nil && c.good(at+".leave.chunks") && l.Chunks.Min() < 1:
		c.wrong(at+".leave.chunks", "a client leaves with 1 chunk at least")
	}
	if c.good(at+".leave.share") && l.Share == 0 {
		c.wrong(at+".leave.share", "must be above 0")
	}
}
