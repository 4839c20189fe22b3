package edge

import (
	"context"
	"errors"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

var (
	errBootFault    = errors.New("the boot fault is switched on")
	errLoadPanicked = errors.New("load panicked")
)

// Reasons for a request to get no worker.
var (
	errNoWorker = waitError{"no worker became free in time"}
	errQueue    = waitError{"too many requests wait for a worker"}
	errDraining = waitError{"the server shuts down"}
)

// pool is the workers of one function. Its methods, and those of its workers, that
// lock say so by their first line; the others are called under mu.
type pool struct {
	server *Server
	name   string
	load   func(*Worker) (http.Handler, error)

	metrics functionMetrics

	mu       sync.Mutex
	slots    []*Worker // round-robin; nil: to be booted by the next request that comes to it
	next     int
	live     map[*Worker]struct{} // those in slots, and the retired ones
	waiting  []*waiter            // first come, first served
	fault    bool                 // workers will not start
	draining bool
	drained  chan struct{} // closed when the pool is draining and no worker lives
	effects  []func()      // run by unlock
	counts   counts
}

// waiter is a request that waits for a worker.
type waiter struct {
	inv   *Invocation
	given chan error // nil: inv has its worker
}

func newPool(s *Server, f Function, slots int, m functionMetrics) *pool {
	return &pool{
		server: s, name: f.Name, load: f.Load, metrics: m,
		slots: make([]*Worker, slots), live: make(map[*Worker]struct{}), drained: make(chan struct{}),
		counts: counts{ended: make(map[ending]uint64)},
	}
}

// later keeps f until the lock is given up: what calls out of the package, or
// wakes others.
func (p *pool) later(f func()) { p.effects = append(p.effects, f) }

// unlock gives up the lock and runs what was kept for then.
func (p *pool) unlock() {
	effects := p.effects
	p.effects = nil
	p.mu.Unlock()
	for _, f := range effects {
		f()
	}
}

// protect runs foreign code whose panic must not end the process.
func (p *pool) protect(what string, f func()) {
	defer func() {
		if reason := recover(); reason != nil {
			p.server.log.Error(what+" panicked", "function", p.name, "reason", reason, "stack", string(debug.Stack()))
		}
	}()
	f()
}

// enter gives the invocation a worker that has booted. The errors are a waitError, a
// *BootError, an *EndError, or the cause of the end of ctx, the invocation's; the
// request is counted by then.
func (p *pool) enter(ctx context.Context, inv *Invocation) error {
	p.mu.Lock()
	if p.draining {
		defer p.unlock()
		return p.turnedAway(errDraining)
	}
	var w *waiter
	if len(p.waiting) > 0 || !p.admit(inv) {
		if len(p.waiting) >= p.server.maxWaiting {
			defer p.unlock()
			return p.turnedAway(errQueue)
		}
		w = &waiter{inv: inv, given: make(chan error, 1)}
		p.waiting = append(p.waiting, w)
		p.counts.waited++
	} else if inv.worker.state == active {
		p.unlock()
		return nil
	}
	p.unlock()

	var late <-chan time.Time
	if limit := p.server.limits.RequestWait; limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		late = timer.C
	}
	if w != nil {
		if err := p.await(ctx, w, late); err != nil {
			return err
		}
	}
	return p.awaitBoot(ctx, inv, late)
}

// await waits until the waiter is given a worker.
func (p *pool) await(ctx context.Context, w *waiter, late <-chan time.Time) (err error) {
	select {
	case err = <-w.given:
		return err
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-late:
		err = errNoWorker
	}
	p.mu.Lock()
	defer p.unlock()
	i := slices.Index(p.waiting, w)
	if i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
		return p.turnedAway(err)
	}
	// It was given one at the same moment. The timer of late has fired, so that a wait
	// for the boot would have no end.
	if given := <-w.given; given != nil {
		return given
	}
	if errors.Is(err, errNoWorker) && w.inv.worker.state != booting {
		return nil
	}
	return p.giveUp(w.inv, err)
}

// awaitBoot waits until the invocation's worker has started.
func (p *pool) awaitBoot(ctx context.Context, inv *Invocation, late <-chan time.Time) (err error) {
	select {
	case <-inv.worker.booted:
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-late:
		err = errNoWorker
	}
	p.mu.Lock()
	defer p.unlock()
	if err == nil && inv.worker.bootErr == nil && inv.ended == nil {
		return nil
	}
	return p.giveUp(inv, err)
}

// giveUp takes from the invocation, which is not to run, the worker it was given. The
// worker's own end comes before err; a request that died with its worker was counted
// then.
func (p *pool) giveUp(inv *Invocation, err error) error {
	if inv.worker.bootErr != nil {
		err = inv.worker.bootErr
	}
	if end := p.leave(inv); end != nil {
		return end
	}
	return p.turnedAway(err)
}

// turnedAway counts a request that gets no worker, by the error that it returns.
func (p *pool) turnedAway(err error) error {
	var idle idleError
	if errors.As(err, &idle) {
		p.counts.idle++
	} else {
		p.counts.refused++
	}
	return err
}

// admit gives the invocation the worker whose turn it is, and reports whether there
// is one.
func (p *pool) admit(inv *Invocation) bool {
	for range p.slots {
		slot := p.next
		p.next = (p.next + 1) % len(p.slots)
		w := p.slots[slot]
		switch policy := p.server.limits.Policy; {
		case w == nil:
			w = p.boot(slot)
		case policy == PerRequest && w.unacked > 0, policy == OneShot:
			continue
		}
		inv.worker, inv.refs = w, 1
		w.unacked++
		w.requests++
		inv.next = w.first
		if w.first != nil {
			w.first.prev = inv
		}
		w.first = inv
		return true
	}
	return false
}

// admitWaiting gives workers to those that wait, as far as there are any.
func (p *pool) admitWaiting() {
	for len(p.waiting) > 0 && !p.draining && p.admit(p.waiting[0].inv) {
		p.waiting[0].given <- nil
		p.waiting = slices.Delete(p.waiting, 0, 1)
	}
}

// boot puts a new worker into the slot and starts it.
func (p *pool) boot(slot int) *Worker {
	w := &Worker{id: p.server.workers.Add(1), pool: p, slot: slot, booted: make(chan struct{})}
	w.ctx, w.cancel = context.WithCancelCause(context.Background())
	p.slots[slot] = w
	p.live[w] = struct{}{}
	p.server.background.Go(w.boot)
	return w
}

// vacate empties the worker's slot.
func (p *pool) vacate(w *Worker) {
	if p.slots[w.slot] == w {
		p.slots[w.slot] = nil
	}
}

// remove takes a worker that is dead from now on out of the pool.
func (p *pool) remove(w *Worker) {
	p.vacate(w)
	w.state = dead
	delete(p.live, w)
	p.checkDrained()
}

// checkDrained tells who waits for the pool's end.
func (p *pool) checkDrained() {
	if p.draining && len(p.live) == 0 {
		select {
		case <-p.drained:
		default:
			close(p.drained)
		}
	}
}

// upgraded acknowledges the invocation's request, whose connection its function took
// over. The error is the end of the worker.
func (p *pool) upgraded(inv *Invocation, conn net.Conn) error {
	p.mu.Lock()
	defer p.unlock()
	if inv.ended != nil {
		return inv.ended
	}
	inv.conn = conn
	inv.worker.unacked--
	inv.worker.sockets++
	inv.worker.dropIfIdle()
	p.admitWaiting()
	return nil
}

// leave ends the invocation's request and returns what had ended it before: the end
// of its worker, or nil.
func (p *pool) leave(inv *Invocation) *EndError {
	w := inv.worker
	if inv.ended != nil {
		return inv.ended
	}
	if inv.prev != nil {
		inv.prev.next = inv.next
	} else {
		w.first = inv.next
	}
	if inv.next != nil {
		inv.next.prev = inv.prev
	}
	inv.prev, inv.next = nil, nil
	if inv.conn != nil {
		w.sockets--
	} else {
		w.unacked--
	}
	p.unref(inv)
	if w.state == dead { // it did not boot
		return nil
	}
	if p.server.limits.Policy == OneShot {
		w.drop = "its request has ended"
		w.die(eventEarlyDrop, ReasonEarlyDrop)
		return nil
	}
	w.dropIfIdle()
	p.admitWaiting()
	return nil
}

// unref gives back what the invocation holds once its request and its tasks are
// over.
func (p *pool) unref(inv *Invocation) {
	if inv.refs--; inv.refs == 0 {
		inv.worker.memory -= inv.memory
		inv.memory = 0
	}
}
