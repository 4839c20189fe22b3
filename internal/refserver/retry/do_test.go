package retry

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

var errRefused = errors.New("connection refused")

// script answers attempt n with the n-th outcome, each after took.
func script(took time.Duration, outcomes ...Outcome) func(context.Context, Attempt) Outcome {
	return func(ctx context.Context, a Attempt) Outcome {
		if !sleep(ctx, took) {
			return Outcome{Err: context.Cause(ctx)}
		}
		return outcomes[min(a.N, len(outcomes))-1]
	}
}

func TestWhatIsRetried(t *testing.T) {
	status := func(codes ...int) (out []Outcome) {
		for _, code := range codes {
			out = append(out, Outcome{Status: code})
		}
		return out
	}
	for _, tc := range []struct {
		name     string
		policy   string
		outcomes []Outcome
		attempts int
		stop     Stop
	}{
		{"none gives up at once", "none", status(500), 1, StopExhausted},
		{"none is answered", "none", status(404), 1, StopAnswered},
		{"none and an error", "none", []Outcome{{Err: errRefused}}, 1, StopError},
		{"guide: first answer", "guide", status(200), 1, StopAnswered},
		{"guide: a 5xx, then well", "guide", status(503, 200), 2, StopAnswered},
		{"guide: three are all", "guide", status(500, 502, 503, 200), 3, StopExhausted},
		{"guide: not on 429", "guide", status(429, 200), 1, StopAnswered},
		{"guide: not on 408", "guide", status(408, 200), 1, StopAnswered},
		{"guide: not on a rejected fetch", "guide", []Outcome{{Err: errRefused}, {Status: 200}}, 1, StopError},
		{"guide: its third parameter", "guide:attempts=5", status(500), 5, StopExhausted},
		{"full: on 429", "full", status(429, 200), 2, StopAnswered},
		{"full: on 408", "full", status(408, 200), 2, StopAnswered},
		{"full: not on 404", "full", status(404, 200), 1, StopAnswered},
		{"full: on a rejected fetch", "full", []Outcome{{Err: errRefused}, {Status: 200}}, 2, StopAnswered},
		{"full: not where it is final", "full", []Outcome{{Err: errRefused, Final: true}, {Status: 200}}, 1, StopError},
		{"equal: three are all", "equal", status(529), 3, StopExhausted},
		{"decorrelated: errors to the end", "decorrelated", []Outcome{{Err: errRefused}}, 3, StopExhausted},
		{"one attempt", "full:attempts=1", status(500), 1, StopExhausted},
		{"asked for too long", "full", []Outcome{{Status: 429, Asked: true, RetryAfter: Patience + 1}, {Status: 200}}, 1, StopRetryAfter},
		{"asked for too long, and not heard", "full:retry_after=false", []Outcome{{Status: 429, Asked: true, RetryAfter: Patience + 1}, {Status: 200}}, 2, StopAnswered},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := Do(t.Context(), parse(t, tc.policy), nil, script(0, tc.outcomes...))
			if len(r.Attempts) != tc.attempts || r.Stop != tc.stop || r.Last() != tc.outcomes[min(tc.attempts, len(tc.outcomes))-1] {
				t.Errorf("%s: %d attempts, %s, %+v; want %d, %s", tc.name, len(r.Attempts), r.Stop, r.Last(), tc.attempts, tc.stop)
			}
		})
	}
}

// TestSpacing: attempts begin exactly when the policy says, counted from the end of
// the one before; the guide's within the guide's bounds.
func TestSpacing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := drawPolicy(rt)
		p.AttemptTimeout = 0
		took := time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(rt, "took"))
		var wrong string
		synctest.Test(t, func(t *testing.T) { wrong = spacingDiffers(t.Context(), p, took) })
		if wrong != "" {
			rt.Fatalf("%s, attempts of %s: %s", p, took, wrong)
		}
	})
}

// spacingDiffers says where the attempts of a request that never ends well are not
// where the policy has them, or nothing.
func spacingDiffers(ctx context.Context, p Policy, took time.Duration) string {
	begin := time.Now()
	r := Do(ctx, p, nil, script(took, Outcome{Status: 503}))
	if r.Stop != StopExhausted || len(r.Attempts) != max(p.Attempts, 1) {
		return fmt.Sprintf("%d attempts, %s", len(r.Attempts), r.Stop)
	}
	waits, due := newBackoff(p), begin
	for i, a := range r.Attempts {
		var wait time.Duration
		switch {
		case i == 0 && !a.Due.IsZero():
			return fmt.Sprintf("the first attempt was due at %s", a.Due)
		case i > 0:
			if wait = waits.next(); p.Seed == 0 {
				wait = a.Wait
			}
			if due = due.Add(took + wait); !a.Due.Equal(due) {
				return fmt.Sprintf("attempt %d was due at %s, want %s", a.N, a.Due.Sub(begin), due.Sub(begin))
			}
		}
		if a.N != i+1 || a.Wait != wait || a.Took != took || !a.Began.Equal(due) {
			return fmt.Sprintf("attempt %d: %+v, want wait %s and begin %s", i+1, a, wait, due.Sub(begin))
		}
	}
	if p.Kind == Guide && p.Attempts > 2 {
		first, second := r.Attempts[1].Wait, r.Attempts[2].Wait
		if first < time.Second || first >= 2*time.Second || second < 2*time.Second || second >= 3*time.Second {
			return fmt.Sprintf("the guide waits %s and %s", first, second)
		}
	}
	return ""
}

func TestRetryAfterIsALowerBound(t *testing.T) {
	for _, tc := range []struct {
		policy string
		asked  time.Duration
		low    time.Duration
		high   time.Duration
	}{
		{"full:base=1s", 30 * time.Second, 30 * time.Second, 30 * time.Second},
		{"full:base=1s", 0, 0, time.Second},
		{"equal:base=10s", time.Second, 5 * time.Second, 10 * time.Second},
		{"equal:base=10s,retry_after=false", 30 * time.Second, 5 * time.Second, 10 * time.Second},
		{"guide", 30 * time.Second, time.Second, 2 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := Do(t.Context(), parse(t, tc.policy), nil, script(0, Outcome{Status: 503, Asked: true, RetryAfter: tc.asked}, Outcome{Status: 200}))
			if len(r.Attempts) != 2 {
				t.Fatalf("%s: %d attempts", tc.policy, len(r.Attempts))
			}
			if wait := r.Attempts[1].Began.Sub(r.Attempts[0].Began); wait < tc.low || wait > tc.high || wait != r.Attempts[1].Wait {
				t.Errorf("%s: asked for %s, waited %s and said %s; want %s to %s", tc.policy, tc.asked, wait, r.Attempts[1].Wait, tc.low, tc.high)
			}
		})
	}
}

// TestNoWaitIsLongerThanDocumented: whatever the server asks for, and at the far end
// of the doubling.
func TestNoWaitIsLongerThanDocumented(t *testing.T) {
	for _, policy := range []string{
		"full:attempts=20,base=1h,cap=1h", "equal:attempts=20,base=1h,cap=1h", "decorrelated:attempts=20,base=1h,cap=1h",
		"full:attempts=20,base=1ns,cap=1h", "equal:attempts=20,base=30m,cap=1h", "decorrelated:attempts=20,base=1ns,cap=1h", "full:attempts=20,base=1ms,cap=1ms",
		"guide:attempts=20",
	} {
		for _, asked := range []time.Duration{math.MinInt64, -time.Second, Patience, Patience + 1, math.MaxInt64} {
			synctest.Test(t, func(t *testing.T) {
				p := parse(t, policy)
				r := Do(t.Context(), p, nil, script(0, Outcome{Status: 503, Asked: true, RetryAfter: asked}))
				if wantStop := p.RetryAfter && asked > Patience; (r.Stop == StopRetryAfter) != wantStop || !wantStop && len(r.Attempts) != MaxAttempts {
					t.Errorf("%s, asked for %s: %d attempts, %s", policy, asked, len(r.Attempts), r.Stop)
				}
				for i, a := range r.Attempts {
					most := max(p.Cap, Patience)
					if p.Kind == Guide && i > 0 {
						most = time.Second<<(i-1) + time.Second
					}
					if a.Wait < 0 || a.Wait > most {
						t.Errorf("%s, asked for %s: attempt %d waited %s", policy, asked, a.N, a.Wait)
					}
				}
			})
		}
	}
}

func TestAttemptTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parse(t, "full:attempt_timeout=2s,attempts=2")
		r := Do(t.Context(), p, nil, script(time.Hour, Outcome{Status: 200}))
		if r.Stop != StopExhausted || len(r.Attempts) != 2 {
			t.Fatalf("%d attempts, %s", len(r.Attempts), r.Stop)
		}
		for _, a := range r.Attempts {
			if a.Took != 2*time.Second || !errors.Is(a.Outcome.Err, ErrAttemptTimeout) {
				t.Errorf("attempt %d took %s, %v", a.N, a.Took, a.Outcome.Err)
			}
		}
		// What was answered in time stands, though the context has ended since.
		r = Do(t.Context(), p, nil, func(ctx context.Context, _ Attempt) Outcome {
			<-ctx.Done()
			return Outcome{Status: 201}
		})
		if r.Stop != StopAnswered || r.Last() != (Outcome{Status: 201}) {
			t.Errorf("%s, %+v", r.Stop, r.Last())
		}
	})
}

func TestContextEnds(t *testing.T) {
	errGone := errors.New("client is gone")
	for _, tc := range []struct {
		name     string
		after    time.Duration
		took     time.Duration
		attempts int
	}{
		{"before the first", 0, 0, 0},
		{"within an attempt", 500 * time.Millisecond, time.Second, 1},
		{"within a wait", 500 * time.Millisecond, 0, 1},
		{"within the second attempt", 5500 * time.Millisecond, 3 * time.Second, 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			if tc.after == 0 {
				cancel(errGone)
			}
			timer := time.AfterFunc(tc.after, func() { cancel(errGone) })
			defer timer.Stop()
			begin := time.Now()
			r := Do(ctx, Policy{Kind: Guide, Attempts: 3, Seed: 1}, nil, script(tc.took, Outcome{Status: 500}))
			if r.Stop != StopContext || len(r.Attempts) != tc.attempts || time.Since(begin) > tc.after+time.Second {
				t.Errorf("%s: %d attempts, %s, after %s", tc.name, len(r.Attempts), r.Stop, time.Since(begin))
			}
		})
	}
}

func TestBudgetStopsRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var budgets Budgets
		p := parse(t, "full:budget=grpc,attempts=3,base=10ms")
		do := func(o Outcome) Result { return Do(t.Context(), p, budgets.Of(p), script(0, o)) }
		// Tokens: 10, three failures, 7; two failures, 5: no third attempt.
		if r := do(Outcome{Status: 500}); r.Stop != StopExhausted || len(r.Attempts) != 3 {
			t.Errorf("first: %d attempts, %s", len(r.Attempts), r.Stop)
		}
		if r := do(Outcome{Status: 500}); r.Stop != StopBudget || len(r.Attempts) != 2 {
			t.Errorf("second: %d attempts, %s", len(r.Attempts), r.Stop)
		}
		if r := do(Outcome{Status: 500}); r.Stop != StopBudget || len(r.Attempts) != 1 {
			t.Errorf("third: %d attempts, %s", len(r.Attempts), r.Stop)
		}
		for range 21 { // 4 + 2.1
			do(Outcome{Status: 200})
		}
		if r := do(Outcome{Status: 500}); r.Stop != StopBudget || len(r.Attempts) != 2 { // 5.1, then 4.1
			t.Errorf("after successes: %d attempts, %s", len(r.Attempts), r.Stop)
		}
		// Finagle's counts requests: 100 of reserve, and a fifth of 500.
		p.Budget, p.Attempts = Finagle, 2
		retries := 0
		for range 500 {
			retries += len(do(Outcome{Status: 500}).Attempts) - 1
		}
		if elapsed := 500 * 10 * time.Millisecond; retries < 199 || retries > 200 {
			t.Errorf("%d of 500 failing requests were retried in at most %s, want 200", retries, elapsed)
		}
	})
}
