package pace

import (
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// A Replay yields the instants of a trace in the measured part of a run: the same
// distances, none in the warm-up. One goroutine at a time may use it.
type Replay struct {
	trace            *scenario.TraceRows
	warmup, duration time.Duration
	next             int
}

// NewReplay returns the schedule of trace over [warmup, warmup+duration).
func NewReplay(trace *scenario.TraceRows, warmup, duration time.Duration) *Replay {
	return &Replay{trace: trace, warmup: warmup, duration: duration}
}

// Next returns the next intended start, as an offset from the start of the run;
// false after the last. It allocates nothing.
func (r *Replay) Next() (intended time.Duration, ok bool) {
	if r.next == r.trace.Len() {
		return 0, false
	}
	at := r.trace.At(r.next)
	if at >= r.duration {
		return 0, false
	}
	r.next++
	return r.warmup + at, true
}

// Count returns how many arrivals there are in all; it is always exact.
func (r *Replay) Count() (n uint64, exact bool) {
	for i := range r.trace.Len() {
		if r.trace.At(i) >= r.duration {
			return uint64(i), true
		}
	}
	return uint64(r.trace.Len()), true
}

// Peak is the largest number of arrivals within one second.
func (r *Replay) Peak() float64 {
	most, from := 0, 0
	n, _ := r.Count()
	for to := range int(n) {
		for r.trace.At(to)-r.trace.At(from) >= time.Second {
			from++
		}
		most = max(most, to-from+1)
	}
	return float64(most)
}

// Peak is the largest intended rate a second.
func (s *Schedule) Peak() float64 {
	var most float64
	for i := range s.profile.segments {
		g := &s.profile.segments[i]
		most = max(most, g.rate+g.amplitude, g.rateAt(g.length))
	}
	return most
}
