package driver

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
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
	requests  *httpRequests
	checks    httpChecks
	redirects int // so many are followed
	timeout   time.Duration
	dialer    *dialer
	prior     bool // HTTP/2 by prior knowledge
	keep      int  // connections kept open idle
	transport transport
	run       engine.Run
	exchanges sync.Pool // of *httpExchange
	noting    sync.Map  // *engine.Recorder → *notingContext

	// Counts of the measured arrivals, kept apart from the recorder's so that
	// each can be held against another.
	begun    atomic.Int64
	outcomes [httpOutcomeCount]atomic.Int64
	answers  atomic.Int64 // whole ones, redirects that were followed left out
}

// newHTTP makes the driver for w.
func newHTTP(sc *scenario.Scenario, _ string, w *scenario.Workload) (engine.Driver, error) {
	requests, err := newHTTPRequests(sc, w)
	if err != nil {
		return nil, err
	}
	checks, err := newHTTPChecks(w.Checks)
	if err != nil {
		return nil, err
	}
	d := &httpDriver{
		requests: requests, checks: checks, redirects: w.FollowRedirects,
		timeout: timeoutOr(w.Timeout, httpDefaultTimeout),
		keep:    max(w.Load.MaxInFlight, w.Load.Users),
		prior:   w.HTTP2 && requests.base.Scheme == "http",
	}
	if d.keep == 0 {
		d.keep = defaultKeep
	}
	d.dialer = dialerFor(w, d.timeout, "h2", "http/1.1")
	return d, nil
}

// Begin takes the run's particulars.
func (d *httpDriver) Begin(run engine.Run) error {
	d.run = run
	d.transport = newNetHTTP(run.Clock, newTransport(d.dialer, d.prior, d.keep))
	return nil
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
	x.begin(d.notingConnections(ctx, rec), a, rec, over)
	req, err := d.requests.build(&d.run, a)
	if err != nil {
		d.ended(x, httpEnding{httpOutcomeNotSent, classTemplate, excerpt(err.Error())})
		return
	}
	x.send(req)
}

// measured says that a counts: it does not lie in the warm-up.
func (d *httpDriver) measured(a engine.Arrival) bool { return a.Intended >= d.run.Warmup }

// A notingContext is a context whose connections are recorded, and what it was
// made of.
type notingContext struct {
	context.Context
	parent context.Context
}

// notingConnections returns ctx with the set-up of connections recorded on rec.
// There are few recorders, and a run has one context.
func (d *httpDriver) notingConnections(ctx context.Context, rec *engine.Recorder) context.Context {
	if known, ok := d.noting.Load(rec); ok {
		if n, ok := known.(*notingContext); ok && n.parent == ctx {
			return n
		}
	}
	n := &notingContext{parent: ctx, Context: withConnectTimes(ctx, func(t connectTimes) {
		rec.Add(httpConnections, 1)
		rec.Record(httpConnectWait, int64(t.Wait))
		rec.Record(httpDial, int64(t.Dial))
		if t.DNS > 0 {
			rec.Record(httpDNS, int64(t.DNS))
		}
		if t.TLS > 0 {
			rec.Record(httpTLS, int64(t.TLS))
		}
	})}
	d.noting.Store(rec, n)
	return n
}

// ended closes the account of x, which is not used any more.
func (d *httpDriver) ended(x *httpExchange, end httpEnding) {
	done := end.outcome == httpOutcomeSucceeded
	x.finish(end.outcome)
	x.rec.Add(end.outcome.metric(), 1)
	if !done {
		x.rec.Add(httpFailed, 1)
		x.rec.Error(end.class, end.example)
	}
	if d.measured(x.arrival) {
		d.outcomes[end.outcome].Add(1)
	}
	over := x.over
	x.release()
	d.exchanges.Put(x)
	over(done)
}

// End closes the connections and notes the sums that must come out even.
func (d *httpDriver) End(rec *engine.Recorder) {
	d.dialer.close()
	d.transport.close()
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
