package llm

import (
	"context"
	"time"
)

// waiter waits for one instant after the other, for one stream.
type waiter struct {
	alarm *Alarm
	alert alert
	wake  *time.Timer
}

func newWaiter(alarm *Alarm) waiter {
	return waiter{alarm: alarm, alert: alert{index: -1}, wake: time.NewTimer(0)}
}

// stop ends its use.
func (w *waiter) stop() {
	w.alarm.drop(&w.alert)
	w.wake.Stop()
}

// until waits for the deadline or the end of ctx, whichever comes first; a
// deadline that has passed returns at once.
func (w *waiter) until(ctx context.Context, deadline time.Time) error {
	wait := time.Until(deadline)
	if wait <= 0 {
		return ctx.Err()
	}
	w.alarm.set(&w.alert, deadline)
	w.wake.Reset(wait)
	select {
	case <-w.wake.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
