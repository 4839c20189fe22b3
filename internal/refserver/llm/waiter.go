package llm

import (
	"context"
	"sync/atomic"
	"time"
)

// waiter waits for one instant after the other, for one stream. Its goroutine
// sleeps on one channel, the timer's, and not on two: the end of the context sets
// the timer off.
type waiter struct {
	alarm *Alarm
	wake  *time.Timer
	gone  atomic.Bool // the context has ended
	leave func() bool // forgets the context
}

// begin readies it to wait until ctx ends; stop must follow.
func (w *waiter) begin(ctx context.Context) {
	w.wake = time.NewTimer(0)
	w.leave = context.AfterFunc(ctx, func() {
		w.gone.Store(true)
		w.wake.Reset(0)
	})
}

// stop ends its use.
func (w *waiter) stop() {
	w.leave()
	w.wake.Stop()
}

// until waits for the deadline or the end of the context, whichever comes first; a
// deadline that has passed returns at once.
func (w *waiter) until(ctx context.Context, deadline time.Time) error {
	for {
		wait := time.Until(deadline)
		if wait <= 0 {
			return ctx.Err()
		}
		near := wait <= alarmNear || !w.alarm.running()
		if near {
			w.alarm.set(deadline)
		} else {
			wait -= alarmNear / 2
		}
		w.wake.Reset(wait)
		if !w.gone.Load() { // else the context may have set the timer before it was set here
			<-w.wake.C
		}
		if w.gone.Load() {
			return ctx.Err()
		}
		if near {
			return nil
		}
	}
}
