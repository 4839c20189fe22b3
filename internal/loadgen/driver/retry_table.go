package driver

import "sync"

// retryShards is how many parts the table of requests has, each with a lock of its own.
const retryShards = 64

// A retryTable holds the requests under way by their arrival's number. It holds no
// more than that, and their memory is used again. Any number of goroutines may use one.
type retryTable struct {
	shards [retryShards]retryShard
	pool   sync.Pool // of *logical
}

type retryShard struct {
	mu    sync.Mutex
	bySeq map[uint64]*logical
}

func newRetryTable() *retryTable {
	t := &retryTable{}
	for i := range t.shards {
		t.shards[i].bySeq = make(map[uint64]*logical)
	}
	return t
}

// put makes the request of an arrival known.
func (t *retryTable) put(seq uint64, begin func(*logical)) {
	l, ok := t.pool.Get().(*logical)
	if !ok {
		l = new(logical)
	}
	l.mu.Lock()
	begin(l)
	l.mu.Unlock()
	s := &t.shards[seq%retryShards]
	s.mu.Lock()
	s.bySeq[seq] = l
	s.mu.Unlock()
}

// find returns the request of an arrival that is under way; nil where it is not, or
// not any more. It may be another's by the time it is looked at.
func (t *retryTable) find(seq uint64) *logical {
	s := &t.shards[seq%retryShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bySeq[seq]
}

// take removes and returns the request of an arrival that is under way.
func (t *retryTable) take(seq uint64) *logical {
	s := &t.shards[seq%retryShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.bySeq[seq]
	delete(s.bySeq, seq)
	return l
}
