package driver

import (
	"io"
	"time"
)

// slowStep is how often a slow reader takes something.
const slowStep = 50 * time.Millisecond

// A slowReader reads at a rate, until it is released. What it does not take waits in
// the socket, whose window then holds the peer up.
type slowReader struct {
	in       io.Reader
	step     int // bytes
	gap      time.Duration
	next     time.Time
	released <-chan struct{}
}

// newSlowReader reads so many bytes a second of in, until released is closed.
func newSlowReader(in io.Reader, rate int, released <-chan struct{}) *slowReader {
	t := &slowReader{in: in, step: rate / int(time.Second/slowStep), gap: slowStep, released: released}
	if t.step == 0 {
		t.step, t.gap = 1, time.Second/time.Duration(rate)
	}
	return t
}

// Read waits for its turn and takes what is there, a step at most.
func (t *slowReader) Read(p []byte) (int, error) {
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
