package driver

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/backoff"
	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
	"github.com/edgeload/edgeload/internal/loadgen/sink"
)

// Targets that keep to what they state are found to, by 5 seeds each with 300 waits, and
// what they did is counted exactly.
func TestRetryConformingTargets(t *testing.T) {
	for _, rule := range []scenario.Backoff{
		scenario.BackoffGuide, scenario.BackoffFull, scenario.BackoffEqual, scenario.BackoffDecorrelated, scenario.BackoffExponential, scenario.BackoffConstant,
	} {
		t.Run(string(rule), func(t *testing.T) {
			for seed := range uint64(5) {
				r := retryCase{target: by(rule), workload: retryWorkload(rule, statuses(503, 429, 200)...), seed: seed}.do(t)
				const n = 150
				r.counts(map[string]int64{
					"requests": n, "resolved": n, "attempts_total": 3 * n, "first_attempts": n, "retries": 2 * n,
					"waits_judged": 2 * n, "waits_conforming": 2 * n, "retries_binned": 2 * n,
				})
				if a := r.metrics["attempts"].Distribution; a.Count != n || a.Min != 3 || a.Max != 3 {
					t.Errorf("attempts %+v", a)
				}
				r.samples(map[string]int64{"wait": 2 * n, "wait{retry=1}": n, "wait{retry=2}": n, "wait{retry=3}": 0, "relay": n})
				if a := r.metrics["amplification"]; a.Value != 3 {
					t.Errorf("amplification %+v", a)
				}
				spread := rule != scenario.BackoffExponential && rule != scenario.BackoffConstant
				if tested := r.count("waits_tested"); spread && tested != 2*n || !spread && tested != 0 {
					t.Errorf("%d of %d waits tested", tested, 2*n)
				}
				if p := r.metrics["misfit_p"]; p.Known != spread || spread && p.Value < backoff.Alarm {
					t.Errorf("misfit_p %+v", p)
				}
			}
		})
	}
	r := retryCase{target: by(scenario.BackoffNone), workload: retryWorkload(scenario.BackoffNone, statuses(503)...)}.do(t)
	r.counts(map[string]int64{"resolved": 150, "attempts_total": 150, "retries": 0})
	r = retryCase{target: by(scenario.BackoffFull), workload: retryWorkload(scenario.BackoffFull, statuses(500)...), warmup: 500 * ms}.do(t)
	r.counts(map[string]int64{"requests": 100, "given_up": 100, "resolved": 0, "attempts_total": 300})
}

// Replies by chance are the same in each run of a seed.
func TestRetryOdds(t *testing.T) {
	c := retryCase{target: by(scenario.BackoffFull), workload: retryWorkload(scenario.BackoffFull), seed: 3}
	c.workload.Upstream.Odds = map[string]scenario.Share{"503": .3, "400": .1}
	r, same := c.do(t), c.do(t)
	again := r.count("retries") + r.count("given_up") // each answer of 503
	if share := float64(again) / float64(r.count("attempts_total")); share < .2 || share > .4 {
		t.Errorf("%.0f %% of the attempts were to be tried again", 100*share)
	}
	r.counts(map[string]int64{"resolved": 150 - r.count("given_up"), "given_up": some})
	for _, name := range []string{"attempts_total", "given_up"} {
		if a, b := r.count(name), same.count(name); a != b {
			t.Errorf("%s is %d, then %d", name, a, b)
		}
	}
}

// Each way to break a policy is told from the others, where that is a matter of chance
// by 10 seeds each.
func TestRetryBrokenTargets(t *testing.T) {
	const n = 150
	for _, tt := range []struct {
		name    string
		change  func(*retryTarget)
		stated  scenario.Backoff
		replies []scenario.Reply
		limit   time.Duration // of a request
		want    map[string]int64
	}{
		{"no jitter", func(rt *retryTarget) { rt.wait = by(scenario.BackoffExponential).wait }, scenario.BackoffFull, statuses(503, 503, 200), 0,
			map[string]int64{"resolved": n, "jitter_missing": 1, "waits_misfit": 1, "violations": 2}},
		{"no jitter, as the guide", func(rt *retryTarget) { rt.wait = by(scenario.BackoffExponential).wait }, scenario.BackoffGuide, statuses(503, 503, 200), 0,
			map[string]int64{"resolved": n, "jitter_missing": 1, "waits_misfit": 1, "violations": 2}},
		{"jitter on top", func(rt *retryTarget) { rt.wait = by(scenario.BackoffGuide).wait }, scenario.BackoffFull, statuses(503, 503, 200), 0,
			map[string]int64{"resolved": n, "waits_late": some, "waits_misfit": 1, "violations": some}},
		{"too short", func(rt *retryTarget) { rt.wait = by(scenario.BackoffFull).wait }, scenario.BackoffConstant, statuses(503, 200), 0,
			map[string]int64{"resolved": n, "waits_early": some, "violations": some}},
		{"too long", func(rt *retryTarget) { rt.wait = by(scenario.BackoffExponential).wait }, scenario.BackoffConstant, statuses(503, 503, 200), 0,
			map[string]int64{"resolved": n, "waits_late": n, "waits_conforming": n, "violations": n}},
		{"retries a 400", func(rt *retryTarget) { rt.again = func(status int) bool { return status >= 400 } }, scenario.BackoffFull, statuses(400, 400, 200), 0,
			map[string]int64{"resolved": n, "retried_wrongly": 2 * n, "waits_judged": 0, "violations": 2 * n}},
		{"never retries", func(rt *retryTarget) { rt.attempts = 1 }, scenario.BackoffFull, statuses(503), 0,
			map[string]int64{"given_up": n, "not_retried": n, "violations": n, "retries": 0}},
		{"without end", func(rt *retryTarget) { rt.attempts, rt.wait = 0, by(scenario.BackoffConstant).wait }, scenario.BackoffConstant, statuses(503), 115 * ms,
			map[string]int64{"cut": n, "too_many_attempts": 3 * n, "violations": 3 * n, "waits_judged": 2 * n}},
		{"after the answer", func(rt *retryTarget) { rt.early = true }, scenario.BackoffFull, statuses(503), 0,
			map[string]int64{"unattempted": n, "attempts_after_answer": 3 * n, "violations": 3 * n, "attempts_total": 0}},
		{"twice at once", func(rt *retryTarget) { rt.twice = true }, scenario.BackoffFull, []scenario.Reply{{Status: 404, Delay: 20 * ms}}, 0,
			map[string]int64{"attempts_overlapping": n, "resolved": n, "attempts_total": 2 * n}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			seeds := uint64(2)
			if tt.want["waits_misfit"] > 0 {
				seeds = 10
			}
			for seed := range seeds {
				c := retryCase{target: by(scenario.BackoffFull), workload: retryWorkload(tt.stated, tt.replies...), seed: seed}
				tt.change(&c.target)
				if tt.limit > 0 {
					c.workload.Timeout = scenario.Duration(tt.limit)
				}
				r := c.do(t)
				r.counts(tt.want)
				for class, metric := range map[string]string{classJitter: "jitter_missing", classMisfit: "waits_misfit"} {
					if e, said := r.errors[class]; said != (tt.want[metric] == 1) || said && !strings.Contains(e.Example, string(tt.stated)) {
						t.Errorf("errors %+v", r.errors)
					}
				}
			}
		})
	}
}

// A Retry-After that is heeded makes a wait longer, and one that is not is told. A
// target may give up over one that is longer than its cap.
func TestRetryAfter(t *testing.T) {
	const n = 150
	for _, tt := range []struct {
		heeds, stated bool
		want          map[string]int64
	}{
		{true, true, map[string]int64{"retry_after_honoured": n, "waits_conforming": n}},
		{false, false, map[string]int64{"retry_after_honoured": 0, "retry_after_ignored": n, "waits_conforming": n}},
		{false, true, map[string]int64{"retry_after_honoured": 0, "retry_after_ignored": n, "waits_conforming": 0, "waits_early": n, "violations": n}},
		{true, false, map[string]int64{ // all of them together, a second away
			"retry_after_honoured": n, "waits_conforming": 0, "waits_late": n, "jitter_missing": 1, "waits_misfit": 1, "violations": n + 2,
		}},
	} {
		t.Run(fmt.Sprintf("heeds %t, stated %t", tt.heeds, tt.stated), func(t *testing.T) {
			c := retryCase{target: by(scenario.BackoffFull), workload: retryWorkload(scenario.BackoffFull, scenario.Reply{Status: 429, RetryAfter: time.Second}, scenario.Reply{Status: 200})}
			c.target.heeds, c.workload.Policy.RetryAfter = tt.heeds, tt.stated
			c.do(t).counts(tt.want)
		})
	}
	for asked, want := range map[time.Duration]int64{time.Second: n, 2 * time.Second: 0} {
		c := retryCase{target: by(scenario.BackoffNone), workload: retryWorkload(scenario.BackoffFull, scenario.Reply{Status: 429, RetryAfter: asked})}
		c.workload.Policy.RetryAfter = true
		c.do(t).counts(map[string]int64{"given_up": n, "not_retried": want, "violations": want})
	}
}

// Attempts that are reset or never answered have no status; the target's timeout shows.
func TestRetryWithoutAnswers(t *testing.T) {
	const n = 150
	c := retryCase{target: by(scenario.BackoffFull), workload: retryWorkload(scenario.BackoffFull, scenario.Reply{Hang: true}, scenario.Reply{Reset: true}, scenario.Reply{Status: 200})}
	c.target.timeout = 100 * ms
	r := c.do(t)
	r.counts(map[string]int64{"resolved": n, "retries": 2 * n, "attempts_cut": n, "waits_conforming": 2 * n})
	if d := r.metrics["cut_after"].Distribution; d.Count != n || d.Min < int64(98*ms) || d.Max > int64(100*ms) {
		t.Errorf("given up after %v to %v, %d times", time.Duration(d.Min), time.Duration(d.Max), d.Count)
	}
	no := false
	c.workload.Policy.OnErrors = &no
	c.do(t).counts(map[string]int64{"resolved": n, "retried_wrongly": 2 * n, "attempts_cut": n, "violations": 2 * n})

	c = retryCase{target: by(scenario.BackoffFull), workload: retryWorkload(scenario.BackoffFull, scenario.Reply{Hang: true})}
	c.workload.Timeout = scenario.Duration(200 * ms)
	c.do(t).counts(map[string]int64{"cut": n, "attempts_cut": n}) // the target goes with its client
}

// Calls that name no request are counted, and said to be.
func TestRetryStrangers(t *testing.T) {
	r := retryCase{target: by(scenario.BackoffFull), workload: retryWorkload(scenario.BackoffFull, statuses(503, 200)...), wild: true}.do(t)
	r.counts(map[string]int64{"unattempted": 150, "strangers": 450, "attempts_total": 0}) // each call is a first one
	if e := r.errors[classUnrelated]; e.Count != 450 || !strings.Contains(e.Example, "upstream.correlate") {
		t.Errorf("errors %+v", r.errors)
	}
}

// Over a net, to a target that names requests by its path or in a header: whatever the
// machine takes for it, the counts are exact.
func TestRetryOverHTTP(t *testing.T) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	defer client.CloseIdleConnections()
	target := httptest.NewServer(by(scenario.BackoffFull).serve(client))
	defer target.Close()
	endpoint, err := sink.Open(sink.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := endpoint.Close(); err != nil {
			t.Error(err)
		}
	}()
	byPath := retryWorkload(scenario.BackoffFull, scenario.Reply{Status: 503}, scenario.Reply{Reset: true}, scenario.Reply{Status: 200, Delay: 5 * ms})
	byHeader := retryWorkload(scenario.BackoffFull, statuses(503, 400)...)
	byHeader.Request.Headers["X-Upstream"] = "{{ .Sink }}/by_header/v1/messages"
	byHeader.Request.Headers["X-Request-Id"] = "{{ .ID }}"
	byHeader.Upstream.Correlate = &scenario.Correlation{Header: "X-Request-Id"}
	for _, w := range []*scenario.Workload{byPath, byHeader} {
		w.Policy.Tolerance = scenario.Duration(time.Minute)
	}
	plan, err := Plan(&scenario.Scenario{
		Version: 1, Name: "retry", Target: target.URL, Seed: 1, Dir: ".", Duration: scenario.Duration(400 * ms), Drain: scenario.Duration(10 * time.Second),
		Workloads: map[string]*scenario.Workload{"by_path": byPath, "by_header": byHeader},
	}, Options{Sink: endpoint})
	if err != nil {
		t.Fatal(err)
	}
	res, err := plan.Run(t.Context(), "20261124T000000.000Z-retry")
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []map[string]int64{
		{"http_error": 40, "resolved": 40, "attempts_total": 80, "waits_conforming": 40},
		{"succeeded": 40, "resolved": 40, "attempts_total": 120, "waits_conforming": 80},
	} {
		w := res.Workloads[i]
		r := retryRun{figures{t: t, metrics: make(map[string]result.Metric)}}
		for _, m := range w.Metrics {
			r.metrics[m.Name] = m
		}
		r.counts(want)
		for _, b := range w.Balances {
			if !b.Even() {
				t.Errorf("%s: %s: %d and %d", w.Name, b.Name, b.Left, b.Right)
			}
		}
	}
}
