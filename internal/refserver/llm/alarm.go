package llm

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// alarmSpacing is the least distance between two wake-ups: it bounds the cost
	// of precision to 5,000 wake-ups a second.
	alarmSpacing = 200 * time.Microsecond

	// alarmBusy is how many deadlines a second an Alarm is for. Where there are more,
	// counted over alarmLook, it rests for alarmRest: so many streams keep the process
	// awake for each other, and to wake its threads on top of that costs more than it
	// gains. Waits then end as Go's timers end them.
	alarmBusy = 20_000
	alarmLook = 2 * time.Millisecond
	alarmRest = 40 * time.Millisecond

	// alarmSlots times alarmSpacing is how far ahead an Alarm looks. A longer wait
	// goes without it until alarmNear of it is left.
	alarmSlots = 2048
	alarmNear  = alarmSlots * alarmSpacing / 4
)

// Alarm wakes the Go scheduler when the next deadline falls due.
//
// Go's timers on Linux are late by up to a millisecond on an idle process,
// because the runtime sleeps in epoll_wait, which counts in milliseconds. A
// timerfd in the same epoll set ends that sleep on time, and the ordinary
// timers that are due then fire. So an Alarm improves precision and nothing
// else: with a nil Alarm, with one that is not running, and on systems
// without timerfd, every wait still ends, through its Go timer.
//
// The zero value is ready; it is safe for concurrent use.
type Alarm struct {
	ring atomic.Pointer[alarmRing] // nil while it does not run
}

// running reports whether there is a wake-up for who asks.
func (a *Alarm) running() bool { return a != nil && a.ring.Load() != nil }

// set asks for a wake-up at an instant at most alarmNear away. Who has no use for
// it any more need not take it back: it costs one wake-up at most.
func (a *Alarm) set(at time.Time) {
	if a == nil {
		return
	}
	if r := a.ring.Load(); r != nil {
		r.set(at)
	}
}

// alarmRing holds the deadlines of the near future, by slots of alarmSpacing. A
// slot knows the last deadline in it: streams that are due within one slot are woken
// together. What a slot held a round ago lies in the past, and counts for nothing.
type alarmRing struct {
	base    time.Time
	timer   interface{ set(after time.Duration) }
	resting atomic.Bool
	armed   atomic.Int64 // what the timer is set to, after base; unarmed when it is not
	_       [64]byte     // what is written for each deadline is apart from what is read
	asked   atomic.Int64 // deadlines set since looked
	_       [64]byte
	slots   [alarmSlots]atomic.Int64 // nanoseconds after base

	mu     sync.Mutex // held to arm
	fired  int64      // last wake-up
	looked int64      // since when asked counts
}

const unarmed = math.MaxInt64

func newAlarmRing(timer interface{ set(after time.Duration) }) *alarmRing {
	r := &alarmRing{base: time.Now(), timer: timer}
	r.armed.Store(unarmed)
	return r
}

func (r *alarmRing) set(at time.Time) {
	if r.resting.Load() {
		return
	}
	deadline := int64(at.Sub(r.base))
	r.asked.Add(1)
	slot := r.slot(deadline / int64(alarmSpacing))
	for last := slot.Load(); deadline > last && !slot.CompareAndSwap(last, deadline); last = slot.Load() {
	}
	// fire takes armed off before it looks at the slots: either it sees the deadline
	// there, or the deadline is seen here to come before what is armed.
	if deadline < r.armed.Load() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.arm(deadline)
	}
}

func (r *alarmRing) slot(n int64) *atomic.Int64 { return &r.slots[uint64(n)%alarmSlots] }

// arm sets the timer to an instant unless it is set to something earlier. The
// caller holds mu.
func (r *alarmRing) arm(at int64) {
	at = max(at, r.fired+int64(alarmSpacing))
	if at >= r.armed.Load() {
		return
	}
	r.armed.Store(at)
	r.timer.set(time.Duration(at) - time.Since(r.base))
}

// close keeps the timer from being set again, by whom still knows the ring.
func (r *alarmRing) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.armed.Store(math.MinInt64)
}

// fire notes a wake-up and arms the next.
func (r *alarmRing) fire() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := int64(time.Since(r.base))
	r.fired = now
	r.armed.Store(unarmed)
	if r.resting.Swap(false) {
		r.asked.Store(0)
		r.looked = now
	}
	if watched := now - r.looked; watched >= int64(alarmLook) {
		if busy(r.asked.Swap(0), time.Duration(watched)) {
			r.resting.Store(true)
			r.arm(now + int64(alarmRest))
			return
		}
		r.looked = now
	}
	for n := range int64(alarmSlots) {
		if deadline := r.slot(now/int64(alarmSpacing) + n).Load(); deadline > now {
			r.arm(deadline)
			return
		}
	}
}

// busy reports whether so many deadlines in a time are more than an Alarm is for.
func busy(deadlines int64, within time.Duration) bool {
	return float64(deadlines) > alarmBusy*within.Seconds()
}
