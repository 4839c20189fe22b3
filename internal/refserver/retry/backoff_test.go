package retry

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// drawPolicy draws any policy that is valid.
func drawPolicy(t *rapid.T) Policy {
	p := Default(rapid.SampledFrom([]Kind{None, Guide, Full, Equal, Decorrelated}).Draw(t, "kind"))
	p.Seed = rapid.Uint64().Draw(t, "seed")
	p.AttemptTimeout = time.Duration(rapid.Int64Range(0, int64(MaxWait)).Draw(t, "attempt_timeout"))
	if p.Kind == None {
		return p
	}
	p.Attempts = rapid.IntRange(1, MaxAttempts).Draw(t, "attempts")
	if p.Kind == Guide {
		return p
	}
	p.Base = time.Duration(rapid.Int64Range(1, int64(MaxWait)).Draw(t, "base"))
	p.Cap = time.Duration(rapid.Int64Range(int64(p.Base), int64(MaxWait)).Draw(t, "cap"))
	p.RetryAfter = rapid.Bool().Draw(t, "retry_after")
	p.Budget = rapid.SampledFrom([]BudgetName{"", Finagle, GRPC}).Draw(t, "budget")
	return p
}

// TestWaitsKeepToTheirFormulas checks each wait against bounds that are computed
// another way, in floating point from the formula.
func TestWaitsKeepToTheirFormulas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPolicy(t)
		if err := p.Validate(); err != nil {
			t.Fatalf("%s: %v", p, err)
		}
		waits, before := newBackoff(p), float64(p.Base)
		power := 1.0
		for n := range p.Attempts - 1 {
			wait := float64(waits.next())
			low, high := 0.0, min(float64(p.Cap), float64(p.Base)*power)
			switch p.Kind {
			case Guide:
				low, high = 1e9*power, 1e9*power+1e9
			case Equal:
				low = high/2 - 1 // half a nanosecond is lost
			case Decorrelated:
				low, high = float64(p.Base), min(float64(p.Cap), 3*before)
				before = wait
			}
			if wait < low || wait > high {
				t.Fatalf("%s: wait %d is %v, want %v to %v", p, n, time.Duration(wait), time.Duration(low), time.Duration(high))
			}
			power *= 2
		}
	})
}

// TestWaitsFillTheirRange: a policy that always drew one value would keep to its
// bounds too.
func TestWaitsFillTheirRange(t *testing.T) {
	const draws = 4000
	for _, tc := range []struct {
		policy    string
		retry     int // which wait
		low, high time.Duration
	}{
		{"guide", 0, 1 * time.Second, 2 * time.Second},
		{"guide", 1, 2 * time.Second, 3 * time.Second},
		{"full:base=100ms,cap=300ms", 0, 0, 100 * time.Millisecond},
		{"full:base=100ms,cap=300ms,attempts=9", 5, 0, 300 * time.Millisecond},
		{"equal:base=100ms,cap=300ms", 1, 100 * time.Millisecond, 200 * time.Millisecond},
		{"decorrelated:base=100ms,cap=10s", 0, 100 * time.Millisecond, 300 * time.Millisecond},
	} {
		p := parse(t, tc.policy)
		var quarters [4]int
		for seed := range uint64(draws) {
			p.Seed = seed + 1
			waits := newBackoff(p)
			var wait time.Duration
			for range tc.retry + 1 {
				wait = waits.next()
			}
			if wait < tc.low || wait >= tc.high {
				t.Fatalf("%s: wait %d of seed %d is %s", p, tc.retry, p.Seed, wait)
			}
			quarters[4*(wait-tc.low)/(tc.high-tc.low)]++
		}
		for i, n := range quarters { // 1000 ± 27 by chance
			if n < 850 || n > 1150 {
				t.Errorf("%s: %d of %d waits lie in quarter %d", tc.policy, n, draws, i+1)
			}
		}
	}
}

func TestSeedFixesTheDraws(t *testing.T) {
	draw := func(p Policy) (out [8]time.Duration) {
		waits := newBackoff(p)
		for i := range out {
			out[i] = waits.next()
		}
		return out
	}
	for _, kind := range []Kind{Guide, Full, Equal, Decorrelated} {
		p := Default(kind)
		p.Seed = 7
		seven := draw(p)
		if again := draw(p); again != seven {
			t.Errorf("%s: seed 7 drew %v, then %v", kind, seven, again)
		}
		p.Seed = 8
		if eight := draw(p); eight == seven {
			t.Errorf("%s: seeds 7 and 8 drew the same", kind)
		}
		p.Seed = 0
		if one, other := draw(p), draw(p); one == other {
			t.Errorf("%s: without a seed the same was drawn twice", kind)
		}
	}
}
