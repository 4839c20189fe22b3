package target

import "time"

// A proc is one process of the tree as one look at it showed it.
type proc struct {
	id     identity
	parent int
	// ended says that the process has ended and waits to be waited for: it holds
	// nothing any more, but its CPU time is still told.
	ended bool
	// self is its own CPU time, that of ended threads included; waited is that of the
	// children it has waited for, and of those they had waited for.
	self, waited time.Duration
	// short is by how much self and waited may lie below the truth.
	short   time.Duration
	rss     int64 // bytes
	threads int
	fds     int // -1 where unknown
}

// An identity tells a process from a later one of the same number.
type identity struct {
	pid   int
	start uint64 // clock ticks since the machine started
}

// A tree adds up the CPU time of processes that come and go. The kernel hands the
// time of a process that has ended to the parent that waits for it, so that both of
// them have told of it by then:
//
//   - what a member has used itself counts, and stays counted when it is gone;
//   - of what the children of a member handed to it, only that counts which no
//     member had told of while it lived: those that came and went between two
//     looks, and what the others used after the last look at them.
//
// A process that nobody in the tree waits for (its parent ended first, or ignores
// SIGCHLD) hands over nothing: what it used after the last look at it is lost, and
// all of it where there was none. Such ends are counted where they can be seen.
//
// The processes are not all looked at in one instant. Parents are looked at before
// their children, so that no time is seen in both; a child that ends in between is
// seen in neither, until the next look.
//
// A tree belongs to one goroutine.
type tree struct {
	slack   time.Duration // by how much the kernel's figures may disagree with each other
	members map[identity]*member
	gone    time.Duration // used by members that are gone
	total   time.Duration // never falls
	unheard int           // members that ended without their time being handed over
}

// A member is a process of the tree.
type member struct {
	proc
	heard time.Duration // of the time handed to it: what members told of themselves
	fresh time.Duration // of the time handed to it: the rest, which counts here
	due   time.Duration // of heard: what it must have been handed by the next look
}

func newTree(slack time.Duration) *tree {
	return &tree{slack: slack, members: make(map[identity]*member)}
}

// account takes a look at all members that there are and returns the CPU time of
// the tree, of ended ones included.
func (t *tree) account(now []proc) time.Duration {
	alive := make(map[identity]bool, len(now))
	for _, p := range now {
		alive[p.id] = true
	}
	t.bury(alive)
	for _, p := range now {
		m := t.members[p.id]
		if m == nil {
			m = new(member)
			t.members[p.id] = m
		}
		p.self, p.waited = max(p.self, m.self), max(p.waited, m.waited)
		m.proc = p
		t.hand(m)
	}
	sum := t.gone
	for _, m := range t.members {
		sum += m.self + m.fresh
	}
	t.total = max(t.total, sum)
	return t.total
}

// hand settles what of the time handed to m counts.
func (t *tree) hand(m *member) {
	if lack := m.due + m.fresh - m.waited; lack > t.slack {
		t.unheard++
		m.heard -= lack
	}
	m.fresh = max(m.fresh, m.waited-m.heard)
	m.due = m.heard
}

// bury takes out the members that are not alive, and notes what their heirs must
// have been handed.
func (t *tree) bury(alive map[identity]bool) {
	var gone []*member
	parents := make(map[int]*member, len(t.members))
	for id, m := range t.members {
		parents[id.pid] = m
		if !alive[id] {
			gone = append(gone, m)
		}
	}
	for _, m := range gone {
		t.gone += m.self + m.fresh
		if heir := heirOf(m, parents, alive); heir != nil {
			heir.heard += m.self + max(m.waited, m.heard+m.fresh) // what m lacked came after the last look
		} else {
			t.unheard++
		}
		delete(t.members, m.id)
	}
}

// heirOf is the nearest ancestor that is still there: parents in between that
// ended as well handed on what they had been handed. Nil where there is none.
func heirOf(m *member, parents map[int]*member, alive map[identity]bool) *member {
	at := m
	for range len(parents) {
		p := parents[at.parent]
		if p == nil || p == at {
			return nil
		}
		if alive[p.id] {
			return p
		}
		at = p
	}
	return nil
}
