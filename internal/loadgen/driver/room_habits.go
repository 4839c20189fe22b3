package driver

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
)

// partWait bounds how long a member that leaves waits for what it is still to get.
const partWait = 5 * time.Second

// habits are what a member does beside joining, staying and reading. All of it is
// done by the goroutine that reads, which its read deadline wakes in time.
type habits struct {
	connect func(ctx context.Context, rec *engine.Recorder, setup engine.MetricID) *wsConn
	voice   *voice     // nil unless the relay speaks a protocol of its own
	draws   *rand.Rand // of its stays; nil for one that does not leave
	stormy  bool       // the storm is to cut it

	leaveAt    time.Duration // unset while it is to stay
	ping, beat pulse
	expelled   error // the relay has put it out of the room

	cut   atomic.Bool   // the storm has come
	cutAt time.Duration // when it was noticed
	back  bool          // from it

	// Under the room's lock.
	mustered bool   // the storm is about to cut this stay, or has
	struck   bool   // the storm has cut one
	stays    []stay // before the latest
}

// A stay is one connection of a member, when it is over.
type stay struct {
	spans  []span // by publisher
	lostBy string
	cut    bool // by the storm
}

// settleIn makes m ready for a stay: the end of it is drawn, and when it first has
// something to say.
func (m *member) settleIn(rec *engine.Recorder) {
	h := m.habits
	now := m.plan.run.Clock.Now()
	h.expelled = nil
	h.leaveAt = unset
	if h.draws != nil {
		stay := m.plan.room.Churn.Stay.Draw(h.draws)
		if len(h.stays) == 0 { // the first meets it in the middle of one
			stay = time.Duration(float64(stay) * h.draws.Float64())
		}
		if at := now + stay; at < m.plan.run.End {
			h.leaveAt = at
		}
	}
	h.ping.begin(now)
	h.beat.begin(now)
	if h.ping.every > 0 {
		m.conn.pong = func(payload []byte) { m.ponged(rec, payload) }
	}
	m.sleep()
}

// sleep sets the read deadline to the next thing to do.
func (m *member) sleep() {
	next := min(m.habits.leaveAt, m.habits.ping.next, m.habits.beat.next)
	var deadline time.Time
	if next != unset {
		deadline = m.plan.run.Clock.Time(next)
	}
	m.wakeAt(deadline)
}

// wakeAt sets the read deadline, unless somebody else has ended the wait already.
func (m *member) wakeAt(deadline time.Time) {
	_ = m.conn.SetReadDeadline(deadline) // an error comes again with the next read
	switch {
	case m.room.isDismissed(), m.habits.cut.Load():
		m.interrupt()
	case m.conn.failedWrite.Load() != nil:
		_ = m.conn.SetReadDeadline(time.Now().Add(closeWait))
	}
}

// wakeUp does what is due; over says that the stay is.
func (m *member) wakeUp(rec *engine.Recorder) (end stayEnd, over bool) {
	h := m.habits
	if h.cut.Load() {
		return m.cutOff(rec), true
	}
	now := m.plan.run.Clock.Now()
	if now >= h.leaveAt {
		h.leaveAt = unset
		if m.room.retire(m) { // or the storm will have it
			return m.part(rec), true
		}
	}
	if now >= h.ping.next {
		m.sendPing(rec, now)
	}
	if now >= h.beat.next {
		m.sendBeat(rec, now)
	}
	m.sleep()
	return ended, false
}

// part leaves in order: what was sent before the member made up its mind is waited
// for, what comes later is undecided.
func (m *member) part(rec *engine.Recorder) stayEnd {
	if !m.catchUp(rec) {
		return ended
	}
	m.room.leave(m, "")
	rec.Whole().Add(wsLeaves, 1)
	m.close(rec)
	return left
}

// catchUp waits for what a leaving member is still to get, for partWait at most;
// false when the connection was lost meanwhile.
func (m *member) catchUp(rec *engine.Recorder) bool {
	_ = m.conn.SetReadDeadline(time.Now().Add(partWait)) // an error comes again with the next read
	if m.room.isDismissed() {
		m.interrupt()
	}
	var err error
	for err == nil && !m.passed() {
		err = m.take(rec)
	}
	if err != nil && classOf(err) != classTimeout {
		m.endRead(rec)
		m.lose(rec, err)
		return false
	}
	return true
}

// passed reports whether all has come that a leaving member is to get.
func (m *member) passed() bool {
	for i := range m.tracks {
		if m.room.publishers[i] != m.publisher && !m.tracks[i].passed() {
			return false
		}
	}
	return true
}

// cutOff ends the connection as a failing network does. That a slow relay has still
// something to deliver puts it off: what is lost is not to be the storm's.
func (m *member) cutOff(rec *engine.Recorder) stayEnd {
	if !m.catchUp(rec) {
		return ended
	}
	m.endRead(rec)
	m.habits.cutAt = m.plan.run.Clock.Now()
	m.room.leave(m, cutByStorm)
	m.conn.sever()
	return swept
}

// comeBack connects again, after a while or at once, and as often as it takes; false
// when the run stops before.
func (m *member) comeBack(ctx context.Context, rec *engine.Recorder, end stayEnd) bool {
	h := m.habits
	setup, pause := wsSetup, time.Duration(0)
	if end == swept {
		setup = wsStormSetup
	} else {
		pause = m.plan.room.Churn.Away.Draw(h.draws)
	}
	for {
		if !m.pause(ctx, pause) {
			return false
		}
		// Dialling takes a deep stack, which ends with the goroutine that dials.
		dialled := make(chan *wsConn)
		go func() { dialled <- h.connect(ctx, rec.Whole(), setup) }()
		if conn := <-dialled; conn != nil {
			now := m.plan.run.Clock.Now()
			m.returned(rec, end, now)
			m.room.rejoin(m, conn, now, time.Duration(m.plan.room.Settle))
			return true
		}
		if end == swept {
			pause = time.Duration(m.plan.room.Storm.Retry)
		} else {
			pause = m.plan.room.Churn.Away.Draw(h.draws)
		}
	}
}

// returned records that m is back.
func (m *member) returned(rec *engine.Recorder, end stayEnd, now time.Duration) {
	if end == left {
		rec.Whole().Add(wsReturns, 1)
		return
	}
	m.habits.cut.Store(false)
	m.habits.back = true
	rec.Whole().Add(wsStormBack, 1)
	rec.Whole().Record(wsStormReturn, int64(now-m.habits.cutAt))
	m.plan.storm.back(now)
}

// pause waits; false when the run stops, or has stopped.
func (m *member) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-m.plan.run.Stopping:
		return false
	case <-ctx.Done():
		return false
	case <-timer.C:
	}
	select {
	case <-m.plan.run.Stopping:
		return false
	default:
		return true
	}
}

// assign gives the members their habits, by the workload's room.
func assign(rooms []*room, plan *roomPlan) {
	stall(rooms, plan.room.Stalled)
	if s := plan.room.Slow; s != nil {
		slow := fromTheEnd(rooms, func(m *member) bool { return !m.stalled && m.publisher == nil })
		for _, m := range slow[:min(s.Members, len(slow))] {
			m.slow = true
		}
	}
	lively := fromTheEnd(rooms, func(m *member) bool { return !m.stalled && !m.slow })
	if plan.room.Ping > 0 || plan.speech != nil {
		for _, r := range rooms {
			for _, m := range r.members {
				m.habits = newHabits(plan, m)
			}
		}
	}
	audience := slices.DeleteFunc(slices.Clone(lively), func(m *member) bool { return m.publisher != nil })
	if c := plan.room.Churn; c != nil {
		for _, m := range audience[:c.Share.Of(len(audience))] {
			m.habit().draws = rand.New(rand.NewPCG(plan.draws, uint64(m.room.index)<<32|uint64(m.index)|1<<63))
		}
	}
	if s := plan.room.Storm; s != nil {
		slices.Reverse(audience)
		speakers := slices.DeleteFunc(lively, func(m *member) bool { return m.publisher == nil })
		for _, m := range append(audience, speakers...)[:s.Share.Of(len(audience)+len(speakers))] {
			m.habit().stormy = true
		}
	}
}

// habit is m's habits, which it has from now on.
func (m *member) habit() *habits {
	if m.habits == nil {
		m.habits = newHabits(m.plan, m)
	}
	return m.habits
}

func newHabits(plan *roomPlan, m *member) *habits {
	h := &habits{leaveAt: unset, ping: pulse{next: unset}, beat: pulse{next: unset}}
	if !m.slow && !m.stalled { // whose answers would be late by their own fault
		h.ping.every = time.Duration(plan.room.Ping)
		if plan.speech != nil {
			h.beat.every = plan.speech.every()
		}
	}
	return h
}

// fromTheEnd lists the members that suit: the last of each room, then the last but
// one of each, and so on.
func fromTheEnd(rooms []*room, suits func(*member) bool) (all []*member) {
	if len(rooms) == 0 {
		return nil
	}
	for depth := 1; depth <= len(rooms[0].members); depth++ {
		for _, r := range rooms {
			if depth <= len(r.members) && suits(r.members[len(r.members)-depth]) {
				all = append(all, r.members[len(r.members)-depth])
			}
		}
	}
	return all
}
