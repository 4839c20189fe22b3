package relay

import "context"

// broker decides how far a message goes.
type broker interface {
	// open is called when a room gets its first member in this process, under the
	// lock of its shard: it must not block.
	open(*room) channel

	// run works until ctx ends.
	run(ctx context.Context) error

	// stats fills in the broker's counters.
	stats(*BrokerStats)
}

// channel is one room as its broker sees it, from its first member in this process
// to its last.
type channel interface {
	// joined returns when what others publish reaches the members there are, or
	// with the error of ctx.
	joined(ctx context.Context) error

	// publish passes on what p has sent, for everyone in the room but p. The payload
	// is copied where it is kept. The error says that it could not be framed.
	publish(p *Peer, kind int, payload []byte) error

	// close is called when the last member has left, under the lock of the shard.
	close()
}

// memory is the broker that goes no further than a worker: what is published
// reaches the sender's part of the room.
type memory struct{}

func (memory) open(*room) channel { return memory{} }

func (memory) run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (memory) stats(*BrokerStats) {}

func (memory) joined(context.Context) error { return nil }

func (memory) close() {}

// publish queues the message for the members in the sender's worker, and counts
// those in the others as what the split has cost.
func (memory) publish(p *Peer, kind int, payload []byte) error {
	d := p.part
	c := &d.room.shard.counters
	peers := d.peers()
	others, stamped := audience(peers, p)
	// Read after the peers, the census may be ahead of them or behind.
	if elsewhere := int(d.room.size.Load()) - 1 - others; elsewhere > 0 {
		c.split.Add(uint64(elsewhere))
	}
	if others == 0 {
		return nil
	}
	m, err := newMessage(kind, payload, stamped)
	if err != nil {
		return err
	}
	c.offered.Add(uint64(others))
	for _, q := range peers {
		if q != p {
			q.push(m)
		}
	}
	return nil
}

// audience counts the peers other than the sender, and says whether one of them is
// stamped.
func audience(peers []*Peer, sender *Peer) (others int, stamped bool) {
	for _, q := range peers {
		if q != sender {
			others++
			stamped = stamped || q.stamped
		}
	}
	return others, stamped
}
