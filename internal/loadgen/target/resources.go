package target

import (
	"fmt"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// resources is what the samples of a run come to.
func (w *watch) resources(res *result.Result, died *EndedError) *result.Resources {
	r := &result.Resources{Command: w.process.command, Method: method, EarlierRuns: w.runs - 1}
	if died != nil {
		r.Ended = &result.ServerEnd{AtNS: died.At, Status: died.Status}
	}
	if w.failed != nil {
		r.Unknown = append(r.Unknown, "everything: "+w.failed.Error())
	}
	if len(w.samples) == 0 {
		return r
	}
	for i := range w.samples {
		w.samples[i].AtNS = w.at[i].Sub(w.start)
	}
	first, last := w.samples[0], w.samples[len(w.samples)-1]
	r.Series = thinned(w.samples)
	if died == nil {
		r.After = &last
	}
	if idle, ok := result.UsageBetween(w.samples, first.AtNS, min(0, last.AtNS)); ok {
		r.Idle = &idle
	}
	from, to := w.marks[0], w.marks[1]
	if res.Interrupted {
		to = min(to, res.ElapsedNS)
	}
	to = min(to, last.AtNS) // where the server ended
	if measured, ok := result.UsageBetween(w.samples, from, to); ok {
		r.Measured = &measured
	}
	plateau, _ := result.UsageBetween(w.samples, from+(to-from)/2, to)
	r.SetPerWork(res, plateau)
	w.doubts(r)
	return r
}

// doubts says what the samples do not know.
func (w *watch) doubts(r *result.Resources) {
	if w.opaque > 0 {
		r.Unknown = append(r.Unknown, fmt.Sprintf("descriptors: of processes that belong to another user, %d at most", w.opaque))
	}
	if w.tree.unheard > 0 {
		r.Unknown = append(r.Unknown, fmt.Sprintf("CPU time: what each process that no other of the server's waited for used in its last %v, "+
			"and all of one that was there for less; %d such ends were noticed", sampleEvery, w.tree.unheard))
	}
}

// thinned is the first sample of each second, and the last of all.
func thinned(samples []result.ResourceSample) []result.ResourceSample {
	var kept []result.ResourceSample
	second := func(s result.ResourceSample) time.Duration {
		return (s.AtNS + time.Hour).Truncate(time.Second) // also below 0
	}
	for i, s := range samples {
		if i == 0 || i == len(samples)-1 || second(s) != second(samples[i-1]) {
			kept = append(kept, s)
		}
	}
	return kept
}
