package driver

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// A room is the members that get each other's messages, and the one place that
// knows who is to get which.
//
// A member that joins is pending until its settle time has passed; the next
// publish after that makes it a subscriber, and its tracks begin there. A member
// that is about to leave, or whose loss of connection was noticed, is expected to
// have what was sent until then. So who is to get a message is fixed, under the
// lock, when its sequence number is given out: the publisher's side counts the
// subscribers, each receiver's tracks know the number, and the two can be held
// against each other at the end. What reaches a member around its join or leave,
// beyond that, is undecided: a relay may send it or not.
type room struct {
	index      int
	name       string
	members    []*member    // by index; the first ones publish
	publishers []*publisher // by index
	// complete is closed when every member has joined or could not.
	complete chan struct{}
	// drained is closed when publishing is over and everyone still there has
	// all of it.
	drained chan struct{}
	// dismissed is closed when it is time to go.
	dismissed chan struct{}
	kept      atomic.Bool // somebody sees to that

	messagesComplete atomic.Int64 // measured messages that reached all their receivers

	mu          sync.Mutex
	arrived     int
	completedAt time.Duration
	pending     []*member // in the order of their joining
	subscribers int
	slow        int  // of these
	leavers     int  // members about to leave
	publishing  int  // publishers at work
	began       bool // some publisher was at work
	outstanding int  // subscribers that still miss something, once publishing is over
}

// presence is where a member stands in its room.
type presence uint8

const (
	absent     presence = iota // has not joined yet, or could not
	pending                    // joined, may still miss messages
	subscribed                 // is to get every message
	leaving                    // still connected; is to get what was sent until now
	gone                       // left or lost its connection
)

// newRoom returns the room of the given index with so many members; the first
// of them publish, by the plan.
func newRoom(index int, name string, size, publishers int, plan *roomPlan) *room {
	r := &room{
		index: index, name: name,
		complete:  make(chan struct{}),
		drained:   make(chan struct{}),
		dismissed: make(chan struct{}),
	}
	for i := range size {
		m := &member{room: r, plan: plan, index: i}
		m.target.Store(unset)
		if i < publishers {
			m.publisher = newPublisher(r, m, i)
			m.publisher.slots.open(plan.share(index, publishers))
			r.publishers = append(r.publishers, m.publisher)
		}
		r.members = append(r.members, m)
	}
	return r
}

// join makes m a member from now on.
func (r *room) join(m *member, now, settle time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.enlist(m, now, settle)
}

func (r *room) enlist(m *member, now, settle time.Duration) {
	m.presence, m.settled = pending, now+settle
	r.pending = append(r.pending, m)
	if r.isDismissed() {
		m.interrupt()
	}
}

// rejoin makes m, which was gone, a member from now on, on another connection.
func (r *room) rejoin(m *member, conn *wsConn, now, settle time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m.habits.stays = append(m.habits.stays, stay{lostBy: m.lostBy, cut: m.habits.mustered, spans: make([]span, len(m.tracks))})
	latest := &m.habits.stays[len(m.habits.stays)-1]
	for i := range m.tracks {
		latest.spans[i] = m.tracks[i].span()
		m.tracks[i].renew()
	}
	m.got.Store(0)
	m.target.Store(unset)
	m.conn, m.lostBy, m.habits.mustered = conn, "", false
	if m.publisher != nil {
		m.publisher.broken, m.publisher.hushed = false, false
	}
	r.enlist(m, now, settle)
}

// keep dismisses the members when it is time to go: the run is stopping, and what
// was published has arrived or ctx has ended.
func (r *room) keep(ctx context.Context, stopping <-chan struct{}) {
	select {
	case <-stopping:
	case <-ctx.Done():
	}
	if _, complete := r.isComplete(); complete { // or nothing was ever published
		select {
		case <-r.drained:
		case <-ctx.Done():
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.dismissed)
	for _, m := range r.members {
		if m.presence != absent && m.presence != gone {
			m.interrupt()
		}
	}
}

func (r *room) isDismissed() bool {
	select {
	case <-r.dismissed:
		return true
	default:
		return false
	}
}

// arrive counts a member in whose attempt to join has come to an end.
func (r *room) arrive(now time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.arrived++; r.arrived == len(r.members) {
		r.completedAt = now
		close(r.complete)
	}
}

// isComplete reports whether and since when all members' attempts have ended.
func (r *room) isComplete() (since time.Duration, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.completedAt, r.arrived == len(r.members)
}

// reserve gives out p's next sequence number and fixes who is to get it, now;
// false when p's member has no connection that can be written to, or is about to
// lose it.
func (r *room) reserve(p *publisher, now time.Duration, measured bool) (seq int64, expected int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.pending) > 0 && r.pending[0].settled <= now {
		r.subscribe(r.pending[0])
		r.pending = r.pending[1:]
	}
	switch {
	case p.broken || p.hushed:
		return 0, 0, false
	case p.member.presence == subscribed:
		expected = r.subscribers - 1
	case p.member.presence == pending || p.member.presence == leaving:
		expected = r.subscribers
	default:
		return 0, 0, false
	}
	seq = p.reserved
	p.reserved++
	p.conn, p.prompt = p.member.conn, expected-r.slow
	if measured && p.measuredFrom == unset {
		p.measuredFrom = seq
	}
	p.slots.begin(seq, p.prompt)
	return seq, expected, true
}

// subscribe begins m's tracks at the numbers to be given out next.
func (r *room) subscribe(m *member) {
	m.presence = subscribed
	r.subscribers++
	r.slow += int(count(m.slow))
	for i, p := range r.publishers {
		m.tracks[i].base.Store(p.reserved)
	}
}

// retire ends what m is expected to get: it is about to leave. False when it is no
// member, or about to leave already.
func (r *room) retire(m *member) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.retired(m)
}

func (r *room) retired(m *member) bool {
	was := m.presence
	if was != pending && was != subscribed {
		return false
	}
	m.presence = leaving
	r.leavers++
	for i, p := range r.publishers {
		m.tracks[i].end.Store(p.reserved)
	}
	if was == pending {
		r.pending = without(r.pending, m)
		return true
	}
	r.subscribers--
	r.slow -= int(count(m.slow))
	r.relieve(m)
	return true
}

// leave ends m's membership, of its own will or, with a reason, by the loss of
// its connection. It reports whether m was a member until now.
func (r *room) leave(m *member, reason string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.retired(m)
	if m.presence != leaving {
		return false
	}
	m.presence, m.lostBy = gone, reason
	r.leavers--
	r.checkDrained()
	return true
}

// without returns members less m, in their order.
func without(members []*member, m *member) []*member {
	kept := members[:0]
	for _, other := range members {
		if other != m {
			kept = append(kept, other)
		}
	}
	return kept
}

// beginPublishing counts a publisher in.
func (r *room) beginPublishing() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.publishing++
	r.began = true
}

// endPublishing counts a publisher out. After the last, each subscriber is told
// how many deliveries make it complete.
func (r *room) endPublishing() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.publishing--; r.publishing > 0 {
		return
	}
	for _, m := range r.members {
		if m.presence != subscribed || m.stalled || m.slow {
			continue
		}
		var target int64
		for i, p := range r.publishers {
			if p.member != m { // one whose write failed may come yet
				base := m.tracks[i].base.Load()
				target += max(0, p.reserved-base-p.unsent(base, p.reserved))
			}
		}
		// The reader counts first and looks at the target then; here it is the
		// other way round, so one of the two sees that the member is complete.
		m.target.Store(target)
		if m.got.Load() < target {
			m.misses = true
			r.outstanding++
		}
	}
	r.checkDrained()
}

// satisfied notes that m has reached its target.
func (r *room) satisfied(m *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.relieve(m)
}

// relieve takes m off those that miss something.
func (r *room) relieve(m *member) {
	if m.misses {
		m.misses = false
		r.outstanding--
	}
	r.checkDrained()
}

func (r *room) checkDrained() {
	if !r.began || r.publishing > 0 || r.outstanding > 0 || r.leavers > 0 {
		return
	}
	select {
	case <-r.drained:
	default:
		close(r.drained)
	}
}
