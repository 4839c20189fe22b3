package relay

import (
	"slices"
	"sync"
	"sync/atomic"
)

// shard holds the rooms whose names fall to it, and their counters.
type shard struct {
	mu       sync.Mutex
	rooms    map[string]*room
	peers    int
	counters counters
}

// room is a set of peers. It is forgotten with its last peer.
type room struct {
	name     string
	members  []*Peer // guarded by the shard's lock; Peer.place is the index
	snapshot atomic.Pointer[[]*Peer]
}

// add makes p a member of the named room. The caller holds s.mu.
func (s *shard) add(name string, p *Peer) {
	r := s.rooms[name]
	if r == nil {
		r = &room{name: name}
		s.rooms[name] = r
	}
	p.room, p.place = r, len(r.members)
	r.members = append(r.members, p)
	r.snapshot.Store(nil)
	s.peers++
}

// remove takes p out of its room and forgets the room if it was the last. It
// reports whether p was still a member.
func (s *shard) remove(p *Peer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.place < 0 {
		return false
	}
	r := p.room
	last := len(r.members) - 1
	moved := r.members[last]
	r.members[p.place], moved.place = moved, p.place
	r.members[last] = nil
	r.members = r.members[:last]
	p.place = -1
	r.snapshot.Store(nil)
	s.peers--
	if last == 0 {
		delete(s.rooms, r.name)
	}
	return true
}

// receivers returns the members of r, p among them. The slice is shared and
// must not be changed.
func (s *shard) receivers(r *room) []*Peer {
	if snapshot := r.snapshot.Load(); snapshot != nil {
		return *snapshot
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	snapshot := slices.Clone(r.members)
	r.snapshot.Store(&snapshot)
	return snapshot
}

// all returns every peer of the shard.
func (s *shard) all() []*Peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	peers := make([]*Peer, 0, s.peers)
	for _, r := range s.rooms {
		peers = append(peers, r.members...)
	}
	return peers
}
