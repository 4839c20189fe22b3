// Package backoff holds the rules by which a caller that tries again says that it
// waits, as they look from outside: what a wait may be, and whether many waits
// together are what the rule would make of them.
//
// A rule names the span of each wait. Before retry n, from 0, with t = min(cap, base·2ⁿ)
// and U uniform,
//
//	guide         2ⁿ·base + U(0, base)
//	full          U(0, t)
//	equal         t/2 + U(0, t/2)
//	decorrelated  min(cap, U(base, 3·before)), before first being base
//	exponential   t
//	constant      base
//
// full, equal and decorrelated are those of the AWS Architecture Blog, "Exponential
// Backoff And Jitter"; guide is a common form of fetchWithRetry, with base 1 s.
//
// What is seen of a wait is longer than the wait itself, by what the network, the
// caller's own work and its timers add, and at most a timer's grain shorter. Judge
// takes that into account: its false alarms are as rare as it says whatever is added,
// up to a stated slack.
//
// The package is pure: it knows neither clocks nor calls.
package backoff

import "time"

// Rule is a rule of the waits between attempts.
type Rule string

// Rules. None never waits, for it never tries again.
const (
	Guide        Rule = "guide"
	Full         Rule = "full"
	Equal        Rule = "equal"
	Decorrelated Rule = "decorrelated"
	Exponential  Rule = "exponential"
	Constant     Rule = "constant"
	None         Rule = "none"
)

// Grain is by how much a wait may look shorter than it was meant: timers that count
// in milliseconds end up to two of them early, between them.
const Grain = 2 * time.Millisecond

// forever is longer than any wait, and small enough to add to.
const forever = 1000 * time.Hour

// A Policy is a rule with its figures.
type Policy struct {
	Rule Rule
	// Base of the waits.
	Base time.Duration
	// Cap is the longest wait; 0 for none. guide and constant have none.
	Cap time.Duration
}

// A Span is where a rule puts one wait: at min(Cap, U(Least, Most)), where Cap is 0 for
// none and U is uniform.
type Span struct {
	Least, Most, Cap time.Duration
	// Grown is how many times the wait before is in Most: that one was seen no more
	// exactly than this one is.
	Grown int
}

// Span is the span of the wait before retry n, from 0, where before is the wait that
// was seen before retry n − 1; it matters to decorrelated alone.
func (p Policy) Span(n int, before time.Duration) Span {
	t := doubled(p.Base, n, p.Cap)
	switch p.Rule {
	case Guide:
		t = doubled(p.Base, n, 0)
		return Span{Least: t, Most: t + p.Base}
	case Full:
		return Span{Most: t}
	case Equal:
		return Span{Least: t / 2, Most: t}
	case Decorrelated:
		if n == 0 {
			return Span{Least: p.Base, Most: 3 * p.Base, Cap: p.Cap}
		}
		return Span{Least: p.Base, Most: max(p.Base, 3*min(before, forever)), Cap: p.Cap, Grown: 3}
	case Exponential:
		return Span{Least: t, Most: t}
	case Constant:
		return Span{Least: p.Base, Most: p.Base}
	}
	return Span{}
}

// doubled is d·2ⁿ, at most limit where that is not 0, and never above forever.
func doubled(d time.Duration, n int, limit time.Duration) time.Duration {
	if limit == 0 {
		limit = forever
	}
	for ; n > 0 && d > 0 && d < limit; n-- {
		d *= 2
	}
	return min(d, limit)
}

// Asked is the span of a wait of s where the caller heeds that it was asked to wait so
// long: at least that, whether it waits for the longer of both or for one after the
// other.
func (s Span) Asked(d time.Duration) Span {
	return Span{Least: max(s.bounded(s.Least), d), Most: d + s.bounded(s.Most)}
}

// bounded is d under the span's cap.
func (s Span) bounded(d time.Duration) time.Duration {
	if s.Cap > 0 {
		return min(d, s.Cap)
	}
	return d
}

// A Fit is how one wait fits its span.
type Fit int

// Fits.
const (
	Conforms Fit = iota
	Early
	Late
)

// Fit judges one wait as it was seen: Early below the span by more than Grain, Late
// above it by more than tolerance.
func (s Span) Fit(seen, tolerance time.Duration) Fit {
	switch {
	case seen < s.bounded(s.Least)-min(Grain, tolerance):
		return Early
	case seen > s.bounded(s.Most)+tolerance:
		return Late
	}
	return Conforms
}

// Position is where seen lies in the span, 0 at its least and 1 at its most, and
// outside of that below or above; 0 where the span is a single instant.
func (s Span) Position(seen time.Duration) float64 {
	if s.Most <= s.Least {
		return 0
	}
	return float64(seen-s.Least) / float64(s.Most-s.Least)
}
