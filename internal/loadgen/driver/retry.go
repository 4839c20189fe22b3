package driver

import (
	"fmt"
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/backoff"
	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
	"github.com/edgeload/edgeload/internal/loadgen/sink"
)

// Classes of what a retry workload finds of all waits together.
const (
	classJitter    = "waits without their jitter"
	classMisfit    = "waits unlike the policy's"
	classUnrelated = "call of no request"
	classOutage    = "not recovered from the outage"
)

// retryDriver does the arrivals of a retry workload: each is one request to the
// target, whose upstream is the sink. The driver is that upstream: it answers by the
// scenario's script, and watches what comes.
type retryDriver struct {
	*httpDriver
	workload   *scenario.Workload
	name       string
	sink       *sink.Sink
	drain      time.Duration
	policy     *retryPolicy
	script     *sink.Script
	correlator *correlator

	mark   uint64
	table  *retryTable
	times  *timeline
	remove func() // the handler

	newest atomic.Int64 // number of the latest arrival that was begun; -1 before

	// Counts of the whole run, warm-up included, each taken in its own place.
	calls, ofRequests, late, strangers atomic.Int64
	endings                            [retryEndingCount]atomic.Int64 // of measured requests
}

// newRetry makes the driver for a workload.
func newRetry(of opening) (engine.Driver, error) {
	w := of.workload
	if w.Upstream == nil {
		return nil, fmt.Errorf("%s workload without an upstream", w.Protocol)
	}
	d := &retryDriver{
		workload: w, name: of.name, sink: of.sink, drain: time.Duration(of.scenario.Drain),
		table: newRetryTable(), remove: func() {},
	}
	var err error
	if d.policy, err = newRetryPolicy(w.Policy); err != nil {
		return nil, err
	}
	if d.correlator, err = newCorrelator(w.Upstream.Correlate); err != nil {
		return nil, err
	}
	d.script = sink.NewScript(w.Upstream, of.scenario.Seed)
	if d.httpDriver, err = openHTTP(of, d); err != nil {
		return nil, err
	}
	d.newest.Store(-1)
	return d, nil
}

// Begin makes the driver the upstream at the workload's name.
func (d *retryDriver) Begin(run engine.Run) error {
	if d.sink == nil {
		return fmt.Errorf("protocol %s needs the sink, which is not open", scenario.Retry)
	}
	if err := d.httpDriver.Begin(run); err != nil {
		return err
	}
	d.ready(run)
	remove, err := d.sink.Handle(d.name, d)
	if err != nil {
		d.transport.close()
		d.dialer.close()
		return err
	}
	d.remove = remove
	return nil
}

// ready takes what attempts are known and counted by.
func (d *retryDriver) ready(run engine.Run) {
	d.run = run
	d.mark = scenario.RunMark(run.ID, run.Workload)
	d.times = newTimeline(run.End - run.Warmup + d.drain)
}

// before makes a request known before anyone can call for it.
func (d *retryDriver) before(a engine.Arrival, rec *engine.Recorder) {
	counts := d.measured(a)
	if counts {
		d.times.add(d.times.offered, a.Intended-d.run.Warmup)
	}
	d.table.put(a.Seq, func(l *logical) { l.begin(a.Seq, rec, counts) })
	for newest := d.newest.Load(); newest < int64(a.Seq) && !d.newest.CompareAndSwap(newest, int64(a.Seq)); {
		newest = d.newest.Load()
	}
}

// after closes the account of a request. What comes of it later is late.
func (d *retryDriver) after(x *httpExchange, end httpEnding, over func(done bool)) {
	answered := time.Duration(-1)
	if end.outcome.answered() {
		answered = x.last.at
	}
	l := d.table.take(x.arrival.Seq)
	how, attempts, free := l.close(d.policy, end.outcome, answered)
	d.ofRequests.Add(int64(attempts))
	if d.measured(x.arrival) {
		d.endings[how].Add(1)
		if end.outcome == httpOutcomeSucceeded {
			d.times.add(d.times.succeeded, x.arrival.Intended-d.run.Warmup)
		}
	}
	if free {
		d.table.pool.Put(l)
	}
	over(end.outcome == httpOutcomeSucceeded)
}

// Serve answers an attempt by the script.
func (d *retryDriver) Serve(c *sink.Call) sink.Answer {
	d.calls.Add(1)
	at, elapsed := d.run.Clock.Since(c.First), d.run.Clock.Since(c.Whole)-d.run.Warmup
	seq, known := d.requestOf(c)
	if !known {
		return d.script.Answer(0, uint64(d.strangers.Add(1)), elapsed)
	}
	l := d.table.find(seq)
	if l == nil {
		d.late.Add(1)
		return d.script.Answer(d.policy.attempts, drawOf(seq, d.policy.attempts), elapsed)
	}
	nth, under := l.arrive(d.policy, seq, at)
	if !under {
		d.late.Add(1)
		return d.script.Answer(d.policy.attempts, drawOf(seq, d.policy.attempts), elapsed)
	}
	if l.counts {
		d.times.add(d.times.attempts, at-d.run.Warmup)
		if nth > 0 {
			d.times.retry(at - d.run.Warmup)
		}
	}
	a := d.script.Answer(nth, drawOf(seq, nth), elapsed)
	l.answered(seq, nth, d.policy.again(a.Status), askedBy(a))
	a.Leaves = func(at time.Time, gone bool) {
		if l.left(d.policy, seq, nth, d.run.Clock.Since(at), gone) {
			d.table.pool.Put(l)
		}
	}
	return punctual(d.run, a)
}

// requestOf is the number of the request that a call names; false where it names none
// that was begun in this run.
func (d *retryDriver) requestOf(c *sink.Call) (seq uint64, ok bool) {
	h := d.correlator.hear(c)
	defer d.correlator.release(h)
	seq, ok = d.correlator.arrival(h, d.mark)
	return seq, ok && seq <= math.MaxInt64 && int64(seq) <= d.newest.Load()
}

// drawOf is the draw of an attempt: its reply is the same in every run of a seed,
// whatever else is under way.
func drawOf(seq uint64, nth int) uint64 { return seq<<8 | uint64(min(nth, 255)) }

// askedBy is how long an answer asks to wait; 0 where it does not.
func askedBy(a sink.Answer) time.Duration {
	seconds, err := strconv.Atoi(a.Header.Get("Retry-After"))
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// End stops being the upstream and concludes.
func (d *retryDriver) End(rec *engine.Recorder) {
	d.remove()
	d.httpDriver.End(rec)
	d.conclude(rec.Whole())
}

// conclude notes what all requests came to, and the sums that must come out even.
func (d *retryDriver) conclude(rec *engine.Recorder) {
	rec.Add(retryAfterAnswer, d.late.Load())
	rec.Add(retryViolations, d.late.Load())
	if n := d.strangers.Load(); n > 0 {
		rec.Add(retryStrangers, n)
		rec.Errors(classUnrelated, n, "calls to the upstream name no request of this run: does the target hand on what upstream.correlate looks for?")
	}
	var ended int64
	for i := range d.endings {
		ended += d.endings[i].Load()
	}
	rec.Balance("requests = resolved + given_up + left_open + unattempted + cut", d.begun.Load(), ended)
	rec.Balance("calls at the sink = attempts of requests + attempts after the answer + strangers, warm-up included",
		d.calls.Load(), d.ofRequests.Load()+d.late.Load()+d.strangers.Load())
	d.judgeWaits(rec)
	d.judgeHerd(rec)
	if o := d.workload.Upstream.Outage; o != nil {
		d.judgeOutage(rec, time.Duration(o.From), time.Duration(o.From+o.For))
	}
}

// judgeWaits tests whether all waits together are as the policy says.
func (d *retryDriver) judgeWaits(rec *engine.Recorder) {
	slack := d.policy.slack()
	v := backoff.Judge(d.policy.sample.taken(), slack)
	rec.Add(retryWaitsTested, int64(v.Tested))
	if !v.Enough() {
		return
	}
	rec.Set(retryJitterP, v.CrowdedP)
	rec.Set(retryMisfitP, v.MisplacedP)
	if v.Crowds() {
		rec.Add(retryJitterMissing, 1)
		rec.Add(retryViolations, 1)
		rec.Error(classJitter, fmt.Sprintf("of %d waits %.0f %% lie within a tenth of the range that %s backoff spreads them over", v.Tested, 100*v.Crowded, d.policy.Rule))
	}
	if v.Misfits() {
		rec.Add(retryMisfit, 1)
		rec.Add(retryViolations, 1)
		rec.Error(classMisfit, fmt.Sprintf("of %d waits %.0f %% lie elsewhere than by %s backoff, %v of delay allowed for", v.Tested, 100*v.Misplaced, d.policy.Rule, slack.Round(100*time.Microsecond)))
	}
}

// judgeHerd notes how retries bunch.
func (d *retryDriver) judgeHerd(rec *engine.Recorder) {
	h := d.times.herd()
	rec.Add(retryBinned, h.retries)
	rec.Add(retryUnbinned, d.times.beyond.Load())
	if h.retries > 0 {
		mean := float64(h.retries) / float64(h.bins)
		rec.Set(retryHerd, float64(h.peak)/mean)
		rec.Set(retryHerdPoisson, h.random()/mean)
	}
}

// judgeOutage notes what followed an outage from one instant of the measured part to
// another.
func (d *retryDriver) judgeOutage(rec *engine.Recorder, from, to time.Duration) {
	measured := d.run.End - d.run.Warmup
	if took, ok := d.times.recovered(to, measured); ok {
		rec.Set(retryRecovery, float64(took))
	} else {
		rec.Add(retryUnrecovered, 1)
		rec.Error(classOutage, fmt.Sprintf("no second of the %v behind the outage had 99 %% of its requests succeed", max(0, measured-to)))
	}
	bins := int64(from / retryBin)
	if offered := sum(d.times.offered, 0, int(bins)); offered > 0 {
		before := float64(offered) * float64(binsPerSecond) / float64(bins) // a second
		rec.Set(retryRebound, float64(d.times.busiest(to))/before)
	}
}
