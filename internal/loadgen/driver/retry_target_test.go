package driver

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
	"github.com/edgeload/edgeload/internal/loadgen/sink"
)

// retryBase is the base of the waits in these tests, small so that they are quick.
const retryBase = 20 * time.Millisecond

// A retryTarget is a server that calls the upstream it is told of, and tries again.
type retryTarget struct {
	attempts int // 0: without end
	// wait before retry n, from 0, given the one before.
	wait func(rng *rand.Rand, n int, before time.Duration) time.Duration
	// again says what is tried again; status 0 is an error.
	again   func(status int) bool
	heeds   bool          // Retry-After
	timeout time.Duration // of an attempt
	early   bool          // answers before the first attempt, and goes on
	double  bool          // makes each attempt twice at once
	named   func(r *http.Request, up *http.Request)
}

func between(rng *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(rng.Float64()*float64(high-low))
}

// by returns a target that keeps to a rule, with its base, three attempts and a cap
// that no wait reaches.
func by(rule scenario.Backoff) retryTarget {
	waits := map[scenario.Backoff]func(*rand.Rand, int, time.Duration) time.Duration{
		scenario.BackoffGuide: func(rng *rand.Rand, n int, _ time.Duration) time.Duration {
			return retryBase<<n + between(rng, 0, retryBase)
		},
		scenario.BackoffFull: func(rng *rand.Rand, n int, _ time.Duration) time.Duration { return between(rng, 0, retryBase<<n) },
		scenario.BackoffEqual: func(rng *rand.Rand, n int, _ time.Duration) time.Duration {
			return between(rng, retryBase<<n/2, retryBase<<n)
		},
		scenario.BackoffDecorrelated: func(rng *rand.Rand, _ int, before time.Duration) time.Duration {
			return between(rng, retryBase, 3*max(before, retryBase))
		},
		scenario.BackoffExponential: func(_ *rand.Rand, n int, _ time.Duration) time.Duration { return retryBase << n },
		scenario.BackoffConstant:    func(*rand.Rand, int, time.Duration) time.Duration { return retryBase },
	}
	t := retryTarget{attempts: 3, wait: waits[rule], again: func(status int) bool { return status == 0 || status >= 500 || status == 429 }}
	if rule == scenario.BackoffNone {
		t.attempts = 1
	}
	return t
}

// start serves the target.
func (rt retryTarget) start(t *testing.T) string {
	t.Helper()
	client := &http.Client{Timeout: rt.timeout, Transport: &http.Transport{MaxIdleConnsPerHost: 200}}
	var behind sync.WaitGroup
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rt.early {
			up := r.Clone(context.WithoutCancel(r.Context()))
			behind.Go(func() { rt.call(client, up) })
			return
		}
		status := rt.call(client, r)
		if status == 0 {
			status = http.StatusBadGateway
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(func() {
		server.Close()
		behind.Wait()
		client.CloseIdleConnections()
	})
	return server.URL
}

// call makes the attempts of one request and returns the last status.
func (rt retryTarget) call(client *http.Client, r *http.Request) (status int) {
	seed, _ := strconv.ParseUint(r.Header.Get("X-Seq"), 10, 64)
	rng := rand.New(rand.NewPCG(seed, 7))
	var before time.Duration
	for n := 0; ; n++ {
		var asked time.Duration
		status, asked = rt.attempt(client, r)
		if rt.double {
			var twins sync.WaitGroup
			for range 2 {
				twins.Go(func() { rt.attempt(client, r) })
			}
			twins.Wait()
		}
		if !rt.again(status) || n+1 == rt.attempts || r.Context().Err() != nil {
			return status
		}
		before = rt.wait(rng, n, before)
		wait := before
		if rt.heeds {
			wait = max(wait, asked)
		}
		select {
		case <-time.After(wait):
		case <-r.Context().Done():
			return status
		}
	}
}

func (rt retryTarget) attempt(client *http.Client, r *http.Request) (status int, asked time.Duration) {
	up, err := http.NewRequestWithContext(r.Context(), http.MethodPost, r.Header.Get("X-Upstream"), strings.NewReader("{}"))
	if err != nil {
		return http.StatusBadRequest, 0
	}
	if rt.named != nil {
		rt.named(r, up)
	}
	resp, err := client.Do(up)
	if err != nil {
		return 0, 0
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, resp.Body) // an answer that breaks off counts by its status
	seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
	return resp.StatusCode, time.Duration(seconds) * time.Second
}

// retryWorkload is some 150 requests in 0.3 s, to a target that states rule.
func retryWorkload(rule scenario.Backoff, replies ...scenario.Reply) *scenario.Workload {
	onErrors := rule != scenario.BackoffNone
	w := &scenario.Workload{
		Protocol: scenario.Retry, Load: scenario.Load{Rate: 500, Arrivals: scenario.ArrivalsPoisson, MaxInFlight: 1000},
		Request: &scenario.Request{Method: "POST", Path: "/", Body: "{}", Headers: map[string]string{"X-Upstream": "{{ .Callback }}", "X-Seq": "{{ .Seq }}"}},
		Timeout: scenario.Duration(5 * time.Second), Upstream: &scenario.Upstream{Replies: replies},
		Policy: &scenario.Policy{
			Backoff: rule, Attempts: 3, Base: scenario.Duration(retryBase), OnErrors: &onErrors, Tolerance: scenario.Duration(200 * time.Millisecond),
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

// A retryRun is what a run of one retry workload came to.
type retryRun struct {
	t *testing.T
	result.Workload
}

// runRetry runs a workload for 0.3 s against target.
func runRetry(t *testing.T, target string, w *scenario.Workload, change ...func(*scenario.Scenario)) retryRun {
	t.Helper()
	endpoint, err := sink.Open(sink.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := endpoint.Close(); err != nil {
			t.Error(err)
		}
	}()
	sc := &scenario.Scenario{
		Version: 1, Name: "retry", Target: target, Seed: 1, Dir: ".",
		Duration: scenario.Duration(300 * time.Millisecond), Drain: scenario.Duration(10 * time.Second),
		Workloads: map[string]*scenario.Workload{"api": w},
	}
	for _, c := range change {
		c(sc)
	}
	plan, err := Plan(sc, Options{Sink: endpoint})
	if err != nil {
		t.Fatal(err)
	}
	res, err := plan.Run(t.Context(), "20261124T000000.000Z-retry")
	if err != nil {
		t.Fatal(err)
	}
	run := retryRun{t, res.Workloads[0]}
	for _, b := range run.Balances {
		if !b.Even() {
			t.Errorf("%s: %d and %d", b.Name, b.Left, b.Right)
		}
	}
	return run
}

// metric returns one that must be there.
func (r retryRun) metric(name string) result.Metric {
	r.t.Helper()
	for _, m := range r.Metrics {
		if m.Name == name {
			return m
		}
	}
	r.t.Fatalf("no metric %s", name)
	return result.Metric{}
}

func (r retryRun) count(name string) int64 {
	r.t.Helper()
	return int64(r.metric(name).Value)
}

// counts holds counters to account. Of what speaks against a target, what is not
// named must be 0.
func (r retryRun) counts(want map[string]int64) {
	r.t.Helper()
	for _, name := range []string{
		"waits_early", "waits_late", "retried_wrongly", "not_retried", "too_many_attempts", "attempts_after_answer",
		"attempts_cut", "attempts_overlapping", "strangers", "jitter_missing", "waits_misfit", "retry_after_ignored", "left_open", "unattempted", "cut", "violations",
	} {
		if _, ok := want[name]; !ok {
			want[name] = 0
		}
	}
	for name, n := range want {
		if got := r.count(name); got != n {
			r.t.Errorf("%s is %d, want %d", name, got, n)
		}
	}
}

// arrivals are how many requests there were.
func (r retryRun) arrivals() int64 { return r.count("requests") }

// A retryBench is a driver without a net, for what happens to one request.
type retryBench struct {
	policy *retryPolicy
	table  *retryTable
	rec    *engine.Recorder
}

func newRetryBench(t testing.TB, p *scenario.Policy) retryBench {
	t.Helper()
	policy, err := newRetryPolicy(p)
	if err != nil {
		t.Fatal(err)
	}
	return retryBench{policy, newRetryTable(), engine.NewRecorder(retryMetrics(), 0)}
}
