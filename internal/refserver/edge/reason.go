package edge

import (
	"fmt"
	"time"
)

// Reason is why a worker ends, in the words that the platform's beforeunload
// event has for it.
type Reason string

// The reasons there are.
const (
	ReasonCPU         Reason = "cpu"         // the hard limit of CPU time
	ReasonMemory      Reason = "memory"      // the memory limit
	ReasonWallClock   Reason = "wall_clock"  // the full wall clock
	ReasonEarlyDrop   Reason = "early_drop"  // nothing left to do, and little left to live; the end of every oneshot worker
	ReasonTermination Reason = "termination" // the server shuts down
)

// EndError is the cause of the end of Worker.Context, and of the context of each
// request that the worker's end took along.
type EndError struct {
	Worker uint64
	Reason Reason
}

// Error names the worker and the reason.
func (e *EndError) Error() string { return fmt.Sprintf("worker %d ended: %s", e.Worker, e.Reason) }

// BootError is a worker that would not start.
type BootError struct {
	Function string
	Err      error
}

// Error names the function and what its Load said.
func (e *BootError) Error() string { return fmt.Sprintf("boot a worker of %s: %v", e.Function, e.Err) }

// Unwrap returns what Load said.
func (e *BootError) Unwrap() error { return e.Err }

// idleError is the cause of a request's end when it sent nothing for too long.
type idleError struct{ limit time.Duration }

func (e idleError) Error() string { return fmt.Sprintf("nothing was sent for %s", e.limit) }

// waitError is a request that got no worker.
type waitError struct{ why string }

func (e waitError) Error() string { return e.why }

// sizeError is a buffered answer above the limit.
type sizeError struct{ limit int64 }

func (e sizeError) Error() string {
	return fmt.Sprintf("a buffered response may have %d bytes; flush to stream more", e.limit)
}
