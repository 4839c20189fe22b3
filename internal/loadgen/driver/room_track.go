package driver

import (
	"math"
	"math/bits"
	"sync/atomic"
)

// unset stands for a sequence number that is not known yet.
const unset = math.MaxInt64

// A track is what one receiver saw of one publisher: which sequence numbers of
// the range it should have seen.
type track struct {
	// base is the first number expected of the publisher, end one beyond the
	// last; unset until the member has settled, and until it has left. They are
	// set under the room's lock before the publisher sends the number in
	// question, so the receiver knows them when it gets it.
	base, end atomic.Int64

	// The receiver's own.
	seen    []uint64 // bitmap by sequence number
	highest int64    // highest number seen; -1 at first
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
	if seq < t.base.Load() || seq >= t.end.Load() {
		return arrivalUnexpected
	}
	word, bit := &t.seen[seq/64], uint64(1)<<(seq%64)
	if *word&bit != 0 {
		return arrivalDuplicate
	}
	*word |= bit
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

// missing counts the messages of [from, to) that did not arrive, cut down to
// what was expected: inner ones lie below the highest that did, the tail above.
func (t *track) missing(from, to int64) (inner, tail int64) {
	from, to = max(from, t.base.Load()), min(to, t.end.Load())
	split := min(max(t.highest+1, from), max(to, from))
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
