package engine

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// interruptDrain bounds the drain of an interrupted run: someone is waiting.
const interruptDrain = 5 * time.Second

// failurePause is how long a user of a closed model waits after work that failed.
const failurePause = 100 * time.Millisecond

// lead is how long before its start a run is made ready: drivers begin, users
// take their places and what that leaves behind is collected, so that the first
// arrivals find everything as the later ones do.
const lead = 200 * time.Millisecond

// A run is one Plan being carried out.
type run struct {
	plan      Plan
	clock     Clock
	warmup    time.Duration
	end       time.Duration // when the last arrival is due
	stopping  chan struct{} // closed at end, or at the interrupt
	workloads []*workload
	alarm     *alarm // nil where there is none
}

// A workload is the running state of a Workload.
type workload struct {
	Workload
	own     *tally // the engine's metrics
	driven  *tally // the driver's
	arrived atomic.Uint64
	flight  *flight

	sessions sessions
}

func newWorkload(w Workload, warmup, end time.Duration) *workload {
	return &workload{
		Workload: w,
		own:      newTally(OwnMetrics(), warmup),
		driven:   newTally(w.Metrics, warmup),
		flight:   newFlight(warmup, end),
	}
}

// Run carries out the plan and returns what came of it. When ctx ends early the
// arrivals stop, what is in flight drains, and the result says it was
// interrupted. The error is that of a driver which could not begin, or of a limit
// of this process that the plan does not keep to.
func (plan Plan) Run(ctx context.Context, id string) (*result.Result, error) {
	limit := fdLimit()
	if err := checkDescriptors(plan.Workloads, limit); err != nil {
		return nil, err
	}
	growDescriptors(mostDescriptors(plan.Workloads, limit))
	sc := plan.Scenario
	r := &run{
		plan:     plan,
		warmup:   time.Duration(sc.Warmup),
		end:      time.Duration(sc.Warmup + sc.Duration),
		stopping: make(chan struct{}),
	}
	for _, w := range plan.Workloads {
		r.workloads = append(r.workloads, newWorkload(w, r.warmup, r.end))
	}
	if err := r.prepare(ctx, id); err != nil {
		return nil, err
	}
	r.clock = NewClock()
	if !plan.coarse {
		r.clock.start = r.clock.start.Add(lead)
		r.alarm = newAlarm(r.clock, plan.Spin)
		defer r.alarm.stop()
	}
	if err := r.beginSide(id); err != nil {
		return nil, err
	}
	if err := r.begin(id); err != nil {
		r.endSide(nil)
		return nil, err
	}
	if !plan.coarse {
		runtime.GC()
	}
	if plan.Began != nil {
		plan.Began(r.clock.start)
	}
	return r.carryOut(ctx, id, r.clock.start.UTC())
}

// prepare lets drivers do what comes before the clock starts; when one cannot, those
// that have are ended.
func (r *run) prepare(ctx context.Context, id string) error {
	for i, w := range r.workloads {
		p, ok := w.Driver.(Preparer)
		if !ok {
			continue
		}
		if err := p.Prepare(ctx, r.of(w, id)); err != nil {
			endPrepared(r.workloads[:i])
			return fmt.Errorf("workload %s: %w", w.Name, err)
		}
	}
	return nil
}

// endPrepared ends those drivers that were prepared and have not begun.
func endPrepared(workloads []*workload) {
	for _, w := range workloads {
		if _, ok := w.Driver.(Preparer); ok {
			w.Driver.End(w.driven.worker(0))
		}
	}
}

// of is what w's driver may know of the run.
func (r *run) of(w *workload, id string) Run {
	return Run{
		ID: id, Workload: w.Name, Seed: r.plan.Scenario.Seed, Clock: r.clock,
		Warmup: r.warmup, End: r.end, Stopping: r.stopping, alarm: r.alarm,
	}
}

// begin readies every driver; when one cannot begin, those that have are ended.
func (r *run) begin(id string) error {
	for i, w := range r.workloads {
		if err := w.Driver.Begin(r.of(w, id)); err != nil {
			for _, begun := range r.workloads[:i] {
				begun.Driver.End(begun.driven.worker(0))
			}
			endPrepared(r.workloads[i:])
			return fmt.Errorf("workload %s: %w", w.Name, err)
		}
		if t, ok := w.Driver.(Timetable); ok {
			w.Schedule = t.Schedule()
		}
	}
	return nil
}

func (r *run) carryOut(ctx context.Context, id string, started time.Time) (*result.Result, error) {
	work, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()

	var watchers, arrivals sync.WaitGroup
	over := make(chan struct{})
	health := newHealthWatch(r.clock)
	watchers.Go(func() { r.watch(over, health) })
	interrupted := false
	watchers.Go(func() { interrupted = r.conduct(ctx, over, cut, health) })

	for _, w := range r.workloads {
		arrivals.Go(func() {
			switch {
			case w.Schedule != nil:
				r.open(ctx, work, w)
			case w.Once:
				r.once(ctx, work, w)
			default:
				r.closed(ctx, work, w)
			}
		})
	}
	arrivals.Wait()
	close(over)
	watchers.Wait()

	for _, w := range r.workloads {
		w.Driver.End(w.driven.worker(0))
		w.drain(max(0, r.clock.Now())) // one that was interrupted may not have started
	}
	return r.result(id, started, interrupted, health)
}

// conduct closes stopping when the last arrival is due or ctx ends, whichever
// is first, and cuts what is still in flight when the drain time has passed. It
// answers whether ctx ended before the run was over.
func (r *run) conduct(ctx context.Context, over <-chan struct{}, cut func(), health *healthWatch) (interrupted bool) {
	drain := time.Duration(r.plan.Scenario.Drain)
	timer := time.NewTimer(r.end - r.clock.Now())
	defer timer.Stop()
	select {
	case <-over:
	case <-timer.C:
	case <-ctx.Done():
		drain = min(drain, interruptDrain)
	}
	health.stop()
	r.stop()
	cutAt := r.clock.Now() + drain
	done := ctx.Done()
	if ctx.Err() != nil {
		done = nil // has had its effect
	}
	for {
		timer.Reset(cutAt - r.clock.Now())
		select {
		case <-over:
			return ctx.Err() != nil
		case <-timer.C:
			cut()
			<-over
			return ctx.Err() != nil
		case <-done:
			done = nil
			cutAt = min(cutAt, r.clock.Now()+interruptDrain)
		}
	}
}

// stop ends the beginning of new work and the measured part.
func (r *run) stop() {
	now := r.clock.Now()
	for _, w := range r.workloads {
		w.flight.end(now)
	}
	close(r.stopping)
}

// once lets each user arrive a single time. What stays of a user is what its
// driver keeps: there may be thousands, for the whole run.
func (r *run) once(ctx, work context.Context, w *workload) {
	var users sync.WaitGroup
	defer users.Wait()
	over := func(bool) { users.Done() }
	timer := newTimer(r.clock, r.alarm)
	for u := range w.Users {
		ready := w.Begins(u)
		if ready >= r.end || !r.waitUntil(ctx, timer, ready) {
			return
		}
		a := w.arrive(u, ready)
		w.account(a).Add(ownOffered, 1)
		w.flight.now.Add(1)
		users.Add(1)
		go r.do(work, w, a, over)
	}
}

// closed lets each user begin an arrival when its last has ended.
func (r *run) closed(ctx, work context.Context, w *workload) {
	var users sync.WaitGroup
	defer users.Wait()
	for u := range w.Users {
		users.Go(func() {
			timer := newTimer(r.clock, r.alarm)
			ended := make(chan bool, 1)
			for ready := w.Begins(u); ready < r.end && r.waitUntil(ctx, timer, ready); {
				done := r.beginning(ctx, work, w, w.arrive(u, ready), timer, ended)
				ready = r.clock.Now() + w.Think
				if !done {
					ready += failurePause
				}
			}
		})
	}
}

// beginning does what a user of a closed model begins: an arrival, and the later
// turns of its session. It answers whether the last of them was done.
func (r *run) beginning(ctx, work context.Context, w *workload, a Arrival, timer *Timer, ended chan bool) (done bool) {
	for {
		w.account(a).Add(ownOffered, 1)
		w.flight.now.Add(1)
		r.do(work, w, a, func(done bool) { ended <- done })
		done = <-ended
		next, more := r.after(w, a, done, work.Err() != nil)
		if !more {
			return done
		}
		if !r.waitUntil(ctx, timer, next.Intended) {
			w.sessionOver(a, ownSessionsUnfinished)
			return done
		}
		a = next
	}
}

// do hands one arrival to the driver and keeps the engine's own account of it;
// over is told when it has ended, and whether its work was done.
func (r *run) do(ctx context.Context, w *workload, a Arrival, over func(done bool)) {
	a.Started = r.start(w, a)
	w.drive(ctx, a, func(done bool) {
		r.finish(w, a)
		over(done)
	})
}

// start accounts for the beginning of a and returns its instant.
func (r *run) start(w *workload, a Arrival) (started time.Duration) {
	own := w.account(a)
	started = r.clock.Now()
	lateness := started - a.Intended
	own.Add(ownStarted, 1)
	own.Record(ownLateness, int64(lateness))
	if lateness > lateLimit {
		own.Add(ownLate, 1)
	}
	w.turnBegun(a)
	return started
}

// drive hands a to the driver.
func (w *workload) drive(ctx context.Context, a Arrival, over func(done bool)) {
	w.Driver.Do(ctx, a, w.driven.worker(a.Seq).At(a.Intended), over)
}

// finish accounts for the end of a.
func (r *run) finish(w *workload, a Arrival) {
	w.account(a).Add(ownFinished, 1)
	w.flight.passed(a.Started, r.clock.Now())
	w.flight.now.Add(-1)
}

// account is where the engine counts arrival a: nowhere when it lies in the
// warm-up, unless it lasts the whole run.
func (w *workload) account(a Arrival) *Recorder {
	rec := w.own.worker(a.Seq)
	if w.Once {
		return rec.Whole()
	}
	return rec.At(a.Intended)
}

// waitUntil waits for an instant of the run, or answers false when ctx ends.
func (r *run) waitUntil(ctx context.Context, timer *Timer, t time.Duration) bool {
	return ctx.Err() == nil && timer.Wait(ctx, t, nil)
}

// drain closes an interval of the workload at t.
func (w *workload) drain(t time.Duration) (own, driven *interval) {
	n := w.flight.now.Load()
	return w.own.drain(t, n), w.driven.drain(t, n)
}
