package driver

import (
	"context"
	"net/http"
	"time"

	"github.com/valyala/fastjson"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
)

const (
	// maxChecked bounds what checks look at of a body, in bytes.
	maxChecked = 4 << 20
	// maxPooled bounds what an exchange keeps of its buffers for the next one.
	maxPooled = 64 << 10
)

// An httpExchange is one arrival of an http workload: a request, the redirects
// it follows, and the answer. It is used again, and then allocates nothing.
type httpExchange struct {
	driver  *httpDriver
	step    *httpStep
	ctx     context.Context
	arrival engine.Arrival
	rec     *engine.Recorder
	over    func(done bool)

	req       *http.Request // as sent last
	redirects int           // so many were followed
	newConn   bool          // a connection was opened for it
	ready     time.Duration // when its connection was there
	left      time.Duration // when the request had left; actual start where not known

	answer *http.Response // nil until there is one
	first  time.Duration  // the answer's first byte
	head1  receipt        // its head's last byte
	last   receipt        // its last byte
	size   int            // bytes of its body
	keep   int            // so many of them are wanted
	kept   []byte

	vars map[string]string // taken out of an answer that is right; nil without extracts

	parser  fastjson.Parser
	root    *fastjson.Value // of kept, where it was looked at
	badJSON error
}

// begin makes x ready for another arrival, keeping its buffers.
func (x *httpExchange) begin(ctx context.Context, step *httpStep, a engine.Arrival, rec *engine.Recorder, over func(bool)) {
	*x = httpExchange{driver: x.driver, step: step, kept: x.kept[:0], parser: x.parser, ctx: ctx, arrival: a, rec: rec, over: over, left: a.Started}
}

// release lets go of what the arrival held, and of buffers that an odd answer has
// made large.
func (x *httpExchange) release() {
	kept, parser := x.kept, x.parser
	if cap(kept) > maxPooled {
		kept, parser = nil, fastjson.Parser{}
	}
	*x = httpExchange{driver: x.driver, kept: kept, parser: parser}
}

// send sends req, the first or the one a redirect led to.
func (x *httpExchange) send(req *http.Request) {
	x.req = req
	x.driver.transport.start(x.ctx, req, x.arrival.Started+x.driver.timeout, x)
}

// opened takes the connection.
func (x *httpExchange) opened(c connection) {
	x.newConn = x.newConn || !c.reused
	x.ready = c.ready
}

// sent records when the request left.
func (x *httpExchange) sent(d departure) {
	x.rec.Add(httpBytesOut, max(0, x.req.ContentLength))
	if d.at == 0 {
		return
	}
	x.left = d.at
	x.record(httpSendLag, d.at-max(x.arrival.Intended, x.ready))
	if !d.kernel {
		x.rec.Add(httpUnstampedSends, 1)
	}
}

// head takes the status, and decides how much of the body is of interest.
func (x *httpExchange) head(resp *http.Response, first time.Duration, r receipt) next {
	x.answer, x.first, x.head1 = resp, first, r
	x.read(r)
	switch {
	case x.compressed(), x.step.checks.readBody, x.step.extracts.readBody:
		x.keep = maxChecked
	case !x.step.checks.statusFine(resp.StatusCode):
		x.keep = maxExample
	}
	return more
}

// body takes a piece of the body.
func (x *httpExchange) body(p []byte, r receipt) next {
	if r.read != x.last.read {
		x.read(r)
	}
	x.rec.Add(httpBytesIn, int64(len(p)))
	x.size += len(p)
	if room := x.keep - len(x.kept); room > 0 {
		x.kept = append(x.kept, p[:min(len(p), room)]...)
	}
	return more
}

// read notes a read of the socket.
func (x *httpExchange) read(r receipt) {
	x.last = r
	httpReceipts.record(x.rec, r)
}

// end follows a redirect, or closes the account.
func (x *httpExchange) end(err error) {
	if err != nil {
		x.driver.ended(x, x.broken(err))
		return
	}
	if location, ok := x.redirected(); ok {
		req, refused := x.follow(location)
		if refused == "" {
			x.again(req)
			return
		}
		x.whole()
		x.driver.ended(x, httpEnding{httpOutcomeHTTPError, classRedirect, excerpt(refused)})
		return
	}
	x.whole()
	if x.compressed() {
		if err := x.decompress(); err != nil {
			x.driver.ended(x, httpEnding{httpOutcomeCheckFailed, classEncoding, excerpt(err.Error())})
			return
		}
	}
	x.driver.ended(x, x.judge())
}

// again sends the request that a redirect led to. It may have to open a
// connection, for which nobody else is to wait.
func (x *httpExchange) again(req *http.Request) {
	x.rec.Add(httpRedirects, 1)
	x.redirects++
	x.answer, x.first, x.head1, x.last = nil, 0, receipt{}, receipt{}
	x.size, x.keep, x.kept = 0, 0, x.kept[:0]
	x.driver.following.Go(func() { x.send(req) })
}

// whole counts an answer that was read to its end.
func (x *httpExchange) whole() {
	x.rec.Add(statusMetric(x.answer.StatusCode), 1)
	if x.driver.measured(x.arrival) {
		x.driver.answers.Add(1)
	}
	if x.size > 0 && x.last.read == x.head1.read {
		x.rec.Add(httpCoalesced, 1)
		x.record(httpCoalescedBound, x.first-max(x.left, min(x.head1.after, x.first)))
	}
}

// finish records the latencies of an arrival that ended with o.
func (x *httpExchange) finish(o httpOutcome) {
	switch {
	case o == httpOutcomeSucceeded:
		latency := x.last.at - x.arrival.Intended
		x.record(httpLatency, latency)
		if x.step.tagged {
			x.record(x.step.latency, latency)
		}
		x.record(httpServiceTime, x.last.at-x.arrival.Started)
		x.record(httpTTFB, x.first-x.arrival.Started)
		if x.newConn {
			x.record(httpLatencyNew, latency)
		} else {
			x.record(httpLatencyReused, latency)
		}
	case o.answered():
		x.record(httpLatencyFailed, x.last.at-x.arrival.Intended)
	default:
		x.record(httpLatencyFailed, x.driver.run.Clock.Now()-x.arrival.Intended)
	}
}

// parsed is the body as JSON, read once at most.
func (x *httpExchange) parsed() (*fastjson.Value, error) {
	if x.root == nil && x.badJSON == nil {
		x.root, x.badJSON = x.parser.ParseBytes(x.kept)
	}
	return x.root, x.badJSON
}

// record records a time; an answer that came before its request had left took none.
func (x *httpExchange) record(m engine.MetricID, d time.Duration) { x.rec.Record(m, int64(max(0, d))) }
