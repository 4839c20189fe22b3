package driver

import (
	"context"
	"time"
)

// throttleSteps is how many reads a second a throttled reader makes at most.
const throttleSteps = 20

// A throttle holds a reader to a rate. The zero value holds nothing up. One goroutine
// at a time may use it.
type throttle struct {
	rate  int // bytes a second; 0: as they come
	begin time.Time
	taken int
}

// newThrottle returns a throttle of so many bytes a second from now on.
func newThrottle(rate int) *throttle { return &throttle{rate: rate, begin: time.Now()} }

// part is how much of buf one read may fill.
func (h *throttle) part(buf []byte) []byte {
	if h.rate == 0 {
		return buf
	}
	return buf[:min(len(buf), max(1, h.rate/throttleSteps))]
}

// take waits until n more bytes are within the rate. What was not there to be read is
// not made up for: a pause of the peer's begins the count anew.
func (h *throttle) take(ctx context.Context, n int) error {
	if h.rate == 0 || n == 0 {
		return nil
	}
	h.taken += n
	due := h.begin.Add(time.Duration(float64(h.taken) / float64(h.rate) * float64(time.Second)))
	wait := time.Until(due)
	if wait < 0 {
		h.begin, h.taken = time.Now(), 0
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
