package driver

import (
	"context"
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
	// sseGather is how long events of many busy streams may wait to be read
	// together. They are timed by the kernel; those of one stream that share a
	// read for it are counted as coalesced.
	sseGather = 2 * time.Millisecond
)

// eventStream is the media type of an answer that is one.
const eventStream = "text/event-stream"

// sseDriver does the arrivals of an sse workload: each is one request whose
// answer is an event stream, read to its end.
type sseDriver struct {
	requests  *requests
	log       connectionLog
	dialect   stream.Dialect
	timeout   time.Duration
	dialer    *dialer
	to        destination
	transport transport
	clients   clients
	slow      *slowReaders // nil where nobody reads slowly
	run       engine.Run
	streams   sync.Pool // of *sseStream
	resuming  sync.WaitGroup
	scratch   stream.Scratch

	// Counts of the measured arrivals, kept apart from the recorder's so that
	// each can be held against another.
	begun     atomic.Int64
	outcomes  [outcomeCount]atomic.Int64
	chunks    atomic.Int64
	intervals atomic.Int64
	bridged   atomic.Int64
	withToken atomic.Int64
}

// newSSE makes the driver for a workload.
func newSSE(of opening) (engine.Driver, error) {
	sc, w := of.scenario, of.workload
	requests, err := newRequests(of, eventStream)
	if err != nil {
		return nil, err
	}
	d := &sseDriver{
		requests: requests,
		dialect:  dialectOf(w.Dialect),
		timeout:  timeoutOr(w.Timeout, sseDefaultTimeout),
		clients:  newClients(of),
		to:       destinationOf(w, requests.base),
		log:      connectionLog{connectMetrics: connectMetrics{sseConnections, sseConnectWait, sseDNS, sseDial, sseTLS}},
	}
	d.to.gather = sseGather
	for _, other := range sc.Workloads {
		if other.Protocol == scenario.SSE {
			d.to.gatherers++
		}
	}
	d.dialer = dialerFor(w, d.timeout, "h2", "http/1.1")
	if w.Slow != nil {
		d.slow = newSlowReaders(w, d.timeout)
	}
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
	d.transport, err = chooseTransport(run.Clock, d.dialer, d.to)
	if d.slow != nil {
		d.slow.begin(run.Clock, d.to)
	}
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
	s.begin(d.log.context(ctx, rec), a, rec, d.dialect, over)
	s.keeps = d.requests.keeps && a.Session != nil
	req, err := d.requests.build(&d.run, a)
	if err != nil {
		d.ended(s, ending{outcomeNotSent, classTemplate, excerpt(err.Error())})
		return
	}
	s.bodySize = req.ContentLength
	s.send(req)
}

// measured says that a counts: it does not lie in the warm-up.
func (d *sseDriver) measured(a engine.Arrival) bool { return a.Intended >= d.run.Warmup }

// ended closes the account of s, which is not used any more.
func (d *sseDriver) ended(s *sseStream, end ending) {
	s.finish(end.outcome)
	s.account.Add(end.outcome.metric(), 1)
	if !end.outcome.fine() {
		s.account.Add(sseFailed, 1)
		s.account.Error(end.class, end.example)
	}
	if d.measured(s.arrival) {
		d.count(s, end.outcome)
	}
	if s.keeps && end.outcome == outcomeComplete {
		s.rec.Add(sseForgotten, int64(d.requests.remember(&d.run, s.arrival, s.answer)))
		if cap(s.answer) > maxPooled {
			s.answer = nil
		}
	}
	over := s.ends
	s.release()
	d.streams.Put(s)
	over(end.outcome.fine())
}

// count adds a measured stream to the driver's own counts.
func (d *sseDriver) count(s *sseStream, o outcome) {
	d.outcomes[o].Add(1)
	d.chunks.Add(s.chunks)
	d.intervals.Add(s.intervals)
	d.bridged.Add(s.bridged)
	if s.chunks > 0 {
		d.withToken.Add(1)
	}
}

// End closes the connections and notes the sums that must come out even.
func (d *sseDriver) End(rec *engine.Recorder) {
	d.resuming.Wait()
	d.transport.close()
	d.dialer.close()
	if d.slow != nil {
		d.slow.close()
	}
	var ended int64
	for i := range d.outcomes {
		ended += d.outcomes[i].Load()
	}
	rec = rec.Whole()
	rec.Balance("streams = complete + truncated + in_band_error + http_error + timeout + connection_error + unfinished + not_sent + left",
		d.begun.Load(), ended)
	rec.Balance("chunks = gaps + gaps over a resume + streams with a token", d.chunks.Load(), d.intervals.Load()+d.bridged.Load()+d.withToken.Load())
}
