package driver

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// A gate bounds how fast the connections of one workload are begun: a target
// that is asked for thousands at one instant has no room for them in its queue,
// drops the rest, and sees them again a second later, and a generator that
// dials them all at once has no time for anything else.
//
// At most so many connects are under way, and they are begun at no more than a
// rate, of which burst may be saved up. Whoever waits is let in
// in the order of coming. A nil gate lets everyone in. Any number of goroutines
// may use one at once.
type gate struct {
	room chan struct{} // one for each connect under way
	gap  time.Duration // between two connects, on average
	save time.Duration // how much of the rate may be saved up

	mu   sync.Mutex
	next time.Time // when the next connect would be due if none had been saved up
}

// burst is how much of the rate may be begun at once after a pause: enough that
// a hundred who come together, by the default rate, do not wait for each other.
const burst = 20 * time.Millisecond

// newGate returns the gate that c asks for; nil where it asks for none.
func newGate(c scenario.Connect) *gate {
	if c.AtOnce <= 0 || c.Rate <= 0 {
		return nil
	}
	gap := time.Duration(float64(time.Second) / float64(c.Rate))
	return &gate{room: make(chan struct{}, c.AtOnce), gap: gap, save: max(burst, gap)}
}

// enter waits for a turn, which ends with leave, and returns how long that took.
// Its error is that of ctx, or errStopped where stop, which may be nil, was
// closed before.
func (g *gate) enter(ctx context.Context, stop <-chan struct{}) (waited time.Duration, err error) {
	if g == nil {
		return 0, nil
	}
	came := time.Now()
	select {
	case g.room <- struct{}{}:
	default:
		select {
		case g.room <- struct{}{}:
		case <-ctx.Done():
			return 0, fmt.Errorf("wait for a turn to connect: %w", ctx.Err())
		case <-stop:
			return 0, errStopped
		}
	}
	if wait := g.book(time.Now()); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			g.leave()
			return 0, fmt.Errorf("wait for a turn to connect: %w", ctx.Err())
		case <-stop:
			g.leave()
			return 0, errStopped
		}
	}
	return time.Since(came), nil
}

// errStopped is the error of a wait that the end of the run cut short.
var errStopped = fmt.Errorf("wait for a turn to connect, cut by the end of the run: %w", context.Canceled)

// book takes the next turn by the rate and returns how far ahead it is.
func (g *gate) book(now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if saved := now.Add(-g.save); g.next.Before(saved) {
		g.next = saved
	}
	g.next = g.next.Add(g.gap)
	return g.next.Sub(now)
}

func (g *gate) leave() {
	if g != nil {
		<-g.room
	}
}
