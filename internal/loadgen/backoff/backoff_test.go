package backoff

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

const ms = time.Millisecond

func TestSpans(t *testing.T) {
	p := func(r Rule, base, limit time.Duration) Policy { return Policy{r, base, limit} }
	for _, tt := range []struct {
		policy      Policy
		n           int
		before      time.Duration
		least, most time.Duration
	}{
		{p(Guide, time.Second, 0), 0, 0, time.Second, 2 * time.Second},
		{p(Guide, time.Second, 0), 1, 0, 2 * time.Second, 3 * time.Second},
		{p(Guide, time.Second, 20*time.Second), 6, 0, 64 * time.Second, 65 * time.Second}, // has no cap
		{p(Full, 100*ms, time.Second), 0, 0, 0, 100 * ms},
		{p(Full, 100*ms, time.Second), 3, 0, 0, 800 * ms},
		{p(Full, 100*ms, time.Second), 4, 0, 0, time.Second},
		{p(Full, 100*ms, 50*ms), 0, 0, 0, 50 * ms},
		{p(Equal, 100*ms, time.Second), 2, 0, 200 * ms, 400 * ms},
		{p(Decorrelated, 100*ms, time.Second), 0, 0, 100 * ms, 300 * ms},
		{p(Decorrelated, 100*ms, time.Second), 1, 200 * ms, 100 * ms, 600 * ms},
		{p(Decorrelated, 100*ms, time.Second), 2, 900 * ms, 100 * ms, 2700 * ms},
		{p(Decorrelated, 100*ms, time.Second), 1, 10 * ms, 100 * ms, 100 * ms}, // before was too early
		{p(Exponential, 100*ms, time.Second), 2, 0, 400 * ms, 400 * ms},
		{p(Constant, 100*ms, time.Second), 7, 0, 100 * ms, 100 * ms},
		{p(None, 0, 0), 0, 0, 0, 0},
	} {
		s := tt.policy.Span(tt.n, tt.before)
		if s.Least != tt.least || s.Most != tt.most {
			t.Errorf("%+v before retry %d: %v to %v, want %v to %v", tt.policy, tt.n, s.Least, s.Most, tt.least, tt.most)
		}
	}
}

func TestFits(t *testing.T) {
	full := Policy{Full, 100 * ms, time.Second}.Span(1, 0)
	capped := Policy{Decorrelated, 100 * ms, 250 * ms}.Span(0, 0)
	equal := Policy{Equal, 100 * ms, time.Second}.Span(0, 0)
	for _, tt := range []struct {
		span Span
		seen time.Duration
		want Fit
	}{
		{full, 0, Conforms}, {full, 210 * ms, Conforms}, {full, 211 * ms, Late},
		{equal, 48 * ms, Conforms}, {equal, 47 * ms, Early}, {equal, 110 * ms, Conforms},
		{capped, 260 * ms, Conforms}, {capped, 261 * ms, Late}, {capped, 97 * ms, Early},
		{full.Asked(time.Second), 997 * ms, Early}, {full.Asked(time.Second), 1210 * ms, Conforms}, {full.Asked(time.Second), 1211 * ms, Late},
		{capped.Asked(10 * ms), 99 * ms, Conforms}, {capped.Asked(10 * ms), 97 * ms, Early},
	} {
		if got := tt.span.Fit(tt.seen, 10*ms); got != tt.want {
			t.Errorf("%v in %+v is %v, want %v", tt.seen, tt.span, got, tt.want)
		}
	}
	if p := equal.Position(75 * ms); p != .5 {
		t.Errorf("position %v", p)
	}
	if (Span{Least: 5, Most: 5}).Position(9) != 0 {
		t.Error("an instant has positions")
	}
}

// Whatever the figures, a span is not empty, not negative, and without a cap below it.
func TestSpanProperties(t *testing.T) {
	rules := []Rule{Guide, Full, Equal, Decorrelated, Exponential, Constant, None}
	rapid.Check(t, func(t *rapid.T) {
		p := Policy{
			Rule: rapid.SampledFrom(rules).Draw(t, "rule"),
			Base: time.Duration(rapid.Int64Range(0, int64(720*time.Hour)).Draw(t, "base")),
			Cap:  time.Duration(rapid.Int64Range(0, int64(720*time.Hour)).Draw(t, "cap")),
		}
		before := time.Duration(rapid.Int64Range(0, int64(forever)*2).Draw(t, "before"))
		s := p.Span(rapid.IntRange(0, 200).Draw(t, "n"), before)
		if s.Least < 0 || s.Most < s.Least || s.Most > 4*forever {
			t.Fatalf("%+v: %+v", p, s)
		}
		if a := s.Asked(time.Minute); a.Least < time.Minute || a.Most < a.Least {
			t.Fatalf("asked for a minute: %+v of %+v", a, s)
		}
		if mid := s.bounded(s.Least + (s.Most-s.Least)/2); s.Fit(mid, 0) != Conforms {
			t.Fatalf("%v does not fit %+v", mid, s)
		}
	})
}
