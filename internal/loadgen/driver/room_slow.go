package driver

import (
	"io"
	"time"
)

// throttleStep is how often a slow reader takes something.
const throttleStep = 50 * time.Millisecond

// A throttle reads at a rate, until it is released. What it does not take waits in
// the socket, whose window then holds the peer up.
type throttle struct {
	in       io.Reader
	step     int // bytes
	gap      time.Duration
	next     time.Time
	released <-chan struct{}
}

// newThrottle reads so many bytes a second of in, until released is closed.
func newThrottle(in io.Reader, rate int, released <-chan struct{}) *throttle {
	t := &throttle{in: in, step: rate / int(time.Second/throttleStep), gap: throttleStep, released: released}
	if t.step == 0 {
		t.step, t.gap = 1, time.Second/time.Duration(rate)
	}
	return t
}

// Read waits for its turn and takes what is there, a step at most.
func (t *throttle) Read(p []byte) (int, error) {
	select {
	case <-t.released:
		return t.in.Read(p)
	default:
	}
	if wait := time.Until(t.next); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-t.released:
			return t.in.Read(p)
		}
	}
	n, err := t.in.Read(p[:min(len(p), t.step)])
	if n > 0 {
		t.next = time.Now().Add(t.gap * time.Duration(n) / time.Duration(t.step))
	}
	return n, err
}
