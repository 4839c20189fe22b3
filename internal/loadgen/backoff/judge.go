package backoff

import (
	"math"
	"slices"
	"time"
)

// Bounds of what Judge concludes.
const (
	// MinSample is how many waits a verdict needs.
	MinSample = 30
	// Alarm is how often, at most, a caller that waits by its rule is rejected by one
	// of the two tests.
	Alarm = 1e-4
)

const (
	// stray is the share of waits to which more than the slack may have been added.
	stray = .01
	// window is the part of its span in which waits are looked for that crowd.
	window = .1
)

// A Wait is one wait as it was seen, with its span. One that was Unseen, because the
// caller was cut or gave up while it waited, may have been anything: left out, long
// waits would be missing more often than short ones.
type Wait struct {
	Span   Span
	Seen   time.Duration
	Unseen bool
}

// A Verdict is what many waits together say of their rule. P is, in either test, an
// upper bound of the chance to see as much where the caller keeps to it; 1 where the
// test says nothing.
type Verdict struct {
	// Tested is how many waits the verdict stands on: those of spans that are more
	// than an instant.
	Tested int
	// Misplaced is the largest share of waits that are too many below, or too many
	// above, some point of their spans: the distance of Kolmogorov and Smirnov from
	// the uniform distribution, less what may have been added to the waits.
	Misplaced  float64
	MisplacedP float64
	// Crowded is the largest share of the waits that lie within one tenth of their
	// spans. Whatever is added to waits that are spread evenly, and independent of
	// them, cannot bring more than a tenth of them together. Spans that have a cap
	// within them, or are made of a wait before, are left out.
	Crowded  float64
	CrowdedP float64
}

// Enough reports whether there were waits enough for a verdict.
func (v Verdict) Enough() bool { return v.Tested >= MinSample }

// Misfits reports that the waits are not distributed as the rule says.
func (v Verdict) Misfits() bool { return v.Enough() && v.MisplacedP < Alarm }

// Crowds reports that the waits lie together where the rule spreads them: that jitter
// is missing, or is less than it should be.
func (v Verdict) Crowds() bool { return v.Enough() && v.CrowdedP < Alarm }

// Judge tests whether waits are spread over their spans evenly. Up to slack may have
// been added to each, to one in a hundred more.
//
// P is by the inequality of Dvoretzky, Kiefer and Wolfowitz with Massart's constant,
// 2·exp(−2nd²), which holds for every n. Of what each wait was before something was
// added an interval is known; the test takes from it what speaks for the caller.
func Judge(waits []Wait, slack time.Duration) Verdict {
	v := Verdict{MisplacedP: 1, CrowdedP: 1}
	var highest, lowest, places []float64
	spread := 0 // waits that could crowd
	for _, w := range waits {
		if w.Span.Most <= w.Span.Least {
			continue
		}
		v.Tested++
		low, high := w.position(slack)
		lowest, highest = append(lowest, low), append(highest, high)
		if w.Span.Grown > 0 || w.Span.Cap > 0 && w.Span.Cap < w.Span.Most {
			continue // its end is not known well, or many may rightly lie at the cap
		}
		spread++
		if !w.Unseen {
			places = append(places, w.Span.Position(w.Seen))
		}
	}
	if v.Tested == 0 {
		return v
	}
	slices.Sort(lowest)
	slices.Sort(highest)
	v.Misplaced = max(below(highest), above(lowest)-stray, 0)
	v.MisplacedP = chance(v.Tested, v.Misplaced)
	if spread > 0 {
		slices.Sort(places)
		v.Crowded = crowd(places, window) / float64(spread)
		// The share of a stretch is the difference of two values of the distribution,
		// each of which may be off.
		v.CrowdedP = chance(spread, (v.Crowded-window)/2)
	}
	return v
}

// chance bounds the probability that the empirical distribution of n values is off by
// d somewhere.
func chance(n int, d float64) float64 {
	if d <= 0 {
		return 1
	}
	return min(1, 2*math.Exp(-2*float64(n)*d*d))
}

// position is the interval in which w was drawn, as parts of its span: it was seen at
// most slack later than it was meant, and at most Grain earlier.
func (w Wait) position(slack time.Duration) (low, high float64) {
	if w.Unseen {
		return 0, 1
	}
	widest, narrowest := w.Span, w.Span
	widest.Most += time.Duration(w.Span.Grown) * Grain
	narrowest.Most = max(w.Span.Most-time.Duration(w.Span.Grown)*slack, w.Span.Least)
	low, high = widest.Position(min(w.Seen-slack, widest.bounded(forever))), 1
	if early := w.Seen + Grain; narrowest.Most > narrowest.Least && (w.Span.Cap == 0 || early < w.Span.Cap) {
		high = narrowest.Position(early)
	}
	return min(max(low, 0), 1), min(max(high, 0), 1)
}

// below is the largest excess of the share of sorted at or below x over x.
func below(sorted []float64) float64 {
	most := 0.
	for i, x := range sorted {
		most = max(most, float64(i+1)/float64(len(sorted))-x)
	}
	return most
}

// above is the largest excess of x over the share of sorted below x.
func above(sorted []float64) float64 {
	most := 0.
	for i, x := range sorted {
		most = max(most, x-float64(i)/float64(len(sorted)))
	}
	return most
}

// crowd is the largest number of sorted that lie within a stretch of some width.
func crowd(sorted []float64, width float64) float64 {
	most, first := 0, 0
	for i, x := range sorted {
		for x-sorted[first] > width {
			first++
		}
		most = max(most, i-first+1)
	}
	return float64(most)
}
