package driver

import (
	"sync/atomic"
	"time"
)

// slotsPerChunk is how many messages share one allocation.
const slotsPerChunk = 256

// slots follow one publisher's messages to their last receiver. The publisher
// opens a slot before it sends, receivers fill it without a lock. Memory is
// taken and given back a chunk at a time, so that a long run holds only what is
// under way, and what was lost; the chunk given back last is the next one taken.
type slots struct {
	chunks []atomic.Pointer[slotChunk]
	spare  atomic.Pointer[slotChunk]
}

type slotChunk struct {
	slots [slotsPerChunk]slot
	open  atomic.Int32 // slots that miss a receiver
}

// A slot is one message on its way.
type slot struct {
	expected atomic.Int32
	got      atomic.Int32
	last     atomic.Int64 // latest receive instant so far, an offset from the run's start
}

// open makes room for n messages.
func (s *slots) open(n int64) {
	s.chunks = make([]atomic.Pointer[slotChunk], n/slotsPerChunk+1)
}

// begin opens the slot of message seq, which so many receivers must get. Only
// the publisher calls it, in the order of seq.
func (s *slots) begin(seq int64, expected int) {
	at := &s.chunks[seq/slotsPerChunk]
	chunk := at.Load()
	if chunk == nil {
		if chunk = s.spare.Swap(nil); chunk == nil {
			chunk = &slotChunk{}
		}
		chunk.open.Store(slotsPerChunk)
		at.Store(chunk)
	}
	slot := &chunk.slots[seq%slotsPerChunk]
	slot.got.Store(0)
	slot.last.Store(0)
	slot.expected.Store(int32(expected))
	if expected == 0 {
		s.end(at, chunk)
	}
}

// arrive notes that one of the expected receivers got message seq, and reports
// whether it was the last to get it, and when the latest of them did. Each
// receiver calls it once a message.
func (s *slots) arrive(seq int64, at time.Duration) (latest time.Duration, complete bool) {
	place := &s.chunks[seq/slotsPerChunk]
	chunk := place.Load()
	if chunk == nil {
		return 0, false
	}
	slot := &chunk.slots[seq%slotsPerChunk]
	for last := slot.last.Load(); int64(at) > last && !slot.last.CompareAndSwap(last, int64(at)); {
		last = slot.last.Load()
	}
	// Whoever counts a receiver in has its instant in already, and looks at the
	// slot no more unless it is the last.
	expected := slot.expected.Load()
	if slot.got.Add(1) != expected {
		return 0, false
	}
	latest = time.Duration(slot.last.Load())
	s.end(place, chunk)
	return latest, true
}

// end counts a slot out and gives its chunk back after the last: every receiver
// of its messages has counted in, so nobody looks at it any more.
func (s *slots) end(at *atomic.Pointer[slotChunk], chunk *slotChunk) {
	if chunk.open.Add(-1) == 0 {
		at.Store(nil)
		s.spare.Store(chunk)
	}
}
