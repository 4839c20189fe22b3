package driver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// backgroundDeadline of a job, from its acknowledgement.
const backgroundDeadline = 30 * time.Second

// ackWaitLeast is how long the work of a job has gone on, at the least, while the
// caller waited for an answer that is said to have waited for it: what is done sooner
// may be done before any answer can come.
const ackWaitLeast = 10 * time.Millisecond

// settle is how long a call may be on its way within this process: so much later a
// job is judged as lost, and so much longer than the last arrival a run listens.
const settle = 250 * time.Millisecond

// A background drives requests that leave work behind. An arrival is a request, which
// is all an http workload's is, and the job that its acknowledgement promised. It has
// ended when the job has: done, failed, lost because its deadline passed, or cut at
// the drain's end. A request that is not acknowledged ends the arrival; that its job
// was done all the same is counted.
//
// How it learns of a job is a call to the sink, which it is the handler of, or a poll.
// The instant of a completion is when the first byte of that call came, or of the
// first answer that says so.
type background struct {
	*httpDriver
	of       opening
	deadline time.Duration
	failed   *httpCheck  // of a call or answer; nil: none
	calls    *correlator // nil where polled
	polls    *poller     // nil where called
	mark     uint64      // of the arrivals' IDs
	names    names       // where a call does not name the arrival by its ID

	jobs   jobTable
	acks   ackSamples
	whole  atomic.Pointer[engine.Recorder] // for what is no longer an arrival's; nil before the first
	remove func()                          // takes the handler away
	stop   context.CancelFunc              // ends what goes on beside the arrivals
	beside sync.WaitGroup                  // that

	watched sync.Map       // context.Context → the func() bool that leaves it
	cutting sync.WaitGroup // those that are watched

	books backgroundBooks
}

// newBackground makes the driver for a workload.
func newBackground(of opening) (engine.Driver, error) {
	job := of.workload.Job
	if job == nil {
		return nil, errors.New("background workload without a job")
	}
	d := &background{of: of, deadline: timeoutOr(job.Deadline, backgroundDeadline)}
	var err error
	if d.httpDriver, err = openHTTP(of, d); err != nil {
		return nil, err
	}
	if job.Failed != nil {
		checks, err := newHTTPChecks([]scenario.Check{*job.Failed})
		if err != nil {
			return nil, fmt.Errorf("job: failed: %w", err)
		}
		d.failed = &checks.all[0]
	}
	if job.Poll != nil {
		d.polls, err = newPoller(d, job.Poll)
	} else {
		d.calls, err = newCorrelator(job.Callback)
	}
	return d, err
}

// Begin begins to listen, or to poll.
func (d *background) Begin(run engine.Run) error {
	d.mark = scenario.RunMark(run.ID, run.Workload)
	d.jobs.open()
	d.acks.open()
	if d.calls != nil {
		if d.of.sink == nil {
			return errors.New("background: there is no sink that the target could call")
		}
		d.names.open()
		var err error
		if d.remove, err = d.of.sink.Handle(run.Workload, d); err != nil {
			return fmt.Errorf("background: %w", err)
		}
	}
	if err := d.httpDriver.Begin(run); err != nil {
		d.unlisten()
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	d.stop = stop
	if d.polls != nil {
		if err := d.polls.begin(ctx, run); err != nil {
			stop()
			d.transport.close()
			d.dialer.close()
			return err
		}
	}
	d.beside.Go(func() { d.keep(ctx) })
	return nil
}

// unlisten takes the handler away, and waits for the calls that it is about.
func (d *background) unlisten() {
	if d.remove != nil {
		d.remove()
	}
}

// before takes the job in that the request may leave behind.
func (d *background) before(a engine.Arrival, rec *engine.Recorder) {
	if d.whole.Load() == nil {
		d.whole.CompareAndSwap(nil, rec.Whole())
	}
	pending := d.jobs.pending.Load()
	rec.Record(backgroundPending, pending)
	d.jobs.add(a, rec, pending, d.measured(a))
	if d.calls != nil && d.calls.id != nil && !d.calls.late {
		d.claim(a, rec, nil)
	}
}

// after takes the acknowledgement, or that there is none.
func (d *background) after(x *httpExchange, end httpEnding, over func(done bool)) {
	a, rec, ctx, vars := x.arrival, x.rec, x.ctx, x.vars
	if end.outcome != httpOutcomeSucceeded {
		if d.jobs.refuse(a.Seq) { // it was done by then
			rec.Add(backgroundUnacknowledged, 1)
		}
		over(false)
		return
	}
	rec.Add(backgroundAcknowledged, 1)
	if d.measured(a) {
		d.books.acknowledged.Add(1)
	}
	took := x.last.at - a.Started
	j, pending := d.jobs.acknowledge(a.Seq, acknowledgement{first: x.first, at: x.last.at, ctx: ctx, vars: vars, over: over})
	if d.measured(a) {
		d.acks.add(pending, took)
	}
	if j != nil {
		d.finish(j, j.heard)
		return
	}
	if d.calls != nil && d.calls.late {
		d.claim(a, rec, vars)
	}
	d.watch(ctx)
	if d.polls != nil {
		d.polls.soon(a.Seq)
	}
}

// claim takes what the target calls the job of a, and the calls that came before it
// was known.
func (d *background) claim(a engine.Arrival, rec *engine.Recorder, vars map[string]string) {
	key, err := d.calls.key(d.requests.dataBehind(&d.run, a, vars))
	if err != nil || key == "" {
		rec.Error(classTemplate, excerpt(fmt.Sprintf("the job's id %q: %v", key, err)))
		return
	}
	earlier, repeated := d.names.claim(key, a.Seq)
	if repeated {
		rec.Error(classRepeatedID, excerpt(key))
	}
	for range earlier.calls {
		d.called(a.Seq, earlier.hearing)
	}
}

// finish closes the account of j, which is in the table no more, by what was heard of
// it, and ends its arrival.
func (d *background) finish(j *job, heard hearing) {
	rec, took := j.rec, heard.at-j.ack.at
	done := false
	end := &d.books.completed
	switch {
	case took > d.deadline:
		end = &d.books.lost
		d.lose(j)
		if !heard.failed {
			rec.Add(backgroundLate, 1)
		}
	case heard.failed:
		end = &d.books.failed
		rec.Add(backgroundFailed, 1)
		rec.Error(classJobFailed, heard.example)
	default:
		done = true
		rec.Add(backgroundCompleted, 1)
		rec.Record(backgroundCompletion, int64(max(0, heard.at-j.arrival.Intended)))
		rec.Record(backgroundFromAck, int64(max(0, took)))
		if heard.polled {
			rec.Record(backgroundResolution, int64(heard.resolution))
		}
	}
	if took < 0 {
		rec.Add(backgroundBeforeAck, 1)
	}
	if d.waited(j, heard) {
		rec.Add(backgroundAckWaited, 1)
	}
	d.close(j, end, done)
}

// waited says that the answer came when the job was done: the caller waited for both.
// A poll cannot know of a completion before the answer, so there it is that the job was
// done when it was first asked about.
func (d *background) waited(j *job, heard hearing) bool {
	if heard.polled {
		return heard.questions == 1 && j.ack.first-j.arrival.Started >= ackWaitLeast
	}
	return heard.at <= j.ack.first && heard.at-j.arrival.Started >= ackWaitLeast
}

// lose records that a job was lost.
func (d *background) lose(j *job) {
	j.rec.Add(backgroundLost, 1)
	j.rec.Error(classLost, fmt.Sprintf("job %s: acknowledged, and not done within %s", scenario.ArrivalID(d.mark, j.arrival.Seq), d.deadline))
}

// close counts how j ended and ends its arrival.
func (d *background) close(j *job, end *atomic.Int64, done bool) {
	if d.measured(j.arrival) {
		end.Add(1)
	}
	over := j.ack.over
	d.jobs.release(j)
	over(done)
}

// End waits for calls on their way, ends what goes on, and notes the sums that must
// come out even.
func (d *background) End(rec *engine.Recorder) {
	if d.whole.Load() != nil && d.calls != nil {
		<-time.NewTimer(settle).C // for what is done twice
	}
	d.unlisten()
	d.stop()
	d.beside.Wait()
	d.leave()
	if d.polls != nil {
		d.polls.end()
	}
	d.httpDriver.End(rec)
	rec = rec.Whole()
	d.acks.split(rec)
	b := &d.books
	b.strangers.Add(d.names.unclaimed())
	rec.Add(backgroundStrangers, b.strangers.Load())
	rec.Add(backgroundOverflow, d.names.overflow.Load())
	rec.Balance("acknowledged = completed + jobs_failed + lost + jobs_unfinished",
		b.acknowledged.Load(), b.completed.Load()+b.failed.Load()+b.lost.Load()+b.unfinished.Load())
	if d.calls != nil {
		rec.Balance("calls = first completions + duplicates + strangers, warm-up included",
			b.calls.Load(), b.firsts.Load()+b.duplicates.Load()+b.strangers.Load())
	}
}

// backgroundBooks are counts kept apart from the recorder's, so that each can be held
// against another.
type backgroundBooks struct {
	acknowledged                        atomic.Int64 // of the measured part, as the four that follow
	completed, failed, lost, unfinished atomic.Int64
	calls, firsts, duplicates           atomic.Int64 // of the whole run
	strangers                           atomic.Int64
}
