package driver

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
)

// stormNotice is how long before a storm its victims are expected to get nothing any
// more, in times of settle.
const stormNotice = 4

// A storm cuts the connections of some members at one instant.
//
// What is sent from four times settle before that on is not expected of them any
// more, and publishers among them fall silent once settle before: so what was
// expected has had time to arrive, and that a relay loses what is under way when a
// connection breaks is not held against it. Who still waits for something then is cut
// when it has come, or after partWait.
type storm struct {
	at, settle time.Duration
	rooms      []*room

	struck time.Duration // when the first connection was cut; unset before
	cut    int64
	backs  atomic.Int64
	latest atomic.Int64 // when the latest member came back
	over   chan struct{}
}

func newStorm(plan *roomPlan, rooms []*room) *storm {
	return &storm{
		at: plan.run.Warmup + time.Duration(plan.room.Storm.At), settle: time.Duration(plan.room.Settle),
		rooms: rooms, struck: unset, over: make(chan struct{}),
	}
}

// run waits for the storm's instant and lets it break out; a run that stops before
// its notice has none.
func (s *storm) run(ctx context.Context, run engine.Run) {
	defer close(s.over)
	timer := run.NewTimer()
	if !timer.Wait(ctx, s.at-stormNotice*s.settle, run.Stopping) {
		return
	}
	for _, r := range s.rooms {
		r.muster()
	}
	timer.Wait(ctx, s.at-s.settle, run.Stopping) // whoever is mustered is cut in any case
	for _, r := range s.rooms {
		r.hush()
	}
	timer.Wait(ctx, s.at, run.Stopping)
	s.struck = run.Clock.Now()
	for _, r := range s.rooms {
		s.cut += r.strike()
	}
}

// back notes that a member is back.
func (s *storm) back(now time.Duration) {
	s.backs.Add(1)
	for latest := s.latest.Load(); int64(now) > latest && !s.latest.CompareAndSwap(latest, int64(now)); {
		latest = s.latest.Load()
	}
}

// record writes down what the storm came to, when it and all members are done.
func (s *storm) record(rec *engine.Recorder) {
	<-s.over
	rec.Add(wsStormCut, s.cut)
	var missing int64
	for _, r := range s.rooms {
		for _, m := range r.members {
			missing += count(m.habits != nil && m.habits.struck && !m.habits.back)
		}
	}
	rec.Add(wsStormAway, missing)
	rec.Balance("cut by the storm = back + not back", s.cut, s.backs.Load()+missing)
	if s.cut > 0 && s.backs.Load() == s.cut {
		rec.Record(wsStormRecovery, max(0, s.latest.Load()-int64(s.struck)))
	}
}

// muster ends what those members are expected to get that the storm is to cut.
func (r *room) muster() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.members {
		if m.habits != nil && m.habits.stormy && r.retired(m) {
			m.habits.mustered = true
		}
	}
}

// hush has the mustered publishers publish no more.
func (r *room) hush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.publishers {
		if h := p.member.habits; h != nil && h.mustered {
			p.hushed = true
		}
	}
}

// strike has the mustered members cut their connections, and returns how many they are.
func (r *room) strike() (n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.members {
		if m.habits != nil && m.habits.mustered && m.presence == leaving {
			m.habits.struck = true
			m.habits.cut.Store(true)
			m.interrupt()
			n++
		}
	}
	return n
}
