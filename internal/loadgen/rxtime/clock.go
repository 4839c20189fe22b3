package rxtime

import (
	"sync"
	"sync/atomic"
	"time"
)

// tolerance is how far two looks at the wall clock against the monotonic one
// may differ, in nanoseconds. The two are disciplined alike, so that only
// setting the wall clock changes the difference; a look takes some 50 ns, more
// where it is interrupted.
const tolerance = int64(20 * time.Microsecond)

// A Clock converts wall-clock stamps of the kernel to instants of this process.
// Any number of goroutines may use one at once.
//
// It knows by how much the wall clock is ahead of the monotonic one, and checks
// that at every read. Where it has changed, the wall clock was set (a step, a
// leap second, a suspended machine): the difference is taken anew, and a stamp
// that may be of the time before is not used. A step of less than 20 µs goes
// unnoticed.
type Clock struct {
	base  time.Time // offsets are counted from it
	look  func() reading
	steps atomic.Int64

	anchor atomic.Pointer[anchor]
	mu     sync.Mutex // who replaces the anchor
}

// A reading is the wall clock in Unix nanoseconds and, right after it, the
// monotonic clock in nanoseconds since base.
type reading struct{ wall, mono int64 }

// An anchor ties the two clocks together from one step to the next. Its address
// is its identity.
type anchor struct{ wallAtBase int64 }

// NewClock returns a Clock.
func NewClock() *Clock {
	base := time.Now()
	return newClock(base, func() reading {
		now := time.Now()
		return reading{now.UnixNano(), int64(now.Sub(base))}
	})
}

func newClock(base time.Time, look func() reading) *Clock {
	k := &Clock{base: base, look: look}
	k.anchor.Store(k.measure())
	return k
}

// Steps is how often the wall clock was found to have been set.
func (k *Clock) Steps() int64 { return k.steps.Load() }

func (k *Clock) now() reading { return k.look() }

// time is the instant at an offset from base, with its monotonic reading.
func (k *Clock) time(mono int64) time.Time { return k.base.Add(time.Duration(mono)) }

// measure ties the clocks together as closely as a few looks allow: the wall
// clock was read between the monotonic readings of two looks in a row.
func (k *Clock) measure() *anchor {
	const looks, close = 16, int64(200 * time.Nanosecond)
	var a anchor
	narrowest := int64(-1)
	before := k.look()
	for range looks {
		now := k.look()
		if width := now.mono - before.mono; narrowest < 0 || width < narrowest {
			narrowest = width
			a.wallAtBase = now.wall - before.mono - width/2
		}
		if narrowest < close {
			break
		}
		before = now
	}
	return &a
}

// held reports whether a still held at now, and replaces it where it did not.
func (k *Clock) held(a *anchor, now reading) bool {
	if near(now.wall-now.mono, a.wallAtBase) {
		return true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.anchor.Load() != a {
		return false // another has noticed
	}
	fresh := k.measure()
	if near(fresh.wallAtBase, a.wallAtBase) {
		return true // the look was interrupted half-way
	}
	k.steps.Add(1)
	k.anchor.Store(fresh)
	return false
}

func near(a, b int64) bool { return a-b <= tolerance && b-a <= tolerance }

// A converter makes arrivals of one socket's kernel stamps. It is used by one
// goroutine at a time: before, then the read, then arrival.
type converter struct {
	clock *Clock
	// since is the anchor in force when the socket was last known to be empty:
	// what has arrived from then on was stamped by it or a later one.
	since *anchor
	seen  *anchor // in force before the read
}

// before is called before each attempt to read.
func (c *converter) before() { c.seen = c.clock.anchor.Load() }

// arrival is called after a read that returned data: stamp is the kernel's, in
// Unix nanoseconds, 0 where it gave none; emptied says that the read has left
// nothing behind.
func (c *converter) arrival(stamp int64, emptied bool) passage {
	now := c.clock.now()
	held := c.clock.held(c.seen, now)
	trusted := held && c.seen == c.since
	if emptied {
		c.since = c.seen
	}
	at := stamp - c.seen.wallAtBase
	if stamp == 0 || !trusted || at > now.mono+tolerance {
		return returned(now)
	}
	return passage{at: min(at, now.mono), returned: now.mono, kernel: true}
}
