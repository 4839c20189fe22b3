package driver

import (
	"cmp"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
	"github.com/edgeload/edgeload/internal/loadgen/sink"
)

// retryBase is the base of the waits in these tests.
const retryBase = 20 * ms

// A retryTarget is a server that calls its upstream, and tries again.
type retryTarget struct {
	attempts int // 0: so many that no run sees the end
	// wait before retry n, from 0, given the one before.
	wait func(rng *rand.Rand, n int, before time.Duration) time.Duration
	// again says what is tried again; status 0 is an error.
	again   func(status int) bool
	heeds   bool          // Retry-After
	timeout time.Duration // of an attempt
	early   bool          // answers before the first attempt, and goes on
	twice   bool          // makes each attempt twice at once
}

// An attempter makes one attempt and returns its status, 0 without one, and for how
// long a Retry-After asks.
type attempter func(ctx context.Context) (status int, asked time.Duration)

func between(rng *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(rng.Float64()*float64(high-low))
}

// by returns a target that keeps to a rule, with three attempts and a cap that no wait
// reaches.
func by(rule scenario.Backoff) retryTarget { return waiting(rule, retryBase) }

// waiting is by with another base.
func waiting(rule scenario.Backoff, base time.Duration) retryTarget {
	waits := map[scenario.Backoff]func(*rand.Rand, int, time.Duration) time.Duration{
		scenario.BackoffGuide: func(rng *rand.Rand, n int, _ time.Duration) time.Duration {
			return base<<n + between(rng, 0, base)
		},
		scenario.BackoffFull: func(rng *rand.Rand, n int, _ time.Duration) time.Duration { return between(rng, 0, base<<n) },
		scenario.BackoffEqual: func(rng *rand.Rand, n int, _ time.Duration) time.Duration {
			return between(rng, base<<n/2, base<<n)
		},
		scenario.BackoffDecorrelated: func(rng *rand.Rand, _ int, before time.Duration) time.Duration {
			return between(rng, base, 3*max(before, base))
		},
		scenario.BackoffExponential: func(_ *rand.Rand, n int, _ time.Duration) time.Duration { return base << n },
		scenario.BackoffConstant:    func(*rand.Rand, int, time.Duration) time.Duration { return base },
	}
	t := retryTarget{attempts: 3, wait: waits[rule], again: func(status int) bool { return status == 0 || status >= 500 || status == 429 }}
	if rule == scenario.BackoffNone {
		t.attempts = 1
	}
	return t
}

// call makes the attempts of one request and returns the last status.
func (rt retryTarget) call(ctx context.Context, rng *rand.Rand, attempt attempter) (status int) {
	var before time.Duration
	for n := 0; ; n++ {
		status, asked := rt.attempt(ctx, attempt)
		if !rt.again(status) || n+1 == cmp.Or(rt.attempts, 50) || ctx.Err() != nil {
			return status
		}
		before = rt.wait(rng, n, before)
		wait := before
		if rt.heeds {
			wait = max(wait, asked)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return status
		}
	}
}

func (rt retryTarget) attempt(ctx context.Context, attempt attempter) (status int, asked time.Duration) {
	if rt.timeout > 0 {
		var cancel func()
		ctx, cancel = context.WithTimeout(ctx, rt.timeout)
		defer cancel()
	}
	if rt.twice {
		var twin sync.WaitGroup
		defer twin.Wait()
		twin.Go(func() { _, _ = attempt(ctx) })
	}
	return attempt(ctx)
}

// serve is the target as an HTTP server, which calls what X-Upstream says.
func (rt retryTarget) serve(client *http.Client) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // before that the server does not see its client go
		seq, _ := strconv.ParseUint(r.Header.Get("X-Seq"), 10, 64)
		status := rt.call(r.Context(), rand.New(rand.NewPCG(seq, 7)), func(ctx context.Context) (int, time.Duration) {
			up, err := http.NewRequestWithContext(ctx, http.MethodPost, r.Header.Get("X-Upstream"), strings.NewReader("{}"))
			if err != nil {
				return http.StatusBadRequest, 0
			}
			up.Header.Set("X-Request-Id", r.Header.Get("X-Request-Id"))
			resp, err := client.Do(up)
			if err != nil {
				return 0, 0
			}
			defer func() { _ = resp.Body.Close() }()
			_, _ = io.Copy(io.Discard, resp.Body) // an answer that breaks off counts by its status
			return resp.StatusCode, 0
		})
		w.WriteHeader(cmp.Or(status, http.StatusBadGateway))
	}
}

// retryWorkload is of requests to a target that states rule.
func retryWorkload(rule scenario.Backoff, replies ...scenario.Reply) *scenario.Workload {
	onErrors := rule != scenario.BackoffNone
	w := &scenario.Workload{
		Protocol: scenario.Retry, Load: scenario.Load{Rate: 100, MaxInFlight: 1000},
		Request: &scenario.Request{Method: "POST", Path: "/", Body: "{}", Headers: map[string]string{"X-Upstream": "{{ .Callback }}", "X-Seq": "{{ .Seq }}"}},
		Timeout: scenario.Duration(5 * time.Second), Upstream: &scenario.Upstream{Replies: replies},
		Policy: &scenario.Policy{
			Backoff: rule, Attempts: 3, Base: scenario.Duration(retryBase), OnErrors: &onErrors, Tolerance: scenario.Duration(10 * ms),
			On: scenario.Statuses{{First: 408, Last: 408}, {First: 429, Last: 429}, {First: 500, Last: 599}},
		},
	}
	switch rule {
	case scenario.BackoffFull, scenario.BackoffEqual, scenario.BackoffDecorrelated, scenario.BackoffExponential:
		w.Policy.Cap = scenario.Duration(time.Second)
	case scenario.BackoffNone:
		w.Policy.Attempts = 1
	}
	return w
}

func statuses(codes ...int) (replies []scenario.Reply) {
	for _, code := range codes {
		replies = append(replies, scenario.Reply{Status: code})
	}
	return replies
}

// A retryCase is requests to a target in fake time, without a net: the driver is told
// of arrivals and calls as the engine and the sink would tell it.
type retryCase struct {
	target   retryTarget
	workload *scenario.Workload
	seed     uint64
	requests int           // default 150
	every    time.Duration // between them; default 10ms, below 0: all at once
	warmup   time.Duration
	wild     bool // calls name no request
}

// do runs the case.
func (c retryCase) do(t *testing.T) (r retryRun) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { r = c.run(t) })
	r.t = t
	for _, b := range r.balances {
		if !b.Even() {
			t.Errorf("%s: %d and %d", b.Name, b.Left, b.Right)
		}
	}
	return r
}

func (c retryCase) run(t *testing.T) retryRun {
	c.requests = cmp.Or(c.requests, 150)
	every := max(0, cmp.Or(c.every, 10*ms))
	made, err := newRetry(opening{scenario: &scenario.Scenario{Target: "http://127.0.0.1:1", Seed: c.seed, Drain: scenario.Duration(10 * time.Second)}, name: "api", workload: c.workload})
	if err != nil {
		t.Fatal(err)
	}
	d, ok := made.(*retryDriver)
	if !ok {
		t.Fatalf("%T", made)
	}
	d.ready(engine.Run{ID: "r1", Workload: "api", Seed: c.seed, Clock: engine.NewClock(), Warmup: c.warmup, End: time.Duration(c.requests) * every})
	rec := engine.NewRecorder(retryMetrics(), c.warmup)
	var arrivals sync.WaitGroup
	for i := range c.requests {
		arrivals.Go(func() {
			a := engine.Arrival{Seq: uint64(i), User: -1, Intended: time.Duration(i) * every}
			time.Sleep(a.Intended)
			c.arrive(d, a, rec.At(a.Intended))
		})
	}
	arrivals.Wait()
	d.conclude(rec.Whole())
	return retryRun{collect(t, rec)}
}

// arrive does one request: what the http driver would, and the target.
func (c retryCase) arrive(d *retryDriver, a engine.Arrival, rec *engine.Recorder) {
	if d.measured(a) {
		d.begun.Add(1)
	}
	rec.Add(httpRequestsSent, 1)
	d.before(a, rec)
	rng := rand.New(rand.NewPCG(c.seed, a.Seq))
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(c.workload.Timeout))
	defer cancel()
	attempt := func(ctx context.Context) (int, time.Duration) { return c.upstream(ctx, d, a) }
	status := http.StatusAccepted
	if !c.target.early {
		status = c.target.call(ctx, rng, attempt)
	}
	end := httpEnding{outcome: httpOutcomeSucceeded}
	switch {
	case ctx.Err() != nil:
		end.outcome = httpOutcomeTimeout
	case status == 0 || status >= 300:
		end.outcome = httpOutcomeHTTPError
	}
	d.after(&httpExchange{driver: d.httpDriver, arrival: a, last: receipt{at: d.run.Clock.Now()}}, end, func(bool) {})
	if c.target.early {
		c.target.call(context.Background(), rng, attempt)
	}
}

// upstream is a call to the driver over a net that takes up to a millisecond.
func (c retryCase) upstream(ctx context.Context, d *retryDriver, a engine.Arrival) (status int, asked time.Duration) {
	time.Sleep(time.Duration(100+(a.Seq*7919+c.seed*104729)%900) * time.Microsecond)
	if ctx.Err() != nil {
		return 0, 0
	}
	call := &sink.Call{Method: "POST", Rest: scenario.ArrivalID(d.mark, a.Seq), First: time.Now(), Whole: time.Now(), Context: ctx}
	if c.wild {
		call.Rest = "somebody"
	}
	answer := d.Serve(call)
	if answer.Leaves == nil {
		answer.Leaves = func(time.Time, bool) {}
	}
	if answer.Hang {
		answer.After = time.Hour
	}
	select {
	case <-time.After(answer.After):
	case <-ctx.Done():
		answer.Leaves(time.Now(), true)
		return 0, 0
	}
	answer.Leaves(time.Now(), false)
	time.Sleep(100 * time.Microsecond)
	return answer.Status, askedBy(answer)
}

// A retryRun is what a case came to.
type retryRun struct{ figures }

func (r retryRun) count(name string) int64 {
	r.t.Helper()
	m, ok := r.metrics[name]
	if !ok {
		r.t.Fatalf("no metric %s", name)
	}
	return int64(m.Value)
}

// against are the counters that speak against a target, or of something odd.
var against = []string{
	"waits_early", "waits_late", "retried_wrongly", "not_retried", "too_many_attempts", "attempts_after_answer", "attempts_cut", "attempts_overlapping",
	"strangers", "jitter_missing", "waits_misfit", "retry_after_ignored", "given_up", "left_open", "unattempted", "cut", "violations",
}

// some is a count above 0 that a test leaves open.
const some = -1

// counts holds counters to account. Of those in against what is not named must be 0.
func (r retryRun) counts(want map[string]int64) {
	r.t.Helper()
	for _, name := range against {
		if _, ok := want[name]; !ok {
			want[name] = 0
		}
	}
	for name, n := range want {
		if got := r.count(name); got != n && (n != some || got == 0) {
			r.t.Errorf("%s is %d, want %d", name, got, n)
		}
	}
}
