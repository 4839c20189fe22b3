package pace

import (
	"fmt"
	"math"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// A profile is the rate over time, piece by piece. Within it times are seconds,
// which keep a nanosecond exact for three months.
type profile struct {
	start    float64       // where the first segment begins
	end      time.Duration // where the last one ends
	segments []segment     // each of a length above 0, without a gap
	total    float64       // Λ at the end: how many arrivals are expected in all
}

// A segment is one piece: a straight line, or a sine about rate when period is
// above 0.
type segment struct {
	begin  float64 // time it begins at
	base   float64 // Λ(begin)
	length float64
	rate   float64 // at begin; of a sine, the mean
	slope  float64 // a second, a second

	amplitude, period float64
}

// tolerance is how far two values of Λ of about size u may lie apart and still
// be the same: a thousandfold what rounding can add up to.
func tolerance(u float64) float64 { return 1e-12 * max(u, 1) }

func newProfile(load scenario.Load, warmup, duration time.Duration) (profile, error) {
	f := profile{end: warmup + duration}
	warm, length := warmup.Seconds(), duration.Seconds()
	switch {
	case load.Users != 0:
		return f, fmt.Errorf("schedule of %d users: a closed model has none", load.Users)

	case load.Rate != 0:
		if err := checkRate("rate", load.Rate); err != nil {
			return f, err
		}
		f.append(segment{length: warm + length, rate: float64(load.Rate)})

	case load.Sine != nil:
		s := load.Sine
		if err := checkRate("sine mean", s.Mean); err != nil {
			return f, err
		}
		if err := checkRate("sine amplitude", s.Amplitude); err != nil {
			return f, err
		}
		if s.Amplitude > s.Mean {
			return f, fmt.Errorf("sine amplitude %v/s is above its mean %v/s", s.Amplitude, s.Mean)
		}
		if s.Period <= 0 {
			return f, fmt.Errorf("sine period %v: expected above 0", time.Duration(s.Period))
		}
		f.append(segment{length: warm, rate: float64(s.Mean)})
		f.append(segment{length: length, rate: float64(s.Mean),
			amplitude: float64(s.Amplitude), period: time.Duration(s.Period).Seconds()})

	case len(load.Stages) > 0:
		if err := f.appendStages(load.Stages, warm, length); err != nil {
			return f, err
		}

	default:
		return f, fmt.Errorf("schedule of a load without rate, stages or sine")
	}
	return f, nil
}

func checkRate(what string, r scenario.Rate) error {
	if !(r >= 0) || math.IsInf(float64(r), 1) {
		return fmt.Errorf("%s %v/s: expected a number from 0", what, float64(r))
	}
	return nil
}

// appendStages adds the warm-up, the stages as far as they fit into length, and
// what is left of length at the last stage's rate.
func (f *profile) appendStages(stages []scenario.Stage, warm, length float64) error {
	var rate, at float64 // where the stage begins
	warmed := false
	for i, s := range stages {
		if err := checkRate(fmt.Sprintf("stage %d rate", i), s.Rate); err != nil {
			return err
		}
		if s.Duration < 0 {
			return fmt.Errorf("stage %d duration %v: expected from 0", i, time.Duration(s.Duration))
		}
		to := float64(s.Rate)
		if s.Step || s.Duration == 0 {
			rate = to
		}
		if s.Duration == 0 {
			continue
		}
		if !warmed {
			f.append(segment{length: warm, rate: rate})
			warmed = true
		}
		d := time.Duration(s.Duration).Seconds()
		f.append(segment{length: min(d, length-at), rate: rate, slope: (to - rate) / d})
		at, rate = at+d, to
	}
	if !warmed {
		f.append(segment{length: warm, rate: rate})
	}
	f.append(segment{length: length - at, rate: rate})
	return nil
}

// append adds g behind the last segment; one without length is left out.
func (f *profile) append(g segment) {
	if !(g.length > 0) {
		return
	}
	g.begin, g.base = f.start, f.total
	if n := len(f.segments); n > 0 {
		g.begin = f.segments[n-1].begin + f.segments[n-1].length
	}
	f.segments = append(f.segments, g)
	f.total = g.base + g.area(g.length)
}

// inverse returns the last instant t with Λ(t) ≤ u, so that an arrival due in a
// stretch of rate 0 waits for its end. The search begins at segment cursor and
// returns where it ended; u must not go down between calls.
func (f *profile) inverse(u float64, cursor int) (time.Duration, int) {
	last := len(f.segments) - 1
	for ; cursor < last; cursor++ {
		end := f.segments[cursor+1].base
		if u < end-tolerance(end) || f.total-end <= tolerance(f.total) { // or nothing comes after
			break
		}
	}
	g := &f.segments[cursor]
	s := g.begin + min(g.inverse(max(u-g.base, 0)), g.length)
	ns := s * 1e9
	// In float64 first: beyond int64 the conversion is not defined.
	if !(ns < float64(f.end-1)) {
		return f.end - 1, cursor
	}
	return time.Duration(math.Round(ns)), cursor
}

func (f *profile) rateAt(at time.Duration) float64 {
	if at >= f.end {
		return 0
	}
	s := at.Seconds()
	for i := len(f.segments) - 1; i >= 0; i-- {
		if g := &f.segments[i]; s >= g.begin {
			return g.rateAt(s - g.begin)
		}
	}
	return 0
}

// rateAt is the rate s seconds into the segment.
func (g *segment) rateAt(s float64) float64 {
	if g.period > 0 {
		return g.rate + g.amplitude*math.Sin(2*math.Pi*s/g.period)
	}
	return max(g.rate+g.slope*s, 0) // a ramp to 0 may miss it by a rounding
}

// area is Λ over the segment's first s seconds.
func (g *segment) area(s float64) float64 {
	if g.period > 0 {
		half := math.Sin(math.Pi * s / g.period) // 1−cos 2x = 2 sin²x keeps small s exact
		return g.rate*s + g.amplitude*g.period/math.Pi*half*half
	}
	return (g.rate + g.slope*s/2) * s
}

// inverse is the s with area(s) = u.
func (g *segment) inverse(u float64) float64 {
	if !(u > 0) {
		return 0
	}
	if g.period > 0 {
		return g.inverseSine(u)
	}
	// The root of slope/2·s² + rate·s = u in the form that neither cancels nor
	// divides by a slope of 0.
	return 2 * u / (g.rate + math.Sqrt(max(g.rate*g.rate+2*g.slope*u, 0)))
}

// inverseSine finds the root within its period by Newton's method, kept within
// a bracket that halves whenever a step would leave it: where amplitude equals
// the mean the rate touches 0 and Newton alone fails.
func (g *segment) inverseSine(u float64) float64 {
	whole, rest := math.Modf(u / (g.rate * g.period))
	rest *= g.rate * g.period
	lo, hi := 0.0, g.period
	s := rest / g.rate
	for range 100 { // a bracket of float64 is exhausted before
		d := g.area(s) - rest
		if d == 0 {
			break
		}
		if d > 0 {
			hi = s
		} else {
			lo = s
		}
		next := s - d/g.rateAt(s)
		if math.Abs(next-s) <= 1e-15*g.period {
			break
		}
		if !(next > lo && next < hi) {
			next = lo + (hi-lo)/2
		}
		s = next
	}
	return whole*g.period + s
}
