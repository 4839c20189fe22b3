package relay

import "sync/atomic"

// Stats is a snapshot of a Hub's counters. Every delivery the relay owes, one
// for each receiver of each message, is in exactly one place:
//
//	Offered = Written + DroppedOldest + DroppedSlow + DroppedLeft + Pending
//
// Counters only rise; Rooms, Peers and Pending are present values.
type Stats struct {
	Rooms   int    // rooms with at least one peer
	Peers   int    // peers in all rooms
	Pending uint64 // deliveries queued or being written

	Received      uint64 // messages read from peers
	ReceivedBytes uint64 // their payload bytes

	Offered      uint64 // deliveries owed: for each message, the others in its room
	Written      uint64 // deliveries handed to the receiver's socket
	WrittenBytes uint64 // their payload bytes

	DroppedOldest uint64 // deliveries dropped by SlowDropOldest
	DroppedSlow   uint64 // deliveries to a peer closed by SlowClose or for a stalled write
	DroppedLeft   uint64 // deliveries to a peer that left, or that came after shutdown began

	SlowClosed    uint64 // peers closed by SlowClose
	StalledClosed uint64 // peers cut off because one write took longer than WriteTimeout
	IdleClosed    uint64 // peers closed for their silence
	TooBigClosed  uint64 // peers closed for a message above MaxMessage
	InvalidClosed uint64 // peers closed for text that is not UTF-8
}

// dropRule is why a delivery was dropped.
type dropRule int

const (
	dropOldest dropRule = iota
	dropSlow
	dropLeft
	dropRules
)

// counters are those of one shard, so that rooms on different shards do not
// share a cache line.
type counters struct {
	received, receivedBytes        atomic.Uint64
	offered, written, writtenBytes atomic.Uint64
	dropped                        [dropRules]atomic.Uint64
	slow, stalled                  atomic.Uint64
	idle, tooBig, invalid          atomic.Uint64
}

// drop counts n deliveries dropped by rule.
func (c *counters) drop(rule dropRule, n int) {
	if n > 0 {
		c.dropped[rule].Add(uint64(n))
	}
}

// addTo adds the counters to s. Offered is read last and only rises before a
// delivery is written or dropped, so that Pending is never negative.
func (c *counters) addTo(s *Stats) {
	written := c.written.Load()
	oldest, slow, left := c.dropped[dropOldest].Load(), c.dropped[dropSlow].Load(), c.dropped[dropLeft].Load()
	offered := c.offered.Load()

	s.Written += written
	s.DroppedOldest += oldest
	s.DroppedSlow += slow
	s.DroppedLeft += left
	s.Offered += offered
	s.Pending += offered - written - oldest - slow - left

	s.Received += c.received.Load()
	s.ReceivedBytes += c.receivedBytes.Load()
	s.WrittenBytes += c.writtenBytes.Load()
	s.SlowClosed += c.slow.Load()
	s.StalledClosed += c.stalled.Load()
	s.IdleClosed += c.idle.Load()
	s.TooBigClosed += c.tooBig.Load()
	s.InvalidClosed += c.invalid.Load()
}
