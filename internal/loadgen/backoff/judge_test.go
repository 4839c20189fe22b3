package backoff

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// A caller draws its wait before retry n, given the one it drew before.
type caller func(rng *rand.Rand, n int, before time.Duration) time.Duration

func uniform(rng *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(rng.Float64()*float64(high-low))
}

const (
	testBase = 20 * ms
	testCap  = 70 * ms
)

func capped(n int) time.Duration { return min(testCap, testBase<<n) }

// callers are callers that keep to their rules, each in its own few lines.
func callers() map[Rule]caller {
	return map[Rule]caller{
		Guide: func(rng *rand.Rand, n int, _ time.Duration) time.Duration {
			return testBase<<n + uniform(rng, 0, testBase)
		},
		Full: func(rng *rand.Rand, n int, _ time.Duration) time.Duration { return uniform(rng, 0, capped(n)) },
		Equal: func(rng *rand.Rand, n int, _ time.Duration) time.Duration {
			return capped(n)/2 + uniform(rng, 0, capped(n)/2)
		},
		Decorrelated: func(rng *rand.Rand, _ int, before time.Duration) time.Duration {
			return min(testCap, uniform(rng, testBase, 3*max(before, testBase)))
		},
		Exponential: func(_ *rand.Rand, n int, _ time.Duration) time.Duration { return capped(n) },
		Constant:    func(*rand.Rand, int, time.Duration) time.Duration { return testBase },
	}
}

// seen are the waits of logical requests of up to four retries, until there are enough
// of them, as they look under rule where up to slack is added to each.
func (c caller) seen(rule Rule, seed uint64, enough int, slack time.Duration) []Wait {
	rng := rand.New(rand.NewPCG(seed, 1))
	policy := Policy{rule, testBase, testCap}
	var all []Wait
	for len(all) < enough {
		var drawn, seen time.Duration
		for n := range 1 + rng.IntN(4) {
			span := policy.Span(n, seen)
			drawn = c(rng, n, drawn)
			seen = drawn + uniform(rng, 0, slack)
			all = append(all, Wait{Span: span, Seen: seen})
		}
	}
	return all
}

// Callers that keep to their rules are never rejected, with 50 and with 5,000 waits,
// by 20 seeds each, while up to 6 ms are added to spans that begin at 20 ms.
func TestConformingCallersPass(t *testing.T) {
	const slack = 6 * ms
	for rule, c := range callers() {
		for seed := range uint64(20) {
			for _, enough := range []int{50, 5000} {
				waits := c.seen(rule, seed, enough, slack)
				v := Judge(waits, slack)
				if v.Misfits() || v.Crowds() {
					t.Errorf("%s, seed %d: %+v", rule, seed, v)
				}
				for _, w := range waits {
					if f := w.Span.Fit(w.Seen, slack); f != Conforms {
						t.Fatalf("%s, seed %d: %v in %+v is %v", rule, seed, w.Seen, w.Span, f)
					}
				}
			}
		}
	}
}

// The rate of false alarms is as stated or less: 2,000 samples of 40 waits, to which
// nothing is added, so that the test has all of its edge.
func TestFalseAlarms(t *testing.T) {
	full := callers()[Full]
	rejected, doubted := 0, 0
	for seed := range uint64(2000) {
		v := Judge(full.seen(Full, seed, 40, 0), 0)
		if v.Misfits() || v.Crowds() {
			rejected++
		}
		if v.MisplacedP < .05 {
			doubted++
		}
	}
	if rejected > 2 { // 0.4 expected at most, 3 and more in 1 of 100
		t.Errorf("%d of 2,000 rejected", rejected)
	}
	if doubted > 2000*7/100 || doubted == 0 {
		t.Errorf("P is below 5 %% in %d of 2,000", doubted)
	}
}

// Callers that state a rule and wait otherwise are rejected, with 200 waits, by 20
// seeds each.
func TestOtherCallersAreRejected(t *testing.T) {
	all := callers()
	const slack = 3 * ms
	for _, tt := range []struct {
		stated, really Rule
		misfits        bool
		crowds         bool
	}{
		{Full, Exponential, true, true}, // jitter is missing
		{Guide, Exponential, true, true},
		{Equal, Exponential, true, true},
		{Decorrelated, Exponential, true, true},
		{Full, Constant, true, false},
		{Full, Equal, true, false}, // half of the jitter
		{Equal, Full, true, false},
		{Full, Guide, true, false}, // added to the wait
	} {
		t.Run(fmt.Sprintf("%s as %s", tt.really, tt.stated), func(t *testing.T) {
			for seed := range uint64(20) {
				v := Judge(all[tt.really].seen(tt.stated, seed, 200, slack), slack)
				if v.Misfits() != tt.misfits || tt.crowds && !v.Crowds() {
					t.Errorf("seed %d: %+v", seed, v)
				}
			}
		})
	}
}

// However much may have been added to waits without jitter, they crowd.
func TestMissingJitterIsSeenUnderAnySlack(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 2))
		var bare, spread []Wait
		for range 60 {
			span := Span{Most: 200 * ms}
			bare = append(bare, Wait{Span: span, Seen: span.Most + 50*ms + uniform(rng, 0, 5*ms)})
			spread = append(spread, Wait{Span: span, Seen: uniform(rng, 0, span.Most) + 50*ms + uniform(rng, 0, 5*ms)})
		}
		if v := Judge(bare, time.Hour); v.Misfits() || !v.Crowds() {
			t.Errorf("seed %d, without jitter: %+v", seed, v)
		}
		if v := Judge(spread, time.Hour); v.Misfits() || v.Crowds() {
			t.Errorf("seed %d, with jitter: %+v", seed, v)
		}
	}
}

func TestFewWaitsGiveNoVerdict(t *testing.T) {
	v := Judge(callers()[Exponential].seen(Full, 1, MinSample-4, ms), ms)
	if v.Tested >= MinSample || v.Enough() || v.Misfits() || v.Crowds() {
		t.Errorf("%+v", v)
	}
	if v := Judge(callers()[Exponential].seen(Exponential, 1, 100, ms), ms); v.Tested != 0 || v.MisplacedP != 1 || v.CrowdedP != 1 {
		t.Errorf("waits without a choice were tested: %+v", v)
	}
}

// Where callers are cut in long waits those are missing; counted as unseen they raise
// no alarm, left out they would.
func TestUnseenWaits(t *testing.T) {
	waits := callers()[Full].seen(Full, 1, 2000, 0)
	var short []Wait
	for i, w := range waits {
		if w.Seen > 15*ms {
			waits[i].Unseen = true
			continue
		}
		short = append(short, w)
	}
	if v := Judge(waits, 0); v.Misfits() || v.Crowds() || v.Tested != len(waits) {
		t.Errorf("%+v", v)
	}
	if v := Judge(short, 0); !v.Misfits() {
		t.Errorf("with only the short waits: %+v", v)
	}
}
