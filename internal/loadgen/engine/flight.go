package engine

import (
	"sync/atomic"
	"time"
)

// A flight follows how many arrivals are under way. It counts their time twice,
// in two independent ways, so that Little's law (L = λW) can check the books:
// by looking every now and then how many there are, and by adding up how long
// each one took. Both cover the measured part of the run only.
type flight struct {
	now  atomic.Int64
	from time.Duration
	to   atomic.Int64 // a time.Duration: the end of the measured part

	looks, seen int64        // of the goroutine that looks
	overlap     atomic.Int64 // nanoseconds of all arrivals within from–to
}

func newFlight(from, to time.Duration) *flight {
	f := &flight{from: from}
	f.to.Store(int64(to))
	return f
}

// end moves the end of the measured part to t when that is earlier. One
// goroutine may call it.
func (f *flight) end(t time.Duration) {
	if int64(t) < f.to.Load() {
		f.to.Store(int64(t))
	}
}

// join lets one more be under way where that makes no more than most.
func (f *flight) join(most int) bool {
	for {
		n := f.now.Load()
		if n >= int64(most) {
			return false
		}
		if f.now.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// passed notes an arrival that was under way from start to end.
func (f *flight) passed(start, end time.Duration) {
	if d := min(end, time.Duration(f.to.Load())) - max(start, f.from); d > 0 {
		f.overlap.Add(int64(d))
	}
}

// look samples the number under way at t.
func (f *flight) look(t time.Duration) {
	if t >= f.from && int64(t) < f.to.Load() {
		f.looks++
		f.seen += f.now.Load()
	}
}

// means returns the mean number under way, as looked at and as added up.
func (f *flight) means() (looked, added float64) {
	span := f.to.Load() - int64(f.from)
	if f.looks == 0 || span <= 0 {
		return 0, 0
	}
	return float64(f.seen) / float64(f.looks), float64(f.overlap.Load()) / float64(span)
}
