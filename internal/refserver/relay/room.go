package relay

import (
	"slices"
	"sync"
	"sync/atomic"
)

// shard holds the rooms whose names fall to it, and their counters.
//
// Who holds one of the package's locks and takes another one does so in this order:
//
//	stay.heard  a message from the broker is being delivered
//	shard.mu    a room opens or closes, or its members are looked up
//	redis.mu, outbox.mu, Peer.mu
//
// Under one of the last three no other is taken, and two of the same kind are never
// held together.
type shard struct {
	mu       sync.Mutex // second in the order above
	rooms    map[string]*room
	peers    int
	counters counters
}

// room is all peers under one name, in all workers of the process. It is forgotten
// with its last peer.
type room struct {
	name    string
	relay   *Relay
	shard   *shard
	channel channel
	size    atomic.Int64            // members in all parts: the census
	parts   atomic.Pointer[[]*part] // replaced, under the shard's lock, and never changed
}

// part is the peers of a room in one worker. It is forgotten with its last peer.
type part struct {
	room     *room
	hub      *Hub
	members  []*Peer // guarded by the shard's lock; Peer.place is the index
	snapshot atomic.Pointer[[]*Peer]
}

// add makes p a member of the named room. The caller holds s.mu.
func (s *shard) add(h *Hub, name string, p *Peer) {
	r := s.rooms[name]
	if r == nil {
		r = &room{name: name, relay: h.relay, shard: s}
		r.parts.Store(new([]*part))
		r.channel = h.relay.broker.open(r)
		s.rooms[name] = r
	}
	parts := *r.parts.Load()
	i := slices.IndexFunc(parts, func(d *part) bool { return d.hub == h })
	var d *part
	if i >= 0 {
		d = parts[i]
	} else {
		d = &part{room: r, hub: h}
		more := append(slices.Clip(parts), d)
		r.parts.Store(&more)
	}
	p.part, p.place = d, len(d.members)
	d.members = append(d.members, p)
	d.snapshot.Store(nil)
	r.size.Add(1)
	s.peers++
}

// remove takes p out of its room, and forgets the part and the room if it was the
// last. It reports whether p was still a member.
func (s *shard) remove(p *Peer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.place < 0 {
		return false
	}
	d := p.part
	r := d.room
	last := len(d.members) - 1
	moved := d.members[last]
	d.members[p.place], moved.place = moved, p.place
	d.members[last] = nil
	d.members = d.members[:last]
	p.place = -1
	d.snapshot.Store(nil)
	r.size.Add(-1)
	s.peers--
	if last > 0 {
		return true
	}
	parts := *r.parts.Load()
	fewer := slices.DeleteFunc(slices.Clone(parts), func(other *part) bool { return other == d })
	r.parts.Store(&fewer)
	if len(fewer) == 0 {
		delete(s.rooms, r.name)
		r.channel.close()
	}
	return true
}

// peers returns the members of d. The slice is shared and must not be changed.
func (d *part) peers() []*Peer {
	if snapshot := d.snapshot.Load(); snapshot != nil {
		return *snapshot
	}
	s := d.room.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	snapshot := slices.Clone(d.members)
	d.snapshot.Store(&snapshot)
	return snapshot
}

// all returns every peer of the shard.
func (s *shard) all() []*Peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	peers := make([]*Peer, 0, s.peers)
	for _, r := range s.rooms {
		for _, d := range *r.parts.Load() {
			peers = append(peers, d.members...)
		}
	}
	return peers
}
