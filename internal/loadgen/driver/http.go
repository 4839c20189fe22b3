package driver

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
)

// httpDefaultTimeout of one request, from its actual start.
const httpDefaultTimeout = 30 * time.Second

// httpDriver does the arrivals of an http workload: each is one request, the
// redirects it follows, and an answer that is read to its end and checked.
//
// An arrival of the sample path costs the transport and little else: a request
// that is the same for every arrival is built once, and what belongs to one
// arrival is pooled.
type httpDriver struct {
	httpStep               // the only one, or the first
	steps     []httpStep   // all of them, where there are several
	follower  httpFollower // nil for a workload that has no more to an arrival than its answer
	redirects int          // so many are followed
	gzip      bool         // answers may come so
	timeout   time.Duration
	dialer    *dialer
	to        destination
	transport transport
	run       engine.Run
	exchanges sync.Pool // of *httpExchange
	following sync.WaitGroup
	log       connectionLog

	// Counts of the measured arrivals, kept apart from the recorder's so that
	// each can be held against another.
	begun    atomic.Int64
	outcomes [httpOutcomeCount]atomic.Int64
	answers  atomic.Int64 // whole ones, redirects that were followed left out
}

// newHTTP makes the driver for a workload.
func newHTTP(of opening) (engine.Driver, error) { return openHTTP(of, nil) }

// openHTTP makes the driver of a workload's requests, whose arrivals follower, which
// may be nil, goes on with.
func openHTTP(of opening, follower httpFollower) (*httpDriver, error) {
	w := of.workload
	steps, err := newHTTPSteps(of)
	if err != nil {
		return nil, err
	}
	d := &httpDriver{
		httpStep: steps[0], steps: steps, follower: follower, redirects: w.FollowRedirects, gzip: w.Compression,
		timeout: timeoutOr(w.Timeout, httpDefaultTimeout),
		to:      destinationOf(w, steps[0].requests.base),
		log:     connectionLog{connectMetrics: connectMetrics{httpConnections, httpConnectWait, httpDNS, httpDial, httpTLS}},
	}
	d.dialer = dialerFor(w, d.timeout, "h2", "http/1.1")
	return d, nil
}

// Begin takes the run's particulars.
func (d *httpDriver) Begin(run engine.Run) error {
	d.run = run
	var err error
	d.transport, err = chooseTransport(run.Clock, d.dialer, d.to)
	return err
}

// Do does one request.
func (d *httpDriver) Do(ctx context.Context, a engine.Arrival, rec *engine.Recorder, over func(done bool)) {
	if d.measured(a) {
		d.begun.Add(1)
	}
	rec.Add(httpRequestsSent, 1)
	x, ok := d.exchanges.Get().(*httpExchange)
	if !ok {
		x = &httpExchange{driver: d}
	}
	x.begin(d.log.context(ctx, rec), d.stepOf(a), a, rec, over)
	if d.follower != nil {
		d.follower.before(a, rec)
	}
	req, err := x.step.requests.build(&d.run, a)
	if err != nil {
		d.ended(x, httpEnding{httpOutcomeNotSent, classTemplate, excerpt(err.Error())})
		return
	}
	x.send(req)
}

// measured says that a counts: it does not lie in the warm-up.
func (d *httpDriver) measured(a engine.Arrival) bool { return a.Intended >= d.run.Warmup }

// ended closes the account of x, which is not used any more.
func (d *httpDriver) ended(x *httpExchange, end httpEnding) {
	done := end.outcome == httpOutcomeSucceeded
	x.finish(end.outcome)
	x.rec.Add(end.outcome.metric(), 1)
	if !done {
		x.rec.Add(httpFailed, 1)
		if x.step.tagged {
			x.rec.Add(x.step.failed, 1)
		}
		x.rec.Error(end.class, end.example)
	}
	if d.measured(x.arrival) {
		d.outcomes[end.outcome].Add(1)
	}
	if done && x.vars != nil && x.arrival.Session != nil {
		x.arrival.Session.Keep = varsOf(x.arrival).with(x.vars)
	}
	over := x.over
	if d.follower != nil {
		d.follower.after(x, end, over)
		over = func(bool) {}
	}
	x.release()
	d.exchanges.Put(x)
	over(done)
}

// End closes the connections and notes the sums that must come out even.
func (d *httpDriver) End(rec *engine.Recorder) {
	d.following.Wait()
	d.transport.close()
	d.dialer.close()
	var ended, answered int64
	for o := range d.outcomes {
		n := d.outcomes[o].Load()
		if ended += n; httpOutcome(o).answered() {
			answered += n
		}
	}
	rec = rec.Whole()
	rec.Balance("requests = succeeded + check_failed + http_error + timeout + truncated + connection_error + unfinished + not_sent",
		d.begun.Load(), ended)
	rec.Balance("answers = succeeded + check_failed + http_error", d.answers.Load(), answered)
}
