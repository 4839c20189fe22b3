package engine

import (
	"sync/atomic"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// Sessions say what the sessions of a workload are made of: several arrivals, the
// turns, each of which is intended some time after the one before has ended. A turn
// that fails or is dropped ends its session. Both functions are called from many
// goroutines at once.
type Sessions struct {
	// Turns is how many turns session n has, from 1.
	Turns func(n uint64) int
	// Think is the time between the end of the turn before and turn, from 1, of
	// session n.
	Think func(n uint64, turn int) time.Duration
}

// A Session is what the arrivals of one session have in common. Its turns come one
// after the other, so that the driver of each has it to itself.
type Session struct {
	// Number of the session in its workload, from 0, in the order of beginnings.
	Number uint64
	// Keep is the driver's own, from one turn to the next.
	Keep any

	turns int
	first Arrival // where the session as a whole is counted
}

// maxThinking bounds the sessions of an open workload that wait for their next turn
// at once. One that comes on top is abandoned, and its turn counted as dropped.
const maxThinking = 100_000

// sessions is the running account of a workload's sessions.
type sessions struct {
	begun    atomic.Uint64
	thinking atomic.Int64
	turns    atomic.Int64 // begun, warm-up included
	ofEnded  atomic.Int64 // those that the sessions which have ended say they had
}

// arrive is the next arrival of w: where it has sessions the first turn of one,
// whose later turns have the numbers that follow.
func (w *workload) arrive(user int, intended time.Duration) Arrival {
	a := Arrival{User: user, Intended: intended}
	if w.Sessions == nil {
		a.Seq = w.arrived.Add(1) - 1
		return a
	}
	s := &Session{Number: w.sessions.begun.Add(1) - 1}
	s.turns = max(1, w.Sessions.Turns(s.Number))
	a.Seq = w.arrived.Add(uint64(s.turns)) - uint64(s.turns)
	s.first = a
	a.Session = s
	return a
}

// turnBegun counts a turn.
func (w *workload) turnBegun(a Arrival) {
	if a.Session == nil {
		return
	}
	w.sessions.turns.Add(1)
	if a.Turn == 0 {
		w.account(a).Add(ownSessions, 1)
	}
}

// after is the turn that follows a, which ended now; false where the session is over,
// which is counted, and where there is none. What was cut at the end of the drain has
// not failed.
func (r *run) after(w *workload, a Arrival, done, cut bool) (Arrival, bool) {
	s := a.Session
	switch {
	case s == nil:
		return a, false
	case !done && cut:
		w.sessionOver(a, ownSessionsUnfinished)
		return a, false
	case !done:
		w.sessionOver(a, ownSessionsAbandoned)
		return a, false
	case a.Turn+1 == s.turns:
		w.sessionOver(a, ownSessionsCompleted)
		return a, false
	}
	ready := r.clock.Now() + max(0, w.Sessions.Think(s.Number, a.Turn+1))
	if ready >= r.end {
		w.sessionOver(a, ownSessionsUnfinished)
		return a, false
	}
	return Arrival{Seq: a.Seq + 1, User: a.User, Intended: ready, Session: s, Turn: a.Turn + 1}, true
}

// sessionOver counts the end of a session whose last turn that began was a.
func (w *workload) sessionOver(a Arrival, how MetricID) {
	own := w.account(a.Session.first)
	own.Add(how, 1)
	if how != ownSessionsUnfinished {
		own.Record(ownTurns, int64(a.Turn+1))
	}
	w.sessions.ofEnded.Add(int64(a.Turn + 1))
}

// before is the turn before a, which did not begin.
func before(a Arrival) Arrival {
	a.Turn--
	return a
}

// sessionBalances are the sums over sessions that must come out even.
func (w *workload) sessionBalances() []result.Balance {
	if w.Sessions == nil {
		return nil
	}
	return []result.Balance{
		{Name: "sessions = completed + abandoned + unfinished", Left: w.own.total(ownSessions),
			Right: w.own.total(ownSessionsCompleted) + w.own.total(ownSessionsAbandoned) + w.own.total(ownSessionsUnfinished)},
		{Name: "turns begun = turns of the sessions", Left: w.sessions.turns.Load(), Right: w.sessions.ofEnded.Load()},
	}
}

// follow goes on with the session of a, which has ended.
func (p *pacer) follow(a Arrival, done bool) {
	w := p.workload
	next, more := p.run.after(w, a, done, p.work.Err() != nil)
	if !more {
		return
	}
	if w.sessions.thinking.Add(1) > maxThinking {
		w.sessions.thinking.Add(-1)
		own := w.account(next)
		own.Add(ownOffered, 1)
		own.Add(ownDropped, 1)
		w.sessionOver(a, ownSessionsAbandoned)
		return
	}
	p.crew.Add(1)
	go p.think(next)
}

// think waits until a is due and begins it.
func (p *pacer) think(a Arrival) {
	defer p.crew.Done()
	w := p.workload
	due := p.run.waitUntil(p.ctx, newTimer(p.run.clock, p.run.alarm), a.Intended)
	w.sessions.thinking.Add(-1)
	if !due {
		w.sessionOver(before(a), ownSessionsUnfinished)
		return
	}
	b := p.admit(a)
	if b == nil {
		w.sessionOver(before(a), ownSessionsAbandoned)
		return
	}
	b.begin(p.work)
}
