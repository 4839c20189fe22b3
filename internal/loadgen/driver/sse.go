package driver

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
	"github.com/edgeload/edgeload/internal/loadgen/stream"
)

const (
	// sseDefaultTimeout of one stream, from its actual start.
	sseDefaultTimeout = 60 * time.Second
	// defaultKeep is how many connections stay open idle where the scenario sets
	// no bound of its own.
	defaultKeep = 10_000
)

// sseDriver does the arrivals of an sse workload: each is one request whose
// answer is an event stream, read to its end.
type sseDriver struct {
	request   *requestTemplate
	rows      *scenario.Rows // nil without a feed
	seed      uint64
	dialect   stream.Dialect
	timeout   time.Duration
	dialer    *dialer
	to        destination
	transport transport
	run       engine.Run
	streams   sync.Pool // of *sseStream
	scratch   stream.Scratch

	// Counts of the measured arrivals, kept apart from the recorder's so that
	// each can be held against another.
	begun     atomic.Int64
	outcomes  [outcomeCount]atomic.Int64
	chunks    atomic.Int64
	intervals atomic.Int64
	withToken atomic.Int64
}

// newSSE makes the driver for w.
func newSSE(sc *scenario.Scenario, _ string, w *scenario.Workload) (engine.Driver, error) {
	if w.Request == nil {
		return nil, fmt.Errorf("sse workload without a request")
	}
	request, err := newRequestTemplate(sc.Target, w.Request, "text/event-stream")
	if err != nil {
		return nil, err
	}
	d := &sseDriver{
		request: request,
		seed:    sc.Seed,
		dialect: dialectOf(w.Dialect),
		timeout: timeoutOr(w.Timeout, sseDefaultTimeout),
	}
	if w.Feed != nil {
		if d.rows, err = scenario.OpenFeed(sc.Dir, w.Feed, sc.Seed); err != nil {
			return nil, err
		}
	}
	keep := max(w.Load.MaxInFlight, w.Load.Users)
	if keep == 0 {
		keep = defaultKeep
	}
	d.dialer = dialerFor(w, d.timeout, "h2", "http/1.1")
	d.to = destination{base: request.base, prior: w.HTTP2 && request.base.Scheme == "http", keep: keep}
	return d, nil
}

func dialectOf(d scenario.Dialect) stream.Dialect {
	switch d {
	case scenario.DialectAnthropic:
		return stream.Anthropic
	case scenario.DialectOpenAI:
		return stream.OpenAI
	case scenario.DialectText:
		return stream.Text
	}
	return stream.Auto
}

// Begin takes the run's particulars.
func (d *sseDriver) Begin(run engine.Run) error {
	d.run = run
	var err error
	d.transport, err = openTransport(run.Clock, d.dialer, d.to)
	return err
}

// Do does one stream.
func (d *sseDriver) Do(ctx context.Context, a engine.Arrival, rec *engine.Recorder, over func(done bool)) {
	if d.measured(a) {
		d.begun.Add(1)
	}
	rec.Add(sseStreams, 1)

	s, ok := d.streams.Get().(*sseStream)
	if !ok {
		s = newSSEStream(d)
	}
	s.begin(a, rec, d.dialect, over)
	req, err := d.request.build(withConnectTimes(ctx, noteConnection(rec)), d.data(a))
	if err != nil {
		d.ended(s, ending{outcomeNotSent, classTemplate, excerpt(err.Error())})
		return
	}
	s.bodySize = req.ContentLength
	d.transport.start(req.Context(), req, a.Started+d.timeout, s)
}

// noteConnection records the set-up of connections on rec.
func noteConnection(rec *engine.Recorder) func(connectTimes) {
	return func(t connectTimes) {
		rec.Add(sseConnections, 1)
		rec.Record(sseConnectWait, int64(t.Wait))
		rec.Record(sseDial, int64(t.Dial))
		if t.DNS > 0 {
			rec.Record(sseDNS, int64(t.DNS))
		}
		if t.TLS > 0 {
			rec.Record(sseTLS, int64(t.TLS))
		}
	}
}

// measured says that a counts: it does not lie in the warm-up.
func (d *sseDriver) measured(a engine.Arrival) bool { return a.Intended >= d.run.Warmup }

// ended closes the account of s, which is not used any more.
func (d *sseDriver) ended(s *sseStream, end ending) {
	done := end.outcome == outcomeComplete
	s.finish(done)
	s.rec.Add(end.outcome.metric(), 1)
	if !done {
		s.rec.Add(sseFailed, 1)
		s.rec.Error(end.class, end.example)
	}
	if d.measured(s.arrival) {
		d.count(s, end.outcome)
	}
	over := s.ends
	d.streams.Put(s)
	over(done)
}

// count adds a measured stream to the driver's own counts.
func (d *sseDriver) count(s *sseStream, o outcome) {
	d.outcomes[o].Add(1)
	d.chunks.Add(s.chunks)
	d.intervals.Add(s.intervals)
	if s.chunks > 0 {
		d.withToken.Add(1)
	}
}

// End closes the connections and notes the sums that must come out even.
func (d *sseDriver) End(rec *engine.Recorder) {
	d.transport.close()
	d.dialer.close()
	var ended int64
	for i := range d.outcomes {
		ended += d.outcomes[i].Load()
	}
	rec = rec.Whole()
	rec.Balance("streams = complete + truncated + in_band_error + http_error + timeout + connection_error + unfinished + not_sent",
		d.begun.Load(), ended)
	rec.Balance("chunks = gaps + streams with a token", d.chunks.Load(), d.intervals.Load()+d.withToken.Load())
}

// data is what the templates see of arrival a.
func (d *sseDriver) data(a engine.Arrival) *scenario.Data {
	data := &scenario.Data{
		Seq: a.Seq, User: a.User, Workload: d.run.Workload, RunID: d.run.ID, Seed: d.seed,
	}
	if d.rows != nil {
		data.Feed = d.rows.Row(a.Seq)
	}
	return data
}
