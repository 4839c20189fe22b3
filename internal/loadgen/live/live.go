// Package live shows a run while it goes on: on a terminal one line for each
// workload that is redrawn in place, elsewhere one plain line for each every few
// seconds.
//
// It is handed snapshots and never asks for one, so a terminal that does not
// keep up costs frames and not load: what comes while a frame is being written
// takes the place of what was waiting. It knows nothing of results or verdicts.
package live

import (
	"io"
	"sync"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
)

// Options of a Console. The zero value writes plain lines.
type Options struct {
	// Terminal redraws lines in place; what is written to must understand
	// cursor movement.
	Terminal bool
	// Color allows ANSI colours on a terminal; unset it for NO_COLOR.
	Color bool
	// Width of the terminal in columns, for a writer that is not the terminal's
	// own *os.File; 0 is 80.
	Width int
	// Quiet shows nothing at all.
	Quiet bool
}

// plainEvery is how much of a run passes between two plain lines of a workload.
const plainEvery = 5 * time.Second

// A Console shows the progress of one run.
//
// Observe may be called from any goroutine, one at a time or several; Close once
// no more calls of Observe begin.
type Console struct {
	show show

	mu      sync.Mutex
	pending *engine.Snapshot // the latest not yet shown
	dropped int              // snapshots that were never shown

	wake chan struct{} // holds one: a snapshot is pending
	over chan struct{}
	done sync.WaitGroup
}

// A show is one manner of showing snapshots; one goroutine uses it.
type show interface {
	frame(engine.Snapshot)
	close()
}

// New returns a console that writes to w, which only its own goroutine uses until
// Close returns.
func New(w io.Writer, o Options) *Console {
	c := &Console{wake: make(chan struct{}, 1), over: make(chan struct{})}
	switch {
	case o.Quiet:
		return c
	case o.Terminal:
		c.show = newBars(w, o)
	default:
		c.show = &lines{w: w}
	}
	c.done.Go(c.run)
	return c
}

// Observe takes the latest state of the run and returns at once. A snapshot that
// the last one has not made room for takes its place.
func (c *Console) Observe(s engine.Snapshot) {
	if c.show == nil {
		return
	}
	c.mu.Lock()
	if c.pending != nil {
		c.dropped++
	}
	c.pending = &s
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default: // already awake: it will see this snapshot
	}
}

// Close shows the last snapshot, waits for it to be written and ends. It returns
// how many snapshots were passed over because writing was slow.
func (c *Console) Close() (dropped int) {
	if c.show == nil {
		return 0
	}
	close(c.over)
	c.done.Wait()
	return c.dropped
}

func (c *Console) run() {
	defer c.show.close()
	for {
		select {
		case <-c.wake:
			c.frame()
		case <-c.over:
			c.frame()
			return
		}
	}
}

func (c *Console) frame() {
	c.mu.Lock()
	s := c.pending
	c.pending = nil
	c.mu.Unlock()
	if s != nil {
		c.show.frame(*s)
	}
}
