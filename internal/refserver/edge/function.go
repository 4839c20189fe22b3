package edge

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
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

// Invocation is one request as its function sees the runtime around it. Its methods
// may be called concurrently, by the function and by its background tasks.
//
// A function is told that it must end by its request's context, a background task
// by its own: a goroutine cannot be stopped from outside. A request whose worker was
// killed is answered when its function returns; what it still writes is refused.
type Invocation struct {
	worker *Worker
	cancel context.CancelCauseFunc
	start  time.Time
	answer answer
	role   Role

	// Guarded by worker.pool.mu.
	prev, next *Invocation
	refs       int // the request and its background tasks
	cpu        time.Duration
	memory     int64
	conn       net.Conn  // what the function took over
	ended      *EndError // its worker has died under it
	detached   bool      // the function may return before the connection is closed
	returned   bool      // it has

	mu    sync.Mutex // keeps stop and idle away from an answer whose handler has returned
	done  bool
	idle  bool
	timer *time.Timer // of the idle timeout; nil: none
	body  bool        // the request has one, which the function may be reading
}

type invocationKey struct{}

// InvocationOf returns the invocation that ctx, a request's or a background task's
// context, belongs to. Outside a Server, as in a test of a handler alone, it is one
// without limits, whose background tasks nobody waits for.
func InvocationOf(ctx context.Context) *Invocation {
	if inv, ok := ctx.Value(invocationKey{}).(*Invocation); ok {
		return inv
	}
	return &Invocation{worker: &Worker{ctx: context.WithoutCancel(ctx)}}
}

// Worker is the worker that runs the invocation.
func (inv *Invocation) Worker() *Worker { return inv.worker }

// Role is the role of the token that the request came with, where the server
// verifies tokens; else it is empty.
func (inv *Invocation) Role() Role { return inv.role }

// WaitUntil runs task beside the request and beyond its answer. The worker is
// kept alive for it up to its wall clock; then, or when another limit is exceeded,
// task's context ends, and what it has not done is lost. The error is
// ErrTooManyTasks or that of a worker which has died.
func (inv *Invocation) WaitUntil(task func(ctx context.Context)) error {
	w := inv.worker
	ctx := context.WithValue(w.ctx, invocationKey{}, inv)
	p := w.pool
	if p == nil {
		go task(ctx)
		return nil
	}
	p.mu.Lock()
	defer p.unlock()
	switch {
	case w.state == dead:
		return w.endOf()
	case w.pending >= p.server.maxTasks:
		p.counts.tasksRefused++
		return ErrTooManyTasks
	}
	w.pending++
	inv.refs++
	p.counts.begun++
	p.server.background.Go(func() {
		defer p.settle(inv)
		p.protect("background task", func() { task(ctx) })
	})
	return nil
}

// settle ends a background task. One whose worker has died is lost, and was counted
// then.
func (p *pool) settle(inv *Invocation) {
	p.mu.Lock()
	defer p.unlock()
	w := inv.worker
	p.unref(inv)
	if w.state == dead {
		return
	}
	w.pending--
	p.counts.settled++
	w.dropIfIdle()
}

// Hold accounts for bytes of memory that the invocation keeps, until Release or
// the end of the invocation, its background tasks included. An error is the memory
// limit, and the worker's end.
func (inv *Invocation) Hold(bytes int64) error {
	w := inv.worker
	p := w.pool
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.unlock()
	if w.state == dead {
		return w.endOf()
	}
	w.memory += bytes
	inv.memory += bytes
	limit, used := p.server.limits.Memory, w.memory
	if p.server.limits.Policy != PerWorker {
		used = inv.memory
	}
	if limit == 0 {
		return nil
	}
	if used > limit {
		w.die(eventKilled, ReasonMemory)
		return w.endOf()
	}
	if used >= limit/2 && w.drop == "" {
		w.drop = "half of the memory was used"
	}
	if used >= limit/10*9 {
		w.fire(ReasonMemory)
	}
	return nil
}

// Release gives back what Hold accounted for.
func (inv *Invocation) Release(bytes int64) {
	p := inv.worker.pool
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	bytes = min(bytes, inv.memory)
	inv.memory -= bytes
	inv.worker.memory -= bytes
}

// endOf is why a dead worker ended. Its context may not have ended yet: that comes
// once the lock is given up.
func (w *Worker) endOf() error {
	if w.end != nil {
		return w.end
	}
	return w.bootErr
}

// stop tells the function that its worker has died: a connection that it took over
// is closed as it is, its context ends, and an answer that has begun is cut.
func (inv *Invocation) stop(end *EndError) {
	if inv.conn != nil {
		_ = inv.conn.Close() // cut either way
	}
	inv.mu.Lock()
	defer inv.mu.Unlock()
	if !inv.done {
		inv.answer.stop(end, inv.answer.begun.Load(), inv.body)
	}
	inv.cancel(end)
}

// watch starts the idle timeout.
func (inv *Invocation) watch(limit time.Duration) {
	if limit == 0 {
		return
	}
	inv.mu.Lock()
	defer inv.mu.Unlock()
	inv.answer.timed = true
	inv.timer = time.AfterFunc(limit, func() { inv.checkIdle(limit) })
}

// checkIdle ends the request if it has sent nothing for limit, else it looks again
// when that may be so.
func (inv *Invocation) checkIdle(limit time.Duration) {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	if inv.done {
		return
	}
	a := &inv.answer
	if left := limit - (time.Since(inv.start) - time.Duration(a.last.Load())); left > 0 {
		inv.timer.Reset(left)
		return
	}
	inv.idle = true
	err := idleError{limit}
	a.stop(err, false, inv.body) // a write that hangs is cut all the same
	inv.cancel(err)
}

// over keeps stop and checkIdle away from the answer from now on, and reports
// whether the idle timeout had struck.
func (inv *Invocation) over() (idle bool) {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	inv.finish()
	return inv.idle
}

// finish is over for who holds mu.
func (inv *Invocation) finish() {
	inv.done = true
	if inv.timer != nil {
		inv.timer.Stop()
	}
}
