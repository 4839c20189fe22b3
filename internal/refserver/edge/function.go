package edge

import (
	"context"
	"errors"
	"net/http"
)

// Function is what is deployed under a name. Load makes what one worker runs: it
// is called when a worker boots, and what it makes lives and dies with that
// worker. An error of Load is a worker that would not start (503 BOOT_ERROR).
type Function struct {
	Name string
	Load func(*Worker) (http.Handler, error)
}

// Shared is a function that keeps nothing in its worker's memory: all workers run
// the same handler.
func Shared(name string, handler http.Handler) Function {
	return Function{Name: name, Load: func(*Worker) (http.Handler, error) { return handler, nil }}
}

// ErrTooManyTasks is what WaitUntil returns when as many background tasks are
// pending as a worker may have.
var ErrTooManyTasks = errors.New("too many background tasks are pending")

// Worker is one isolate: it has its own memory and serves requests of one function
// until it retires or is killed. Its methods may be called concurrently.
type Worker struct {
	id  uint64
	ctx context.Context
}

// ID is the number of the worker, unique in its Server.
func (w *Worker) ID() uint64 { return w.id }

// Context ends when the worker dies.
func (w *Worker) Context() context.Context { return w.ctx }

// Invocation is one request as its function sees the runtime around it. Its methods
// may be called concurrently.
type Invocation struct {
	worker *Worker
}

type invocationKey struct{}

// InvocationOf returns the invocation that ctx, a request's context, belongs to.
// Outside a Server, as in a test of a handler alone, it is one without limits,
// whose background tasks nobody waits for.
func InvocationOf(ctx context.Context) *Invocation {
	if inv, ok := ctx.Value(invocationKey{}).(*Invocation); ok {
		return inv
	}
	return &Invocation{worker: &Worker{ctx: context.WithoutCancel(ctx)}}
}

// Worker is the worker that runs the invocation.
func (inv *Invocation) Worker() *Worker { return inv.worker }

// WaitUntil runs task beside the request and beyond its answer. The worker is
// kept alive for it up to its wall clock; then, or when another limit is exceeded,
// task's context ends, and what it has not done is lost. The error is
// ErrTooManyTasks or that of a worker which has died.
func (inv *Invocation) WaitUntil(task func(ctx context.Context)) error {
	go task(inv.worker.ctx)
	return nil
}

// Compute calls step again and again until it returns false, and charges the CPU
// time of the thread that ran it to the invocation. A step should take some
// milliseconds at most: between two steps is where a limit strikes, and the error
// says which.
func (inv *Invocation) Compute(step func() (more bool)) error {
	for step() {
	}
	return nil
}

// Hold accounts for bytes of memory that the invocation keeps, until Release or
// the invocation's end. An error is the memory limit, and the worker's end.
func (inv *Invocation) Hold(bytes int64) error { return nil }

// Release gives back what Hold accounted for.
func (inv *Invocation) Release(bytes int64) {}
