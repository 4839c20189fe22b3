package edge

import (
	"runtime"
	"time"
)

// Compute calls step again and again until it returns false, and charges the CPU
// time of the thread that ran it to the invocation and its worker. A step should
// take some milliseconds at most: between two steps is where a limit strikes, and
// the error says which.
//
// The goroutine is locked to its thread meanwhile, and the thread's own clock is
// read after every step, so that neither other work nor a busy machine is charged.
// Only what runs under Compute is: the rest of a function's work is handing bytes
// on. On systems other than Linux the wall time of the steps is charged.
func (inv *Invocation) Compute(step func() (more bool)) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := inv.charge(0); err != nil {
		return err
	}
	for before := threadCPU(); ; {
		more := step()
		now := threadCPU()
		if err := inv.charge(now - before); err != nil {
			return err
		}
		if !more {
			return nil
		}
		before = now
	}
}

// charge books CPU time. The error is the end of the worker, which may be the CPU
// limit.
func (inv *Invocation) charge(used time.Duration) error {
	w := inv.worker
	p := w.pool
	if p == nil {
		inv.mu.Lock()
		defer inv.mu.Unlock()
		inv.cpu += used
		return nil
	}
	p.mu.Lock()
	defer p.unlock()
	inv.cpu += used
	w.cpu += used
	p.counts.cpu += used
	if w.state == dead {
		return w.endOf()
	}
	limits := &p.server.limits
	total := w.cpu
	if limits.Policy != PerWorker {
		total = inv.cpu
	}
	if limits.CPU > 0 && total >= limits.CPU {
		w.die(eventKilled, ReasonCPU)
		return w.endOf()
	}
	if limits.CPU > 0 && total >= limits.CPU/10*9 {
		w.fire(ReasonCPU)
	}
	if limits.CPUSoft > 0 && total >= limits.CPUSoft {
		w.retire("the soft limit of CPU time was reached")
		w.dropIfIdle()
	}
	return nil
}

// CPU is the CPU time that was charged to the invocation.
func (inv *Invocation) CPU() time.Duration {
	p := inv.worker.pool
	if p == nil {
		inv.mu.Lock()
		defer inv.mu.Unlock()
		return inv.cpu
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return inv.cpu
}
