package driver

import (
	"math"
	"math/bits"
	"sync/atomic"
)

// unset stands for a sequence number that is not known yet.
const unset = math.MaxInt64

// A track is what one receiver saw of one publisher: which sequence numbers of
// the range it should have seen. One that leaves and comes back has a range for
// each of its stays, and the track is about the latest.
type track struct {
	// base is the first number expected of the publisher, end one beyond the
	// last; unset until the member has settled, and until it has left. They are
	// set under the room's lock before the publisher sends the number in
	// question, so the receiver knows them when it gets it.
	base, end atomic.Int64

	// The receiver's own.
	seen    []uint64 // bitmap by sequence number, of all stays
	highest int64    // highest number seen; -1 at first
}

// A span is the range of one stay, and the highest number seen by its end.
type span struct{ base, end, highest int64 }

// span is the range of the latest stay.
func (t *track) span() span { return span{t.base.Load(), t.end.Load(), t.highest} }

// renew gives the track over to a stay to come.
func (t *track) renew() {
	t.base.Store(unset)
	t.end.Store(unset)
}

// arrival says what a delivery was.
type arrival uint8

const (
	arrivalUnexpected arrival = iota
	arrivalDuplicate
	arrivalInOrder
	arrivalReordered // after a higher number
)

// open prepares the track for n messages.
func (t *track) open(n int64) {
	t.base.Store(unset)
	t.end.Store(unset)
	t.seen = make([]uint64, (n+63)/64)
	t.highest = -1
}

// capacity is how many messages the track can tell apart.
func (t *track) capacity() int64 { return int64(len(t.seen)) * 64 }

// arrive notes the delivery of message seq, which is below the capacity.
func (t *track) arrive(seq int64) arrival {
	word, bit := &t.seen[seq/64], uint64(1)<<(seq%64)
	before := *word&bit != 0
	*word |= bit
	switch {
	case seq < t.base.Load():
		return arrivalUnexpected
	case seq >= t.end.Load():
		t.highest = max(t.highest, seq) // what was sent before it should be here
		return arrivalUnexpected
	case before:
		return arrivalDuplicate
	}
	if seq < t.highest {
		return arrivalReordered
	}
	t.highest = seq
	return arrivalInOrder
}

// has reports whether message seq arrived.
func (t *track) has(seq int64) bool {
	return seq >= 0 && seq < t.capacity() && t.seen[seq/64]&(1<<(seq%64)) != 0
}

// passed reports whether all has come that is to come of a publisher who keeps the
// order: the last number expected, or a later one.
func (t *track) passed() bool {
	base, end := t.base.Load(), t.end.Load()
	return base >= end || t.highest >= end-1
}

// missing counts the messages of [from, to) that did not arrive, cut down to
// what was expected in a stay: inner ones lie below the highest that did, the tail
// above.
func (t *track) missing(s span, from, to int64) (inner, tail int64) {
	from, to = max(from, s.base), min(to, s.end)
	split := min(max(s.highest+1, from), max(to, from))
	return t.gaps(from, split), t.gaps(split, to)
}

// gaps counts the numbers of [from, to) not seen.
func (t *track) gaps(from, to int64) int64 {
	if from >= to {
		return 0
	}
	n := to - from
	for word := from / 64; word <= (to-1)/64; word++ {
		mask := ^uint64(0)
		if word == from/64 {
			mask &= ^uint64(0) << (from % 64)
		}
		if word == (to-1)/64 {
			mask &= ^uint64(0) >> (63 - (to-1)%64)
		}
		n -= int64(bits.OnesCount64(t.seen[word] & mask))
	}
	return n
}
