// Package pace computes when arrivals are due.
//
// A schedule is the composition of two things: a profile, the rate over time
// with its cumulative function Λ(t), and a point process of unit rate with
// points U₀ ≤ U₁ ≤ …; arrival n is due at Λ⁻¹(Uₙ). The constant process has
// Uₙ = n, so the first arrival is due at once; Poisson and gamma sum random
// gaps of mean 1 (gamma of shape 1/CV²); bursty is several gamma processes at once
// (see crowd). A trace has no profile: a Replay yields its instants as they are.
//
// # Counts
//
// The random processes are normalised to the target count: with N = Λ(end)
// rounded, the gaps of N+1 arrivals are drawn and scaled so that arrival N+1
// would fall on the end. For Poisson that is exactly the process conditioned on
// its count (N order statistics of the uniform distribution over Λ). Two passes
// over the same seeded generator do it, so memory does not grow with N. The count
// is that of warm-up and measured part together; how it falls on the two is left
// to the process. Above MaxNormalised arrivals the first pass would take too
// long, and the count is left to chance (Schedule.Count says so).
//
// # Why not vegeta's pacers
//
// A Schedule is also a pacer for vegeta's tools (Schedule.Pacer), but vegeta's
// own pacers are not used. They look for the next hit from the elapsed time, so
// the intended start depends on when they are asked. ConstantPacer rounds the
// interval down to whole nanoseconds (at 600 million a second it runs fast by
// two thirds) and divides by zero at 2e9/s. LinearPacer extrapolates the rate
// instead of inverting Λ, and takes a start from 0 for an unlimited rate.
// SinePacer gives up after five iterations and refuses an amplitude equal to the
// mean. None ends on its own. A test holds the schedules against vegeta's where
// those are right, and shows where they are not.
//
// The package never reads the clock and knows nothing of who runs the arrivals.
package pace

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// MaxNormalised is the largest count that a random process is normalised to.
// The first pass over so many gamma gaps takes about a second.
const MaxNormalised = 10_000_000

// maxCount is the largest number of arrivals whose sequence numbers a float64
// holds exactly.
const maxCount = 1 << 53

// A Schedule yields the intended starts of one workload in ascending order
// (equal ones are possible above 1e9/s), all within its bounds. The same
// arguments give the same schedule. One goroutine at a time may use it.
type Schedule struct {
	profile profile
	process process
	count   uint64 // arrivals in all; an upper bound when not exact
	exact   bool
	scale   float64 // from the process's points to Λ

	next   uint64
	unit   float64 // Uₙ of the last arrival, before scaling
	cursor int     // segment of the last arrival
	last   time.Duration
}

// New returns the schedule of an open-model load over [0, warmup+duration).
//
// The profile begins when the warm-up ends; during the warm-up its starting
// rate holds (of a sine, its mean; of stages, the rate at which the first one
// that has a length begins: 0 when that is a ramp from nothing). After the last
// stage the rate stays where it was left, and stages beyond the end are cut.
//
// Workloads that share a seed share their gaps: give each its own. It is an
// error when the load is closed, names no rate, has a rate that is negative or
// not a number, an amplitude above its mean, a CV outside [0.001, 100], or more
// than 2⁵³ arrivals.
func New(load scenario.Load, warmup, duration time.Duration, seed uint64) (*Schedule, error) {
	if warmup < 0 || duration < 0 || warmup+duration < 0 {
		return nil, fmt.Errorf("schedule over warm-up %v and duration %v: not a span of time", warmup, duration)
	}
	f, err := newProfile(load, warmup, duration)
	if err != nil {
		return nil, err
	}
	p, err := newProcess(load, seed)
	if err != nil {
		return nil, err
	}
	return compose(f, p)
}

// Constant returns the schedule of a constant process at rate a second: from+offset,
// and every 1/rate after it that is before to. Schedules of equal rate and
// different offsets keep their distance, so that many rooms need not publish at
// the same instants. A rate that is not above zero yields nothing; one that
// would make more than 2⁵² arrivals is held at that.
func Constant(rate float64, from, to, offset time.Duration) *Schedule {
	var f profile
	begin := from + offset
	if rate > 0 && begin < to {
		length := (to - begin).Seconds()
		rate = min(rate, maxCount/2/length)
		f.start = begin.Seconds()
		f.append(segment{length: length, rate: rate})
		f.end = to
	}
	s, err := compose(f, process{})
	if err != nil { // the count is bounded above
		return &Schedule{}
	}
	return s
}

var errTooMany = errors.New("schedule has more than 2^53 arrivals")

func compose(f profile, p process) (*Schedule, error) {
	s := &Schedule{profile: f, process: p, exact: true, scale: 1}
	total := f.total
	if !(total < maxCount) {
		return nil, errTooMany
	}
	switch {
	case !p.random():
		s.count = uint64(math.Ceil(total - tolerance(total)))
	case total > MaxNormalised:
		s.count, s.exact = maxCount, false
	default:
		s.count = uint64(math.Round(total))
		s.process.rewind()
		var sum float64
		for range s.count + 1 {
			sum += s.process.gap()
		}
		// Gaps of an extreme CV can all be too small for a float64: one burst.
		if s.scale = 0; sum > 0 {
			s.scale = total / sum
		}
	}
	s.rewind()
	return s, nil
}

// Next returns the next intended start, as an offset from the start of the run;
// false after the last. It allocates nothing.
func (s *Schedule) Next() (intended time.Duration, ok bool) {
	if s.next >= s.count {
		return 0, false
	}
	u := float64(s.next)
	if s.process.random() {
		s.unit += s.process.gap()
		if u = s.unit * s.scale; !s.exact && u >= s.profile.total {
			s.count = s.next
			return 0, false
		}
	}
	t, cursor := s.profile.inverse(u, s.cursor)
	s.next++
	s.cursor = cursor
	s.last = max(s.last, t)
	return s.last, true
}

// Count returns how many arrivals the schedule has from its beginning to its
// end. When exact is false the count is left to chance and n is its expectation.
func (s *Schedule) Count() (n uint64, exact bool) {
	if !s.exact {
		return uint64(math.Round(s.profile.total)), false
	}
	return s.count, true
}

// Rate returns the intended rate a second at an offset from the start of the
// run, 0 outside the schedule's bounds. At a step it is the rate after it.
func (s *Schedule) Rate(at time.Duration) float64 { return s.profile.rateAt(at) }

// rewind goes back to before the first arrival.
func (s *Schedule) rewind() {
	s.process.rewind()
	s.next, s.unit, s.cursor, s.last = 0, 0, 0, math.MinInt64
	if !s.exact {
		s.count = maxCount
	}
}
