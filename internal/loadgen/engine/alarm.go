package engine

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// spinFor is the last part of a wait that Plan.Spin spins through: longer than
// a processor takes to wake up.
const spinFor = 100 * time.Microsecond

// An alarm wakes goroutines at instants of the run.
//
// Go's own timers on Linux are late by up to a millisecond in a process that is
// mostly idle, because the runtime then sleeps in epoll_wait, which counts in
// milliseconds. An alarm keeps the instants of all that wait in one heap and
// sets one timerfd, which is in the same epoll set and exact, to the earliest.
//
// Without an alarm (on other systems, and where none can be had) a Timer is a
// Go timer: later, and otherwise the same.
type alarm struct {
	clock Clock
	early time.Duration // how long before an instant waiting becomes spinning
	fd    *timerFD
	ended sync.WaitGroup

	mu      sync.Mutex
	waiting timerHeap
}

// newAlarm starts an alarm, or returns nil where there is none to be had.
func newAlarm(c Clock, spin bool) *alarm {
	fd, err := newTimerFD(c)
	if err != nil {
		return nil
	}
	a := &alarm{clock: c, fd: fd}
	if spin {
		a.early = spinFor
	}
	a.ended.Go(a.run)
	return a
}

// stop ends the alarm; what still waits is not woken. A nil alarm is no alarm.
func (a *alarm) stop() {
	if a == nil {
		return
	}
	a.fd.close()
	a.ended.Wait()
}

// run wakes what is due each time the timerfd fires.
func (a *alarm) run() {
	for a.fd.wait() == nil {
		for a.wake() {
			continue
		}
	}
}

// wake wakes what is due and sets the timerfd to what comes next, or reports
// that this is worth spinning for.
func (a *alarm) wake() (soon bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock.Now()
	for len(a.waiting) > 0 && a.waiting[0].at <= now {
		t, ok := heap.Pop(&a.waiting).(*Timer)
		if ok {
			t.rung <- struct{}{} // has room: a timer in the heap has not rung
		}
	}
	if len(a.waiting) > 0 && a.waiting[0].at-now <= a.early {
		return true
	}
	a.set()
	return false
}

// set points the timerfd at the earliest instant. The caller holds mu.
func (a *alarm) set() {
	if len(a.waiting) > 0 {
		a.fd.setAt(a.waiting[0].at - a.early)
	}
}

func (a *alarm) add(t *Timer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	heap.Push(&a.waiting, t)
	if t.index == 0 {
		a.set()
	}
}

// remove takes t out, rung or not.
func (a *alarm) remove(t *Timer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t.index >= 0 {
		heap.Remove(&a.waiting, t.index)
		return
	}
	select {
	case <-t.rung:
	default:
	}
}

// A Timer waits for instants of the run, as exactly as the system allows. One
// goroutine at a time may use it.
type Timer struct {
	clock Clock
	alarm *alarm
	plain *time.Timer // without an alarm
	at    time.Duration
	index int // in the alarm's heap; -1 outside
	rung  chan struct{}
}

func newTimer(c Clock, a *alarm) *Timer {
	t := &Timer{clock: c, alarm: a, index: -1}
	if a == nil {
		t.plain = time.NewTimer(0)
	} else {
		t.rung = make(chan struct{}, 1)
	}
	return t
}

// Wait waits for the instant at and reports true; or false as soon as ctx ends
// or stop, which may be nil, is closed. An instant that has passed is not waited
// for: it is true at once, whatever has ended.
func (t *Timer) Wait(ctx context.Context, at time.Duration, stop <-chan struct{}) bool {
	left := at - t.clock.Now()
	if left <= 0 {
		return true
	}
	if t.alarm == nil {
		t.plain.Reset(left)
		defer t.plain.Stop()
		select {
		case <-t.plain.C:
			return true
		case <-ctx.Done():
		case <-stop:
		}
		return false
	}
	t.at = at
	t.alarm.add(t)
	select {
	case <-t.rung:
		return true
	case <-ctx.Done():
	case <-stop:
	}
	t.alarm.remove(t)
	return false
}

// timerHeap orders timers by their instant.
type timerHeap []*Timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].at < h[j].at }

func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push is heap.Interface's.
func (h *timerHeap) Push(x any) {
	if t, ok := x.(*Timer); ok {
		t.index = len(*h)
		*h = append(*h, t)
	}
}

// Pop is heap.Interface's.
func (h *timerHeap) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	t.index = -1
	return t
}
