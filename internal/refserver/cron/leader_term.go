package cron

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/edgeload/edgeload/internal/refserver/store"
)

// Why a run is canceled; its message in the history.
var (
	errJobCanceled = errors.New("job canceled")
	errShutdown    = errors.New("the scheduler shuts down")
)

// term is the time in which this process leads. One goroutine owns it.
type term struct {
	s        *Scheduler
	lease    *store.Lease
	tasks    map[int64]*task
	clock    *Clock
	last     time.Time // of the wall clock, at the tick before
	lap      int64
	running  int
	finished chan int64 // ids of jobs whose run has ended
	fired    []firing   // of the tick that goes on, or has failed; what is skipped included
	reboot   bool       // @reboot is still to fire
	resumed  time.Time  // where jobs of N seconds go on; zero where they begin
}

// newTerm picks up where the leader before left off, unless that is too long ago.
func newTerm(s *Scheduler, lease *store.Lease, began time.Time) *term {
	t := &term{
		s: s, lease: lease, tasks: make(map[int64]*task), clock: new(Clock), lap: lease.Lap,
		last: lease.LastTick, finished: make(chan int64, s.o.MaxRunning), reboot: began.After(lease.LastTick),
	}
	now, detail := s.now(), "nobody led before"
	if !lease.LastTick.IsZero() {
		gap := now.Sub(lease.LastTick)
		detail = fmt.Sprintf("the last tick was %s ago", gap)
		if gap <= Takeover {
			t.clock, t.resumed = ClockAt(lease.LastTick), lease.LastTick
		} else {
			detail += ", which is not replayed"
		}
	}
	s.record("", s.holder, "leader_won", time.Time{}, detail)
	s.o.Log.Info("cron: leading", "detail", detail)
	return t
}

// run fires until the lease is lost or ctx ends, and returns the reason. No run of
// it lasts when it returns, and what was due and has not begun is recorded as missed.
func (t *term) run(ctx context.Context) (why error) {
	runs, cancel := context.WithCancelCause(ctx)
	defer func() {
		cause := why
		if ctx.Err() != nil {
			cause = errShutdown
		}
		cancel(cause)
		for ; t.running > 0; t.running-- {
			<-t.finished
		}
		t.giveUpAll(cause)
	}()
	if err := t.failUnfinished(ctx); err != nil {
		return err
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return errShutdown
		case <-timer.C:
			if err = t.tick(ctx, runs); err == nil {
				now := t.s.now()
				timer.Reset(now.Truncate(time.Second).Add(time.Second).Sub(now))
			}
		case <-t.s.changed:
			t.load(ctx)
			err = t.begin(ctx, runs)
		case id := <-t.finished:
			t.running--
			if task := t.tasks[id]; task != nil {
				task.running, task.cancel = false, nil
			}
			err = t.begin(ctx, runs)
		}
		if err != nil {
			return err
		}
	}
}

// failUnfinished ends the runs that are left without a process, before any of their
// jobs begins again.
func (t *term) failUnfinished(ctx context.Context) error {
	var lost []store.Unfinished
	err := t.withPatience(ctx, func(ctx context.Context) (err error) {
		lost, err = t.lease.FailUnfinished(ctx, t.s.now())
		return err
	})
	for _, run := range lost {
		t.s.record(run.Job, strconv.FormatInt(run.RunID, 10), "lost", run.ScheduledAt, store.ServerRestarted)
	}
	return err
}

// tick fires what is due by now.
func (t *term) tick(ctx, runs context.Context) error {
	t.load(ctx)
	now := t.s.now()
	if !t.last.IsZero() && now.Sub(t.last) > leaseTTL { // another may lead by now, and have fired what is due
		if err := t.withPatience(ctx, func(ctx context.Context) error { return t.lease.Tick(ctx, t.last, t.lap) }); err != nil {
			return err
		}
	}
	if !t.last.IsZero() && !now.After(t.last.Add(-time.Minute)) {
		t.lap++
		t.s.record("", "", "clock_back", time.Time{}, fmt.Sprintf("by %s", t.last.Sub(now)))
	} else if t.clock.begun && now.Sub(t.last) > caughtUp*time.Minute {
		t.s.record("", "", "clock_forward", time.Time{}, fmt.Sprintf("by %s", now.Sub(t.last)))
	}
	t.last = now
	dues := t.clock.Tick(now.In(t.s.o.Location))
	for _, task := range t.inOrder() {
		t.fireDue(task, dues, now)
	}
	t.reboot = false
	if err := t.begin(ctx, runs); err != nil {
		return err
	}
	t.noteWaiting()
	err := t.withPatience(ctx, func(ctx context.Context) error { return t.lease.Tick(ctx, now, t.lap) })
	if err == nil {
		clear(t.fired)
		t.fired = t.fired[:0]
	}
	return err
}

// inOrder returns the active tasks in the order of their jobs' ids.
func (t *term) inOrder() []*task {
	tasks := make([]*task, 0, len(t.tasks))
	for _, task := range t.tasks {
		if task.job.Active && task.invalid == nil {
			tasks = append(tasks, task)
		}
	}
	slices.SortFunc(tasks, func(a, b *task) int { return int(a.job.ID - b.job.ID) })
	return tasks
}

// fireDue gives a task the runs that are due.
func (t *term) fireDue(task *task, dues []Due, now time.Time) {
	if t.reboot && task.schedule.Reboot() {
		t.fire(task, now.Truncate(time.Microsecond))
	}
	for _, due := range dues {
		if due.Runs(task.schedule) {
			t.fire(task, due.Minute)
		}
	}
	seconds, leftOut := task.everyDue(now)
	t.noteLeftOut(task, seconds, leftOut)
	room := 1 // one that is due, and one that can begin at once
	if !task.running && t.running < t.s.o.MaxRunning {
		room = 2
	}
	for _, at := range seconds {
		if task.backlog.count >= room {
			t.fired = append(t.fired, firing{task: task, at: at})
			continue
		}
		t.fire(task, at)
	}
}

// noteLeftOut records the instants before the first of dues that a job of seconds
// leaves out: each, or all in one record where they are many.
func (t *term) noteLeftOut(task *task, dues []time.Time, n int64) {
	if n == 0 {
		return
	}
	every := task.schedule.Every()
	if n > maxMissed {
		t.s.record(task.name(), "", "missed", dues[0].Add(-every), fmt.Sprintf("%d instants up to this one", n))
		return
	}
	for ; n > 0; n-- {
		t.s.record(task.name(), "", "missed", dues[0].Add(-every*time.Duration(n)), "the clock has leapt over it")
	}
}

// fire gives a task one run more that is due.
func (t *term) fire(task *task, at time.Time) {
	t.fired = append(t.fired, firing{task, at, task.backlog.push(task.schedule, at)})
}

// load brings the tasks in line with the table of jobs. Where it cannot be read,
// they stay as they are: without a database the lease is soon lost.
func (t *term) load(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	jobs, err := t.s.o.Store.Jobs(ctx)
	if err != nil {
		t.s.o.Log.Warn("cron: jobs stay as they were", "error", err)
		return
	}
	now := t.s.now()
	if !t.resumed.IsZero() {
		now, t.resumed = t.resumed, time.Time{}
	}
	seen := make(map[int64]bool, len(jobs))
	for _, job := range jobs {
		seen[job.ID] = true
		known := t.tasks[job.ID]
		if known == nil {
			known = new(task)
			t.tasks[job.ID] = known
		}
		if known.update(job, now) && known.invalid != nil {
			t.s.o.Log.Warn("cron: a job never fires", "job", known.name(), "error", known.invalid)
		}
		if !job.Active {
			t.stop(known)
		}
	}
	for id, known := range t.tasks {
		if !seen[id] {
			known.job.Active = false
			t.stop(known)
			if !known.running {
				delete(t.tasks, id)
			}
		}
	}
}

// withPatience runs a statement of the leader's, which must not take long. The end of
// ctx does not cut it short, so that what it has done is known.
func (t *term) withPatience(ctx context.Context, statement func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	return statement(ctx)
}
