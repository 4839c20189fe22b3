package llm

import (
	"container/heap"
	"sync"
	"time"
)

// alarmSpacing is the least distance between two wake-ups: it bounds the cost
// of precision to 5,000 wake-ups a second however many streams wait.
const alarmSpacing = 200 * time.Microsecond

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
	mu      sync.Mutex
	pending alertHeap
	fired   time.Time // last wake-up
	armed   time.Time // what the timer is set to; zero when it is not
	timer   timer
}

// alert is one stream's place in an Alarm.
type alert struct {
	at    time.Time
	index int // in the heap; -1 when absent
}

// set registers the instant at which the process should be awake; it replaces
// the alert's earlier instant.
func (a *Alarm) set(al *alert, at time.Time) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	al.at = at
	if al.index < 0 {
		heap.Push(&a.pending, al)
	} else {
		heap.Fix(&a.pending, al.index)
	}
	a.arm()
}

// drop takes the alert out.
func (a *Alarm) drop(al *alert) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if al.index >= 0 {
		heap.Remove(&a.pending, al.index)
	}
}

// arm sets the timer to the earliest alert unless it is set to that or to
// something earlier. The caller holds mu.
func (a *Alarm) arm() {
	if len(a.pending) == 0 {
		return
	}
	at := a.pending[0].at
	if earliest := a.fired.Add(alarmSpacing); at.Before(earliest) {
		at = earliest
	}
	if !a.armed.IsZero() && !at.Before(a.armed) {
		return
	}
	a.armed = at
	a.timer.set(time.Until(at))
}

// fire takes out the alerts that are due and arms the next.
func (a *Alarm) fire() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fired, a.armed = time.Now(), time.Time{}
	for len(a.pending) > 0 && !a.pending[0].at.After(a.fired) {
		heap.Pop(&a.pending)
	}
	a.arm()
}

// alertHeap orders alerts by instant, each knowing its index.
type alertHeap []*alert

func (h alertHeap) Len() int           { return len(h) }
func (h alertHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h alertHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push appends x, as container/heap asks.
func (h *alertHeap) Push(x any) {
	al, _ := x.(*alert) // set pushes nothing else
	al.index = len(*h)
	*h = append(*h, al)
}

// Pop removes the last alert, as container/heap asks.
func (h *alertHeap) Pop() any {
	last := len(*h) - 1
	al := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	al.index = -1
	return al
}
