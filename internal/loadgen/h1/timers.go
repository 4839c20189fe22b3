package h1

import (
	"container/heap"
	"time"
)

// none is the place of a connection that has no timer.
const none = -1

// timers is when connections are to be looked at, the next one first. Each has
// one timer at most.
type timers []*conn

// arm lets c's timer go off at t, if not sooner.
func (t *timers) arm(c *conn, at time.Time) {
	switch {
	case c.timer == none:
		c.due = at
		heap.Push(t, c)
	case at.Before(c.due):
		c.due = at
		heap.Fix(t, c.timer)
	}
}

func (t *timers) remove(c *conn) {
	if c.timer != none {
		heap.Remove(t, c.timer)
	}
}

// due takes out those that have gone off and appends them.
func (t *timers) due(to []*conn, now time.Time) []*conn {
	for len(*t) > 0 && !now.Before((*t)[0].due) {
		to = append(to, (*t)[0])
		heap.Remove(t, 0)
	}
	return to
}

// Len, Less, Swap, Push and Pop are heap.Interface.
func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].due.Before(t[j].due) }
func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].timer, t[j].timer = i, j
}
func (t *timers) Push(x any) {
	c, _ := x.(*conn)
	c.timer = len(*t)
	*t = append(*t, c)
}
func (t *timers) Pop() any {
	last := len(*t) - 1
	c := (*t)[last]
	(*t)[last] = nil
	*t = (*t)[:last]
	c.timer = none
	return c
}
