package driver

import (
	"fmt"
	"time"
)

// take gives a call to one of the run's instants.
func (b *cronBook) take(n *cronInstant, t time.Duration) (ended cronEnding) {
	n.calls++
	if n.calls == 1 {
		n.firstAt = t
	}
	switch {
	case n.state == cronPlanned: // it is looked at once its arrival has begun
	case n.calls > 1:
		b.double(n, t)
	case n.state == cronWaiting:
		return b.first(n)
	default:
		b.tooLate(n, t)
	}
	return cronEnding{}
}

// first records the first call of an instant that waits for it.
func (b *cronBook) first(n *cronInstant) (ended cronEnding) {
	if n.firstAt-n.at > b.missed { // and it was about to be given up
		ended = b.giveUp(n)
		b.tooLate(n, n.firstAt)
		return ended
	}
	n.state = cronWasCalled
	b.called++
	drift := n.firstAt - n.at
	n.rec.Add(cronCalls, 1)
	n.rec.Add(cronCalled, 1)
	n.rec.Record(cronDrift, int64(max(0, drift)))
	if drift < 0 {
		n.rec.Add(cronEarly, 1)
		n.rec.Record(cronEarlyBy, int64(-drift))
	}
	if n.at >= b.warmup {
		b.trend.add(n.at, drift)
	}
	return n.end()
}

// double records a further call of an instant.
func (b *cronBook) double(n *cronInstant, t time.Duration) {
	b.doubled++
	n.rec.Add(cronCalls, 1)
	n.rec.Add(cronDoubled, 1)
	n.rec.Error("doubled", fmt.Sprintf("%s was called again %s after it", b.wall(n.at), t-n.at))
}

// tooLate records the first call of an instant that was given up.
func (b *cronBook) tooLate(n *cronInstant, t time.Duration) {
	b.late++
	n.rec.Add(cronCalls, 1)
	n.rec.Add(cronLate, 1)
	n.rec.Record(cronLateBy, int64(max(0, t-n.at)))
}

// giveUp ends an instant's wait without a call.
func (b *cronBook) giveUp(n *cronInstant) cronEnding {
	if b.cut {
		n.state = cronWasCut
		n.rec.Add(cronUnfinished, 1)
		n.rec.Error(classUnfinished, fmt.Sprintf("%s had no call when the drain ended", b.wall(n.at)))
	} else {
		n.state = cronWasMissed
		n.rec.Add(cronMissed, 1)
		n.rec.Error("missed", fmt.Sprintf("no call for %s within %s", b.wall(n.at), b.missed))
	}
	return n.end()
}

// A cronEnding is what is to be told of an arrival's end, when the lock is not held any
// more; the zero value is nothing.
type cronEnding struct {
	over func(bool)
	done bool
}

func (n *cronInstant) end() cronEnding {
	e := cronEnding{n.over, n.state == cronWasCalled}
	n.over = nil
	return e
}

func (e cronEnding) tell() {
	if e.over != nil {
		e.over(e.done)
	}
}

// expire gives up what waits too long at now, and returns when the next may be due;
// false where nothing is left to wait for.
func (b *cronBook) expire(now time.Duration) (next time.Duration, more bool) {
	var ended []cronEnding
	b.mu.Lock()
	for ; b.given < b.to; b.given++ {
		n := &b.instants[b.given]
		if due := n.at + b.missed + cronGrace; !b.cut && due > now {
			next, more = due, true
			break
		}
		if n.state == cronWaiting {
			ended = append(ended, b.giveUp(n))
		}
	}
	b.mu.Unlock()
	for _, e := range ended {
		e.tell()
	}
	return next, more
}
