package driver

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

const (
	// nameShards is how many parts names has, each with a lock of its own.
	nameShards = 64
	// maxUnclaimed bounds the calls, of a part, about jobs that no answer has named
	// yet: 16,384 in all. The oldest gives way.
	maxUnclaimed = 256
	// maxNamed bounds the jobs, of a part, that are known by name: 1,048,576 in all.
	// The oldest is forgotten, and what comes about it is a stranger.
	maxNamed = 1 << 14
)

// names knows which arrival's job the target means by an id of its own. A call may come
// before the answer that gives the id has been read; it is kept until then. Names are
// told apart by a hash of 64 bits. Any number of goroutines may use it at once.
type names struct {
	seed     maphash.Seed
	shards   [nameShards]nameShard
	overflow atomic.Int64 // calls that gave way
}

type nameShard struct {
	mu      sync.Mutex
	seqs    map[uint64]uint64 // hash of a name → sequence number
	order   ring              // of the hashes in seqs
	calls   map[uint64]unclaimedCalls
	waiting ring // of the hashes in calls, and of those claimed since
}

// unclaimedCalls are the calls about one job: the first, and how many there were.
type unclaimedCalls struct {
	hearing
	calls int64
}

func (n *names) open() {
	n.seed = maphash.MakeSeed()
	for i := range n.shards {
		s := &n.shards[i]
		s.seqs, s.calls = make(map[uint64]uint64), make(map[uint64]unclaimedCalls)
	}
}

func (n *names) shard(key string) (*nameShard, uint64) {
	hash := maphash.String(n.seed, key)
	return &n.shards[hash%nameShards], hash
}

// claim notes that the target calls the job of seq by key, and returns the calls that
// came before. repeated says that it calls another job so, too: that one is forgotten.
func (n *names) claim(key string, seq uint64) (earlier unclaimedCalls, repeated bool) {
	s, hash := n.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, repeated = s.seqs[hash]; !repeated {
		if oldest, full := s.order.push(hash, maxNamed); full {
			delete(s.seqs, oldest)
		}
	}
	s.seqs[hash] = seq
	earlier = s.calls[hash]
	delete(s.calls, hash)
	return earlier, repeated
}

// find returns the arrival whose job is called so. A call about one that no answer has
// named is kept; dropped is how many calls gave way to it.
func (n *names) find(key string, h hearing) (seq uint64, known bool, dropped int64) {
	s, hash := n.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if seq, known = s.seqs[hash]; known {
		return seq, true, 0
	}
	c, waits := s.calls[hash]
	if !waits {
		c.hearing = h
		if oldest, full := s.waiting.push(hash, maxUnclaimed); full {
			dropped = s.calls[oldest].calls // 0 where it was claimed
			delete(s.calls, oldest)
			n.overflow.Add(dropped)
		}
	}
	c.calls++
	s.calls[hash] = c
	return 0, false, dropped
}

// unclaimed is how many calls still wait for an answer to name their job.
func (n *names) unclaimed() (calls int64) {
	for i := range n.shards {
		s := &n.shards[i]
		s.mu.Lock()
		for _, c := range s.calls {
			calls += c.calls
		}
		s.mu.Unlock()
	}
	return calls
}

// A ring keeps the latest of what is pushed, and grows up to its bound.
type ring struct {
	all []uint64
	at  int // of the oldest, once it is full
}

// push adds v. Where that makes more than most, the oldest gives way.
func (r *ring) push(v uint64, most int) (oldest uint64, full bool) {
	if len(r.all) < most {
		r.all = append(r.all, v)
		return 0, false
	}
	oldest, r.all[r.at] = r.all[r.at], v
	r.at = (r.at + 1) % most
	return oldest, true
}
