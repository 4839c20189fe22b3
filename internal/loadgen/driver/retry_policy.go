package driver

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/backoff"
	"github.com/edgeload/edgeload/internal/loadgen/hist"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

const (
	// mostWaitsTested bounds how many waits of a run are kept for its tests.
	mostWaitsTested = 20_000
	// retryPatience is the longest Retry-After that a target without a cap is held to.
	retryPatience = time.Minute
	// fewestRelays is how many samples a guess at the slack takes.
	fewestRelays = 30
)

// A retryPolicy is what a target is held to, and the waits that it is tested by.
type retryPolicy struct {
	backoff.Policy
	attempts  int
	heeds     bool // Retry-After
	patience  time.Duration
	on        scenario.Statuses
	onErrors  bool
	tolerance time.Duration
	sample    *waitSample
}

// newRetryPolicy takes what a scenario says, with its defaults in.
func newRetryPolicy(p *scenario.Policy) (*retryPolicy, error) {
	if p == nil || p.OnErrors == nil {
		return nil, errors.New("a retry workload needs a policy with its defaults")
	}
	out := &retryPolicy{
		Policy:   backoff.Policy{Rule: backoff.Rule(p.Backoff), Base: time.Duration(p.Base), Cap: time.Duration(p.Cap)},
		attempts: p.Attempts, heeds: p.RetryAfter, patience: time.Duration(p.Cap),
		on: p.On, onErrors: *p.OnErrors, tolerance: time.Duration(p.Tolerance), sample: newWaitSample(),
	}
	if out.patience == 0 {
		out.patience = retryPatience
	}
	return out, nil
}

// again reports that the policy tries an attempt again that had a status, 0 for none.
func (p *retryPolicy) again(status int) bool {
	switch {
	case p.Rule == backoff.None:
		return false
	case status == 0:
		return p.onErrors
	}
	return p.on.Contains(status)
}

// A waitSample keeps the first waits of a run, and what the target adds to an answer.
// Any number of goroutines may add to one, without a lock.
type waitSample struct {
	waits []backoff.Wait
	next  atomic.Int64
	relay *hist.Counter
}

func newWaitSample() *waitSample {
	return &waitSample{waits: make([]backoff.Wait, mostWaitsTested), relay: hist.NewCounter(hist.Durations)}
}

// add keeps w where there is room.
func (s *waitSample) add(w backoff.Wait) {
	if i := s.next.Add(1) - 1; i < int64(len(s.waits)) {
		s.waits[i] = w
	}
}

// taken are the waits, once nobody adds any more.
func (s *waitSample) taken() []backoff.Wait {
	return s.waits[:min(s.next.Load(), int64(len(s.waits)))]
}

// slack is what may be added to a wait: what the target adds to an answer, as 99 of
// 100 show, twice, as it has the answer to take and the next attempt to make, and what
// a timer may be late; at most the policy's tolerance.
func (p *retryPolicy) slack() time.Duration {
	relays := hist.New(hist.Durations)
	p.sample.relay.Drain(relays.Record)
	if relays.Count() < fewestRelays {
		return p.tolerance
	}
	return min(p.tolerance, 2*time.Duration(relays.Quantile(.99))+backoff.Grain)
}
