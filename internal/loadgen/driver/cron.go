package driver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/crontab"
	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
	"github.com/edgeload/edgeload/internal/loadgen/sink"
)

// cronDefaultTimeout of the requests that make and remove the job.
const cronDefaultTimeout = 30 * time.Second

// cronMargin is how far beyond the run its book knows instants, beside the time that
// a call may be late: the job goes on, and what comes for them is not unexpected.
const cronMargin = time.Minute

// A cronDriver watches calls come for a schedule. An arrival is one instant of it: it
// begins at the instant and ends with its call, or when it is missed. Meanwhile it is
// an entry in the book, and no goroutine.
//
// What a call belongs to is cronBook's to say; which job makes the calls is the
// target's affair, or cronJob's where the scenario has the job registered.
type cronDriver struct {
	schedule  crontab.Schedule
	fromFirst bool // instants are counted from the first call
	missed    time.Duration
	takes     time.Duration
	drain     time.Duration
	named     *namedInstant // nil: a call names no instant
	job       *cronJob
	sink      *sink.Sink

	run      engine.Run
	mark     uint64
	first    chan time.Time // the first call before the run
	prepared bool
	remove   func() // the handler from the sink
	cronCounts

	mu    sync.RWMutex // held by each call, and to change what follows
	book  *cronBook    // nil before the run
	ended bool         // calls are not taken any more

	stop     chan struct{}
	sweeping sync.WaitGroup
}

// newCron makes the driver for a workload.
func newCron(of opening) (engine.Driver, error) { return openCron(of) }

func openCron(of opening) (*cronDriver, error) {
	j := of.workload.Cron
	if j == nil {
		return nil, errors.New("cron workload without cron")
	}
	schedule, err := j.Parse()
	if err != nil {
		return nil, fmt.Errorf("schedule: %w", err)
	}
	d := &cronDriver{
		schedule: schedule, fromFirst: j.Anchor == scenario.AnchorFirst && schedule.Seconds() > 0,
		missed: time.Duration(j.Missed), takes: time.Duration(j.Takes), drain: time.Duration(of.scenario.Drain),
		named: newNamedInstant(j.Scheduled), sink: of.sink,
		first: make(chan time.Time, 1), stop: make(chan struct{}),
	}
	if d.missed <= 0 {
		return nil, fmt.Errorf("missed is %s: want a time above 0", d.missed)
	}
	d.job, err = newCronJob(of, timeoutOr(of.workload.Timeout, cronDefaultTimeout))
	return d, err
}

// Prepare listens, registers the job, and waits for the first call where the instants
// are counted from it; where none comes in time, they are counted from now.
func (d *cronDriver) Prepare(ctx context.Context, run engine.Run) error {
	if d.sink == nil {
		return errors.New("a cron workload needs the sink to listen at")
	}
	d.run, d.mark = run, scenario.RunMark(run.ID, run.Workload)
	var err error
	if d.remove, err = d.sink.Handle(run.Workload, d); err != nil {
		return err
	}
	d.prepared = true
	if err = d.job.make(ctx, d.job.data(run)); err == nil && d.fromFirst {
		err = d.awaitFirst(ctx)
	}
	if err != nil {
		return errors.Join(err, d.undo())
	}
	return nil
}

// awaitFirst waits for the first call, which the others are counted from.
func (d *cronDriver) awaitFirst(ctx context.Context) error {
	timer := time.NewTimer(d.schedule.Seconds() + d.missed)
	defer timer.Stop()
	select {
	case at := <-d.first:
		d.schedule = d.schedule.From(at)
	case <-timer.C:
		d.schedule = d.schedule.From(time.Now())
	case <-ctx.Done():
		return fmt.Errorf("wait for the first call: %w", context.Cause(ctx))
	}
	return nil
}

// Begin names the instants of the run. It is an error where there are none.
func (d *cronDriver) Begin(run engine.Run) error {
	if !d.prepared {
		if err := d.Prepare(context.Background(), run); err != nil {
			return err
		}
	}
	start, margin := run.Clock.Time(0), d.missed+cronMargin
	var instants []time.Duration
	own := false
	for _, at := range d.schedule.Between(start.Add(-margin), start.Add(run.End+d.drain+margin)) {
		t := run.Clock.FromUnix(at.UnixNano())
		instants = append(instants, t)
		own = own || t >= 0 && t < run.End
	}
	if !own {
		err := fmt.Errorf("no instant of the schedule comes in the %s of the run%s", run.End, d.nextAfter(start))
		return errors.Join(err, d.undo())
	}
	d.mu.Lock()
	d.run = run
	d.book = newCronBook(run, instants, d.missed, d.takes)
	d.mu.Unlock()
	d.sweeping.Go(d.sweep)
	return nil
}

// nextAfter names the next instant in an error.
func (d *cronDriver) nextAfter(start time.Time) string {
	next, ok := d.schedule.Next(start)
	if !ok {
		return ": it has none at all"
	}
	return fmt.Sprintf("; the next is %s", next.Format(time.RFC3339))
}

// Schedule are the run's instants.
func (d *cronDriver) Schedule() engine.Schedule {
	return &cronTimes{book: d.book, next: d.book.from}
}

// cronTimes yields the instants of a book that are the run's.
type cronTimes struct {
	book *cronBook
	next int
}

// Next implements engine.Schedule.
func (s *cronTimes) Next() (time.Duration, bool) {
	if s.next >= s.book.to {
		return 0, false
	}
	s.next++
	return s.book.instants[s.next-1].at, true
}

// Do lets the instant wait for its call.
func (d *cronDriver) Do(ctx context.Context, a engine.Arrival, rec *engine.Recorder, over func(done bool)) {
	d.book.wait(ctx, a.Seq, rec, over)
}

// sweep gives up the instants whose time has passed.
func (d *cronDriver) sweep() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-d.stop:
			return
		}
		now := d.run.Clock.Now()
		next, more := d.book.expire(now)
		if !more {
			return
		}
		timer.Reset(next - now)
	}
}

// End removes the job and closes the book.
func (d *cronDriver) End(rec *engine.Recorder) {
	rec = rec.Whole()
	now := d.run.Clock.Now()
	if err := d.undo(); err != nil {
		rec.Error("job not removed", excerpt(err.Error()))
	}
	close(d.stop)
	d.sweeping.Wait()
	d.mu.Lock()
	d.ended = true
	d.mu.Unlock()
	rec.Add(cronForeign, d.foreign.Load())
	rec.Add(cronUnstamped, d.unstamped.Load())
	if d.book != nil {
		d.book.close(rec, now, d.received.Load(), d.before.Load())
	}
}

// undo removes the job, and then listens no more.
func (d *cronDriver) undo() error {
	if !d.prepared {
		return nil
	}
	d.prepared = false
	err := d.job.unmake(d.job.data(d.run))
	d.remove()
	d.job.close()
	return err
}
