package driver

import (
	"net/http"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
	"github.com/edgeload/edgeload/internal/loadgen/sink"
)

// Classes of failure of a job.
const (
	classLost       = "lost"               // acknowledged, and not done by its deadline
	classJobFailed  = "job failed"         // the target says so
	classDuplicated = "done twice"         // what came after the job had ended
	classRepeatedID = "job id given twice" // by the target, to two jobs
)

// Serve takes a call to the sink, from any number of goroutines at once. It takes a
// short lock of a 64th of the jobs and, where an arrival is named by its own ID and has
// been acknowledged, allocates nothing.
func (d *background) Serve(c *sink.Call) sink.Answer {
	d.books.calls.Add(1)
	whole := d.whole.Load()
	if whole != nil {
		whole.Add(backgroundCalls, 1)
		if !c.Kernel {
			whole.Add(backgroundUnstampedCalls, 1)
		}
	}
	h := d.calls.hear(c)
	defer d.calls.release(h)
	heard := hearing{at: d.run.Clock.Since(c.First)}
	if d.failed != nil && d.failed.holds(&h.x) {
		heard.failed, heard.example = true, h.x.described()
	}
	if d.calls.id == nil {
		seq, ok := d.calls.arrival(h, d.mark)
		if !ok || !d.called(seq, heard) {
			if !ok {
				d.books.strangers.Add(1)
			}
			return unknownJob()
		}
		return sink.Answer{}
	}
	key := d.calls.named(h)
	if key == "" {
		d.books.strangers.Add(1)
		return unknownJob()
	}
	seq, known, dropped := d.names.find(key, heard)
	d.books.strangers.Add(dropped)
	if known {
		d.called(seq, heard)
	}
	return sink.Answer{}
}

// unknownJob is the answer to a call about a job that no request has left behind.
func unknownJob() sink.Answer {
	return sink.Answer{Status: http.StatusNotFound, Body: []byte("{\"error\":\"no such job\"}\n")}
}

// called counts a call about the job of seq, and ends the job where it does; false
// where there is none.
func (d *background) called(seq uint64, heard hearing) bool {
	notice := d.hear(seq, heard)
	switch notice {
	case noticeStranger:
		d.books.strangers.Add(1)
		return false
	case noticeAgain:
		d.books.duplicates.Add(1)
	default:
		d.books.firsts.Add(1)
	}
	return true
}

// hear takes what was heard of the job of seq.
func (d *background) hear(seq uint64, heard hearing) notice {
	n, measured, j := d.jobs.hear(seq, heard)
	rec := d.whole.Load()
	switch {
	case n == noticeEnds:
		d.finish(j, heard)
	case !measured:
	case n == noticeAgain:
		rec.Add(backgroundDuplicated, 1)
		rec.Error(classDuplicated, "job "+scenario.ArrivalID(d.mark, seq))
	case n == noticeUnacknowledged && !heard.failed:
		rec.Add(backgroundUnacknowledged, 1)
	case n == noticeLate && !heard.failed:
		rec.Add(backgroundLate, 1)
	}
	return n
}
