package driver

import (
	"sync"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/backoff"
	"github.com/edgeload/edgeload/internal/loadgen/engine"
)

// A logical request is one arrival of a retry workload: a request to the target, and
// what the target makes of it upstream. Of its attempts the last alone is kept.
type logical struct {
	mu     sync.Mutex
	seq    uint64
	rec    *engine.Recorder
	counts bool // it does not lie in the warm-up
	closed bool

	attempts int
	open     int // of them, without an answer
	last     attempt
	before   time.Duration // the last wait
	bent     bool          // before was not by the rule alone
}

// An attempt is one call to the upstream that the sink plays.
type attempt struct {
	arrived time.Duration // its first byte
	ended   time.Duration // its answer's end
	open    bool          // that has not come
	again   bool          // the policy tries it again
	asked   time.Duration // by Retry-After; 0 for nothing
}

func (l *logical) begin(seq uint64, rec *engine.Recorder, counts bool) {
	l.seq, l.rec, l.counts, l.closed = seq, rec, counts, false
	l.attempts, l.open, l.last, l.before, l.bent = 0, 0, attempt{}, 0, false
}

// arrive takes an attempt of request seq that came at an instant, and returns its
// number, from 0. It answers false where l is another request by now, or is over.
func (l *logical) arrive(p *retryPolicy, seq uint64, at time.Duration) (nth int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.seq != seq {
		return 0, false
	}
	nth = l.attempts
	l.rec.Add(retryAttemptsTotal, 1)
	if nth == 0 {
		l.rec.Add(retryFirstAttempts, 1)
	} else {
		l.rec.Add(retryRetries, 1)
		l.retried(p, nth-1, at)
	}
	l.attempts++
	l.open++
	l.last = attempt{arrived: at, open: true}
	return nth, true
}

// retried judges retry n, from 0, which came at an instant.
func (l *logical) retried(p *retryPolicy, n int, at time.Duration) {
	rec := l.rec
	switch {
	case !l.last.open && !l.last.again:
		rec.Add(retryRetriedWrongly, 1)
		rec.Add(retryViolations, 1)
	case n+1 >= p.attempts:
		rec.Add(retryTooMany, 1)
		rec.Add(retryViolations, 1)
	}
	if l.last.open {
		rec.Add(retryOverlapping, 1)
		l.before, l.bent = 0, true
		return
	}
	wait := max(0, at-l.last.ended)
	rec.Record(retryWait, int64(wait))
	if n < retryWaitsApart {
		rec.Record(retryWait1+engine.MetricID(n), int64(wait))
	}
	if asked := l.last.asked; asked > 0 {
		if wait >= asked-backoff.Grain {
			rec.Add(retryAfterHonoured, 1)
		} else {
			rec.Add(retryAfterIgnored, 1)
		}
	}
	if l.last.again && n+1 < p.attempts {
		l.judge(p, n, wait)
	}
	l.bent = l.bent || l.last.asked > 0 && p.heeds || !l.last.again
	l.before = wait
}

// judge holds the wait before retry n to the policy.
func (l *logical) judge(p *retryPolicy, n int, wait time.Duration) {
	span := p.Span(n, l.before)
	asked := p.heeds && l.last.asked > 0
	bounds := span
	if asked {
		bounds = span.Asked(l.last.asked)
	}
	l.rec.Add(retryWaitsJudged, 1)
	switch bounds.Fit(wait, p.tolerance) {
	case backoff.Early:
		l.rec.Add(retryWaitsEarly, 1)
		l.rec.Add(retryViolations, 1)
	case backoff.Late:
		l.rec.Add(retryWaitsLate, 1)
		l.rec.Add(retryViolations, 1)
	default:
		l.rec.Add(retryWaitsConforming, 1)
	}
	if asked || span.Grown > 0 && l.bent || span.Most <= span.Least {
		return
	}
	l.rec.Record(retryWaitPosition, int64(1000*min(max(span.Position(wait), 0), 1)))
	if l.counts {
		p.sample.add(backoff.Wait{Span: span, Seen: wait})
	}
}

// answered notes what attempt nth is answered.
func (l *logical) answered(seq uint64, nth int, again bool, asked time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.is(seq, nth) {
		l.last.again, l.last.asked = again, asked
	}
}

// is reports that attempt nth of request seq is the last one of l.
func (l *logical) is(seq uint64, nth int) bool {
	return !l.closed && l.seq == seq && nth == l.attempts-1
}

// left notes when attempt nth of request seq had its answer, or that the target has
// gone without. It answers whether l is not used any more.
func (l *logical) left(p *retryPolicy, seq uint64, nth int, at time.Duration, gone bool) (free bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.closed {
		return l.open == 0
	}
	if gone {
		l.rec.Add(retryAttemptsCut, 1)
	}
	if l.is(seq, nth) {
		l.last.open, l.last.ended = false, at
		if gone {
			l.last.again, l.last.asked = p.onErrors, 0
			l.rec.Record(retryCutAfter, int64(max(0, at-l.last.arrived)))
		}
	}
	return false
}

// close ends l, whose request ended as end says; answered is the last byte of its
// answer, below 0 without one. It answers how l ended, of how many attempts, and whether
// it is not used any more.
func (l *logical) close(p *retryPolicy, end httpOutcome, answered time.Duration) (how retryEnding, attempts int, free bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.rec.Record(retryAttempts, int64(l.attempts))
	how = l.ending(end)
	l.rec.Add(how.metric(), 1)
	if waiting := l.attempts > 0 && !l.last.open && l.last.again && l.attempts < p.attempts; waiting {
		l.unwaited(p, how)
	}
	if answered >= 0 && l.attempts > 0 && !l.last.open {
		relay := max(0, answered-l.last.ended)
		l.rec.Record(retryRelay, int64(relay))
		if l.counts {
			p.sample.relay.Record(int64(relay))
		}
	}
	return how, l.attempts, l.open == 0
}

// unwaited judges that a retry which the policy has did not come. How long the wait
// for it was meant to be is not known.
func (l *logical) unwaited(p *retryPolicy, how retryEnding) {
	span := p.Span(l.attempts-1, l.before)
	if l.counts && l.last.asked == 0 {
		p.sample.add(backoff.Wait{Span: span, Unseen: true})
	}
	if how == retryEndingGivenUp && (!p.heeds || l.last.asked <= p.patience) {
		l.rec.Add(retryNotRetried, 1)
		l.rec.Add(retryViolations, 1)
	}
}

// A retryEnding is how a logical request ended. Each has exactly one.
type retryEnding int

const (
	retryEndingResolved retryEnding = iota
	retryEndingGivenUp
	retryEndingLeftOpen
	retryEndingUnattempted
	retryEndingCut

	retryEndingCount
)

// metric is the counter of e.
func (e retryEnding) metric() engine.MetricID { return retryResolved + engine.MetricID(e) }

// ending says how l ended, whose request did as end says.
func (l *logical) ending(end httpOutcome) retryEnding {
	switch {
	case end == httpOutcomeTimeout, end == httpOutcomeUnfinished:
		return retryEndingCut
	case l.attempts == 0:
		return retryEndingUnattempted
	case l.last.open:
		return retryEndingLeftOpen
	case l.last.again:
		return retryEndingGivenUp
	}
	return retryEndingResolved
}
