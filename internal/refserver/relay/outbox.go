package relay

import (
	"sync"
	"time"
)

// outbox is what waits to be published, in one order for the whole process. It
// gives messages their numbers, so that a number is lost where its message is. Its
// methods may be called concurrently, but for take, accepted and lost: those belong
// to the one goroutine that publishes.
type outbox struct {
	limits *RedisOptions
	wake   chan struct{} // holds a token when there is something to take

	mu       sync.Mutex // last in the order of locks (shard)
	items    []item
	messages int
	bytes    int
	down     bool                // nothing is kept
	space    chan struct{}       // closed when there may be a place; nil while nobody waits
	silent   map[*stay]bool      // those that have to announce themselves; true: and to ask
	departed int                 // of them, those that are over
	left     map[*stay]time.Time // those that are over, and since when the others may know

	published, failed uint64
}

// item is one envelope to be published.
type item struct {
	stay     *stay
	message  bool
	ask      bool
	number   uint64
	envelope []byte // of an announcement: made when it is taken
}

const (
	// mostDeparted bounds the stays that are remembered when they are over.
	mostDeparted = 4096

	// remembrance is how long a loss, and a stay that is over, are told of after they
	// have been announced, for those whose connection was broken then.
	remembrance = time.Minute
)

func newOutbox(limits *RedisOptions) *outbox {
	return &outbox{limits: limits, wake: make(chan struct{}, 1), silent: make(map[*stay]bool), left: make(map[*stay]time.Time)}
}

// publish numbers a message and queues it. Where there is no place it waits for
// one; where there is none in time, or the broker is away, the message is lost.
func (o *outbox) publish(s *stay, envelope []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.full(len(envelope)) && !o.down {
		o.await(len(envelope))
	}
	s.last++
	it := item{stay: s, message: true, number: s.last, envelope: envelope}
	if o.down || o.full(len(envelope)) {
		o.lose(&it)
		return
	}
	renumber(envelope, s.last, s.heardUpTo(s.last-1))
	o.items = append(o.items, it)
	o.messages++
	o.bytes += len(envelope)
	o.signal()
}

// full reports whether there is no place for a message of so many bytes.
func (o *outbox) full(bytes int) bool {
	return o.messages >= o.limits.QueueMessages || o.messages > 0 && o.bytes+bytes > o.limits.QueueBytes
}

// await waits, without the lock, until there is a place, the broker is away, or
// PublishWait has passed.
func (o *outbox) await(bytes int) {
	timeout := time.NewTimer(o.limits.PublishWait)
	defer timeout.Stop()
	for expired := false; !expired && !o.down && o.full(bytes); {
		if o.space == nil {
			o.space = make(chan struct{})
		}
		space := o.space
		o.mu.Unlock()
		select {
		case <-space:
		case <-timeout.C:
			expired = true
		}
		o.mu.Lock()
	}
}

// announce has the numbers of a stay announced, behind what is queued.
func (o *outbox) announce(s *stay, ask bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.down {
		o.remember(s, ask)
		return
	}
	if !ask && s.announcing {
		return // one is queued
	}
	o.append(s, ask)
}

// depart announces the numbers of a stay that is over.
func (o *outbox) depart(s *stay) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s.departed = true
	if _, ok := o.silent[s]; ok {
		o.departed++
	}
	if s.last == 0 {
		o.forget(s)
		return // it has said nothing
	}
	if o.down {
		o.remember(s, false)
		return
	}
	o.append(s, false)
}

// append queues an announcement. The caller holds o.mu.
func (o *outbox) append(s *stay, ask bool) {
	if !ask {
		s.announcing = true
	}
	o.items = append(o.items, item{stay: s, ask: ask, number: s.last})
	o.signal()
}

// take returns what is queued, in order.
func (o *outbox) take() []item {
	o.mu.Lock()
	defer o.mu.Unlock()
	items := o.items
	for i := range items {
		if it := &items[i]; !it.message {
			it.envelope = it.stay.announcement(it)
			it.stay.announcing = false
		}
	}
	o.items, o.messages, o.bytes = nil, 0, 0
	o.release()
	return items
}

// accepted notes that the broker has taken an item.
func (o *outbox) accepted(it *item) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if it.stay.unheard != 0 && time.Since(it.stay.lostAt) > remembrance {
		it.stay.unheard = 0
	}
	if it.message {
		o.published++
		return
	}
	if it.stay.departed && (len(o.left) < mostDeparted || o.prune() < mostDeparted) {
		o.left[it.stay] = time.Now()
	}
}

// prune forgets the stays that have been over for long, and returns how many are
// left. The caller holds o.mu.
func (o *outbox) prune() int {
	for s, since := range o.left {
		if time.Since(since) > remembrance {
			delete(o.left, s)
		}
	}
	return len(o.left)
}

// recall announces the stays that are over: one asks who may have missed it.
func (o *outbox) recall() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.prune()
	for s := range o.left {
		if o.down {
			o.remember(s, false)
		} else if !s.announcing {
			o.append(s, false)
		}
	}
}

// lost notes that the broker has not, or that nobody can say.
func (o *outbox) lost(it *item) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lose(it)
}

// lose counts a lost item and remembers that its stay has to announce itself. The
// caller holds o.mu.
func (o *outbox) lose(it *item) {
	if it.message {
		o.failed++
		if it.stay.unheard == 0 {
			it.stay.unheard = it.number
		}
		it.stay.lostAt = time.Now()
	}
	o.remember(it.stay, it.ask)
}

// remember notes that a stay has to announce itself when it can. The caller holds
// o.mu.
func (o *outbox) remember(s *stay, ask bool) {
	asked, ok := o.silent[s]
	if !ok && s.departed {
		if o.departed >= mostDeparted {
			return
		}
		o.departed++
	}
	o.silent[s] = asked || ask
}

// forget takes a stay out of those that have to announce themselves. The caller
// holds o.mu.
func (o *outbox) forget(s *stay) {
	if _, ok := o.silent[s]; !ok {
		return
	}
	delete(o.silent, s)
	if s.departed {
		o.departed--
	}
}

// speak queues the announcements of all stays that have lost something, unless the
// broker is away.
func (o *outbox) speak() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.down {
		return
	}
	for s, ask := range o.silent {
		o.forget(s)
		o.append(s, ask)
	}
}

// away notes that the broker is away: what is queued is lost.
func (o *outbox) away() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.down = true
	items := o.items
	o.items, o.messages, o.bytes = nil, 0, 0
	for i := range items {
		items[i].stay.announcing = false
		o.lose(&items[i])
	}
	o.release()
}

// back notes that the broker is there again.
func (o *outbox) back() {
	o.mu.Lock()
	o.down = false
	o.mu.Unlock()
	o.speak()
}

// release lets those try again who wait for a place. The caller holds o.mu.
func (o *outbox) release() {
	if o.space != nil {
		close(o.space)
		o.space = nil
	}
}

// signal says that there is something to take. The caller holds o.mu.
func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// counts returns what became of the messages, and whether the broker is there.
func (o *outbox) counts() (published, failed uint64, up bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.published, o.failed, !o.down
}
