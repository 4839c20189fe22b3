package retry

import (
	"context"
	"errors"
	"time"
)

// Outcome is what came of one attempt: a status, or an error.
type Outcome struct {
	Status int   // as in HTTP; 0 where there was no answer
	Err    error // why there was none
	Final  bool  // Err would come again

	Asked      bool          // the answer asked for a wait
	RetryAfter time.Duration // that long
}

// Attempt is one attempt of a logical request.
type Attempt struct {
	N       int           // from 1
	Wait    time.Duration // that the policy set between the last attempt's end and this one; 0 before the first
	Due     time.Time     // the last attempt's end plus Wait; zero for the first
	Began   time.Time
	Took    time.Duration
	Outcome Outcome
}

// Stop is why there was no further attempt.
type Stop string

// The reasons there are.
const (
	StopAnswered   Stop = "answered"    // a status that the policy does not retry, such as 200
	StopError      Stop = "error"       // an error that the policy does not retry
	StopExhausted  Stop = "exhausted"   // as many attempts as the policy has
	StopBudget     Stop = "budget"      // the budget has no retry left
	StopRetryAfter Stop = "retry_after" // the server asked for a wait above Patience
	StopContext    Stop = "context"     // the context ended, before an attempt or within one
)

// Result is what came of a logical request.
type Result struct {
	Attempts []Attempt
	Stop     Stop
}

// Last is the outcome of the last attempt, and the zero Outcome where there was
// none.
func (r Result) Last() Outcome {
	if len(r.Attempts) == 0 {
		return Outcome{}
	}
	return r.Attempts[len(r.Attempts)-1].Outcome
}

// ErrAttemptTimeout is the cause of the end of an attempt's context where the
// policy's AttemptTimeout passed.
var ErrAttemptTimeout = errors.New("attempt took longer than its timeout")

// Do makes attempts until one ends in what the policy does not retry, or the policy,
// the budget (nil for none) or ctx ends them. It calls attempt with N, Wait, Due and
// Began set, one call after the other, and a context that ends with the attempt.
func Do(ctx context.Context, p Policy, budget Budget, attempt func(context.Context, Attempt) Outcome) Result {
	var r Result
	if budget != nil {
		budget.Request()
	}
	waits := newBackoff(p)
	for next := (Attempt{N: 1}); ; next.N++ {
		if ctx.Err() != nil {
			r.Stop = StopContext
			return r
		}
		done := try(ctx, p, next, attempt)
		r.Attempts = append(r.Attempts, done)
		again := p.retries(done.Outcome)
		if budget != nil {
			budget.Attempt(again)
		}
		if r.Stop = p.stop(ctx, done, again, budget); r.Stop != "" {
			return r
		}
		next.Wait = waits.next()
		if p.RetryAfter && done.Outcome.Asked {
			next.Wait = max(next.Wait, done.Outcome.RetryAfter)
		}
		next.Due = done.Began.Add(done.Took + next.Wait)
		if !sleep(ctx, next.Wait) {
			r.Stop = StopContext
			return r
		}
	}
}

// try makes one attempt.
func try(ctx context.Context, p Policy, a Attempt, attempt func(context.Context, Attempt) Outcome) Attempt {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if p.AttemptTimeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, p.AttemptTimeout, ErrAttemptTimeout)
		defer stop()
	}
	a.Began = time.Now()
	a.Outcome = attempt(ctx, a)
	a.Took = time.Since(a.Began)
	if a.Outcome.Err != nil && errors.Is(context.Cause(ctx), ErrAttemptTimeout) {
		a.Outcome.Err = ErrAttemptTimeout
	}
	return a
}

// stop says why no attempt follows this one, or nothing where one does.
func (p Policy) stop(ctx context.Context, done Attempt, again bool, budget Budget) Stop {
	switch {
	case done.Outcome.Err != nil && ctx.Err() != nil:
		return StopContext
	case !again && done.Outcome.Err != nil:
		return StopError
	case !again && (p.kind() != None || done.Outcome.Status < 500):
		return StopAnswered
	case done.N >= max(p.Attempts, 1):
		return StopExhausted
	case p.RetryAfter && done.Outcome.Asked && done.Outcome.RetryAfter > Patience:
		return StopRetryAfter
	case budget != nil && !budget.Retry():
		return StopBudget
	}
	return ""
}

// sleep reports whether the wait passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
