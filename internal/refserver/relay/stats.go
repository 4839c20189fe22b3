package relay

import "sync/atomic"

// Stats is a snapshot of a Relay's counters, over all its workers. Every delivery
// that a message is owed, one for each member of its room but the sender, is in
// exactly one place:
//
//	RoomOwed = Offered + Split + Broker.GapDeliveries
//	Offered  = Written + DroppedOldest + DroppedSlow + DroppedLeft + Pending
//
// With the memory broker the members are those in all workers of the process, and a
// message is counted where it is published. With Redis each process counts its own
// members, when a message arrives or is known to be lost: over all processes
// RoomOwed is what the whole room is owed.
//
// Counters only rise; Rooms, Peers and Pending are present values.
type Stats struct {
	Rooms   int    `json:"rooms"`   // rooms with at least one peer, in whatever worker
	Peers   int    `json:"peers"`   // peers in all rooms
	Pending uint64 `json:"pending"` // deliveries queued or being written

	Received      uint64 `json:"received"`       // messages read from peers
	ReceivedBytes uint64 `json:"received_bytes"` // their payload bytes

	RoomOwed     uint64 `json:"room_owed"`     // deliveries owed to whole rooms
	Split        uint64 `json:"split"`         // deliveries missed because the receiver is in another worker than the sender
	Offered      uint64 `json:"offered"`       // deliveries owed to those the message has reached
	Written      uint64 `json:"written"`       // deliveries handed to the receiver's socket
	WrittenBytes uint64 `json:"written_bytes"` // their payload bytes

	DroppedOldest uint64 `json:"dropped_oldest"` // deliveries dropped by SlowDropOldest
	DroppedSlow   uint64 `json:"dropped_slow"`   // deliveries to a peer closed by SlowClose or for a stalled write
	DroppedLeft   uint64 `json:"dropped_left"`   // deliveries to a peer that left, or that came after shutdown began

	SlowClosed    uint64 `json:"slow_closed"`    // peers closed by SlowClose
	StalledClosed uint64 `json:"stalled_closed"` // peers cut off because one write took longer than WriteTimeout
	IdleClosed    uint64 `json:"idle_closed"`    // peers closed for their silence
	TooBigClosed  uint64 `json:"too_big_closed"` // peers closed for a message above MaxMessage
	InvalidClosed uint64 `json:"invalid_closed"` // peers closed for text that is not UTF-8

	Broker BrokerStats `json:"broker"` // all zero with the memory broker
}

// BrokerStats is what a process knows of its broker. Counters only rise; Connected
// and Subscriptions are present values.
type BrokerStats struct {
	Connected     bool `json:"connected"`     // the broker is there, for publishing and for receiving
	Subscriptions int  `json:"subscriptions"` // channels subscribed to, one a room

	Published     uint64 `json:"published"`      // messages the broker took
	PublishFailed uint64 `json:"publish_failed"` // messages lost on the way to it: away, or the queue full

	Received uint64 `json:"received"` // messages from the broker for a room with members here, this process's own among them
	Invalid  uint64 `json:"invalid"`  // messages on a room's channel that no relay of this version has sent

	GapMessages   uint64 `json:"gap_messages"`   // messages that members here have missed
	GapDeliveries uint64 `json:"gap_deliveries"` // deliveries missed: for each such message, the members but the sender

	Reconnects uint64 `json:"reconnects"` // how often the subscribing connection was made again
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
	split                          atomic.Uint64
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

	s.Split += c.split.Load()
	s.Received += c.received.Load()
	s.ReceivedBytes += c.receivedBytes.Load()
	s.WrittenBytes += c.writtenBytes.Load()
	s.SlowClosed += c.slow.Load()
	s.StalledClosed += c.stalled.Load()
	s.IdleClosed += c.idle.Load()
	s.TooBigClosed += c.tooBig.Load()
	s.InvalidClosed += c.invalid.Load()
}
