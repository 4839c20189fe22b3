package relay

import (
	"context"
	"sync"
	"time"
)

// stay is a room's channel at a Redis server, as long as the room has members in
// this process. A room that is left and entered again has another stay.
type stay struct {
	redis     *redis
	room      *room  // nil for the roll
	name      string // of the channel
	origin    origin
	confirmed chan struct{} // closed when the subscription has been confirmed for the first time
	once      sync.Once

	heard struct { // what came on the channel; first in the order of locks (shard)
		sync.Mutex
		ledger ledger
	}

	// Guarded by the outbox's lock.
	last       uint64 // number of the last message
	unheard    uint64 // first number that was lost not long ago; 0: none
	lostAt     time.Time
	announcing bool // an announcement is queued that asks for nothing
	departed   bool // the stay is over
}

// joined waits for the subscription while there is a connection to make it on.
func (s *stay) joined(ctx context.Context) error {
	select {
	case <-s.confirmed:
		return nil
	default:
	}
	select {
	case <-s.confirmed:
	case <-s.redis.outage():
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// publish queues the message.
func (s *stay) publish(p *Peer, kind int, payload []byte) {
	e := envelope{kind: byte(kind), origin: s.origin, sender: p.id, payload: payload}
	s.redis.outbox.publish(s, appendEnvelope(make([]byte, 0, envelopeHeader+len(payload)), &e))
}

// close gives the subscription up.
func (s *stay) close() { s.redis.leave(s) }

// confirm notes that the channel is subscribed to. What the others have said so far
// is asked for, which tells them of this one, too. They may have asked for those that
// are over while this process could not hear it.
func (s *stay) confirm() {
	s.redis.outbox.announce(s, true)
	if s == s.redis.roll {
		s.redis.outbox.recall()
	}
	s.once.Do(func() { close(s.confirmed) })
}

// announcement returns the envelope of an announcement. The caller holds the
// outbox's lock.
func (s *stay) announcement(it *item) []byte {
	e := envelope{kind: kindAnnouncement, ask: it.ask, origin: s.origin, number: it.number, heard: s.heardUpTo(it.number)}
	return appendEnvelope(nil, &e)
}

// heardUpTo is the number up to which everyone may have heard the stay's messages,
// number at most. The caller holds the outbox's lock.
func (s *stay) heardUpTo(number uint64) uint64 {
	if s.unheard != 0 {
		return min(number, s.unheard-1)
	}
	return number
}

// late notes that the room may have had members before anything could be heard.
func (s *stay) late() {
	s.heard.Lock()
	defer s.heard.Unlock()
	s.heard.ledger.late = true
}

// hear takes an envelope off the channel.
func (s *stay) hear(e *envelope) {
	s.heard.Lock()
	defer s.heard.Unlock()
	deliver, missed := s.heard.ledger.hear(e)
	own := e.origin.process == s.redis.process
	if missed > 0 {
		s.redis.gapMessages.Add(missed)
		receivers := s.room.size.Load()
		if own {
			receivers--
		}
		s.redis.gapDeliveries.Add(missed * uint64(max(0, receivers)))
	}
	if e.ask && e.origin != s.origin {
		s.redis.outbox.announce(s, false)
	}
	if deliver {
		sender := uint64(0)
		if own {
			sender = e.sender
		}
		s.redis.received.Add(1)
		s.room.deliver(sender, int(e.kind), e.payload)
	}
}

// deliver queues a message from the broker for every member of the room but the
// sender, 0 where that is in another process.
func (r *room) deliver(sender uint64, kind int, payload []byte) {
	parts := *r.parts.Load()
	total := 0
	audiences := make([][]*Peer, 0, 8)
	for _, d := range parts {
		peers := d.peers()
		audiences = append(audiences, peers)
		for _, q := range peers {
			if q.id != sender {
				total++
			}
		}
	}
	if total == 0 {
		return
	}
	m := newMessage(kind, payload)
	r.shard.counters.offered.Add(uint64(total))
	for _, peers := range audiences {
		for _, q := range peers {
			if q.id != sender {
				q.push(m)
			}
		}
	}
}
