package edge

import (
	"context"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/edgeload/edgeload/internal/refserver/truth"
)

// Events of a worker's life, as ground truth has them.
const (
	eventBooted       = "booted"
	eventBootFailed   = "boot_failed"  // Detail: what Load said
	eventRetired      = "retired"      // Detail: why
	eventBeforeUnload = "beforeunload" // Detail: the Reason
	eventEarlyDrop    = "early_drop"   // Detail: why it had to go
	eventKilled       = "killed"       // Detail: the Reason
	eventTerminated   = "terminated"
)

// state is where a worker is in its life.
type state uint8

const (
	booting state = iota
	active        // in a slot, taking requests
	retired       // out of its slot; what is in flight goes on
	dead
)

// String is the state's name, as Stats shows it.
func (s state) String() string { return [...]string{"booting", "active", "retired", "dead"}[s] }

// Worker is one isolate: it has its own memory and serves requests of one function
// until it retires or is killed. Its methods may be called concurrently.
//
// A worker retires, which is to take no new request, at half its wall clock and at
// the soft limit of CPU time. It is dropped early when it has retired, or used half
// its memory, or the server shuts down, and every request is acknowledged and every
// background task settled. It is killed at the full wall clock and at the limits of
// CPU time and memory, with what it was doing. An upgraded connection counts as an
// acknowledged request, and so does not keep its worker alive.
type Worker struct {
	id     uint64
	ctx    context.Context
	cancel context.CancelCauseFunc
	pool   *pool         // nil: a worker outside a server, without limits
	booted chan struct{} // closed when it has started or will not

	// What follows is guarded by pool.mu.

	state    state
	slot     int
	handler  http.Handler // what Load made
	bootErr  error
	end      *EndError   // nil while it lives, and of one that did not boot
	since    time.Time   // when it had booted
	clock    *time.Timer // nil: no wall clock
	cpu      time.Duration
	memory   int64
	unacked  int // requests that are not acknowledged
	sockets  int // hijacked connections whose handler runs
	pending  int // background tasks
	requests int // all it was ever given
	first    *Invocation

	drop       string // why it may be dropped once idle; "": it may not
	unload     []func(Reason)
	fired      map[Reason]bool // what beforeunload was recorded for; true: handlers were called
	unloading  int             // handlers of beforeunload that run
	leaving    bool
	terminated bool
}

// ID is the number of the worker, unique in its Server.
func (w *Worker) ID() uint64 { return w.id }

// Context ends when the worker dies. Its cause is then an *EndError, or a
// *BootError.
func (w *Worker) Context() context.Context { return w.ctx }

// OnBeforeUnload registers f, which is called, in a goroutine of its own, when 90 %
// of a limit is used up (cpu, memory, wall_clock), before the worker is dropped
// early and when the server shuts down; once for each reason. It extends nothing: a
// limit that is reached kills the worker while f runs. f must return when the
// worker's context ends.
func (w *Worker) OnBeforeUnload(f func(Reason)) {
	if w.pool == nil {
		return // it lives as long as the process
	}
	w.pool.mu.Lock()
	defer w.pool.mu.Unlock()
	w.unload = append(w.unload, f)
}

// boot starts the worker: the cold start's delay, then Load.
func (w *Worker) boot() {
	p := w.pool
	if p.server.coldStart > 0 {
		cold := time.NewTimer(p.server.coldStart)
		select {
		case <-cold.C:
		case <-w.ctx.Done():
			cold.Stop()
			return
		}
	}
	handler, err := w.load()
	p.mu.Lock()
	defer p.unlock()
	if w.state == dead {
		return
	}
	if err == nil && p.fault { // switched on while it loaded
		err = errBootFault
	}
	if err != nil {
		w.bootErr = &BootError{Function: p.name, Err: err}
		p.counts.bootFailed++
		w.record(eventBootFailed, err.Error())
		p.remove(w)
		p.later(func() { w.cancel(w.bootErr) })
		close(w.booted)
		p.admitWaiting()
		return
	}
	w.handler, w.since, w.state = handler, time.Now(), active
	p.counts.booted++
	w.record(eventBooted, "")
	if wall := p.server.limits.WallClock; wall > 0 {
		w.clock = time.AfterFunc(wall/2, w.tick)
	}
	close(w.booted)
	if p.draining {
		w.terminate()
	}
}

// load calls the function's Load; a panic there is an error too.
func (w *Worker) load() (handler http.Handler, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			w.pool.server.log.Error("load panicked", "function", w.pool.name, "reason", reason, "stack", string(debug.Stack()))
			err = errLoadPanicked
		}
	}()
	if w.pool.faulty() {
		return nil, errBootFault
	}
	return w.pool.load(w)
}

// tick is called by the worker's clock, when half, nine tenths and all of the wall
// clock have passed.
func (w *Worker) tick() {
	p := w.pool
	p.mu.Lock()
	defer p.unlock()
	if w.state == dead {
		return
	}
	wall := p.server.limits.WallClock
	warning := wall / 10 * 9
	age := time.Since(w.since)
	if age >= wall {
		w.die(eventKilled, ReasonWallClock)
		return
	}
	w.retire("half of the wall clock has passed")
	if age < warning {
		w.clock.Reset(warning - age)
	} else {
		w.fire(ReasonWallClock)
		w.clock.Reset(wall - age)
	}
	w.dropIfIdle()
}

// retire takes the worker out of its slot, so that the next request there boots
// another, and lets it be dropped once it is idle.
func (w *Worker) retire(why string) {
	if w.drop == "" {
		w.drop = why
	}
	if w.state != active {
		return
	}
	w.state = retired
	w.pool.counts.retired++
	w.record(eventRetired, why)
	w.pool.vacate(w)
	w.pool.admitWaiting()
}

// dropIfIdle drops the worker where the platform would.
func (w *Worker) dropIfIdle() {
	if w.drop == "" || w.unacked > 0 || w.pending > 0 || w.unloading > 0 || w.leaving || (w.state != active && w.state != retired) {
		return
	}
	if w.terminated && w.sockets > 0 {
		return // at the server's end, functions may take leave of their sockets
	}
	reason, event := ReasonEarlyDrop, eventEarlyDrop
	if w.terminated {
		reason, event = ReasonTermination, eventTerminated
	}
	w.leaving = true
	w.pool.vacate(w)
	w.fire(reason)
	if w.unloading == 0 {
		w.die(event, reason)
	}
}

// terminate asks the worker to end, as the server shuts down.
func (w *Worker) terminate() {
	if w.terminated || w.state == dead || w.state == booting {
		return // one that boots is asked when it has
	}
	w.terminated = true
	w.retire("the server shuts down")
	w.fire(ReasonTermination)
	w.dropIfIdle()
}

// fire records that beforeunload is due and calls its handlers, once for each reason.
// A handler that is registered later hears it when the reason comes again.
func (w *Worker) fire(reason Reason) {
	if w.fired == nil {
		w.fired = make(map[Reason]bool)
	}
	told, recorded := w.fired[reason]
	if !recorded {
		w.record(eventBeforeUnload, string(reason))
	}
	tell := !told && len(w.unload) > 0
	w.fired[reason] = told || tell
	if !tell {
		return
	}
	w.unloading++
	handlers := w.unload[:len(w.unload):len(w.unload)]
	w.pool.server.background.Go(func() {
		for _, f := range handlers {
			w.pool.protect("beforeunload", func() { f(reason) })
		}
		w.pool.mu.Lock()
		defer w.pool.unlock()
		w.unloading--
		switch {
		case w.state == dead || w.unloading > 0:
		case w.leaving && w.terminated:
			w.die(eventTerminated, ReasonTermination)
		case w.leaving:
			w.die(eventEarlyDrop, ReasonEarlyDrop)
		default:
			w.dropIfIdle()
		}
	})
}

// die ends the worker: its requests are killed, its sockets cut, its background
// tasks lost.
func (w *Worker) die(event string, reason Reason) {
	if w.state == dead {
		return
	}
	p := w.pool
	wasBooting := w.state == booting
	p.remove(w)
	if w.clock != nil {
		w.clock.Stop()
	}
	p.counts.ended[ending{event, reason}]++
	p.counts.lost += uint64(w.pending)
	p.counts.killed += uint64(w.unacked)
	detail := string(reason)
	if event == eventEarlyDrop {
		detail = w.drop
	}
	w.record(event, detail)
	end := &EndError{Worker: w.id, Reason: reason}
	w.end = end
	var doomed []*Invocation
	for inv := w.first; inv != nil; inv = inv.next {
		inv.ended = end
		doomed = append(doomed, inv)
	}
	p.later(func() {
		for _, inv := range doomed {
			inv.stop(end)
		}
		w.cancel(end)
	})
	if wasBooting {
		close(w.booted)
	}
	p.admitWaiting()
}

// record puts an event of the worker's life into ground truth.
func (w *Worker) record(event, detail string) {
	w.pool.server.ledger.Add(truth.Record{
		Kind: truth.Worker, Name: w.pool.name, ID: strconv.FormatUint(w.id, 10), Event: event, Detail: detail,
	})
}
