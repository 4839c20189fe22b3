package e2e_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/hist"
	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// retries is a run against fetch-with-retry by each of its policies, and one through an
// outage of three seconds.
const retries = `
version: 1
name: retries
target: http://127.0.0.1:1
duration: 6s
workloads:
  guide: &retry
    protocol: retry
    load: &load {rate: 10/s, arrivals: poisson}
    request: {path: /functions/v1/fetch-with-retry, body: '{"url": {{ .Callback | json }}}'}
    upstream: {odds: {503: 50%, '400': 5%}}
    policy: {backoff: guide, tolerance: 50ms}
  full:
    <<: *retry
    load: &fast {rate: 30/s, arrivals: poisson}
    request: {path: /functions/v1/fetch-with-retry, body: '{"url": {{ .Callback | json }}, "policy": "full:base=40ms,attempts=4"}'}
    policy: {backoff: full, base: 40ms, attempts: 4, tolerance: 50ms}
  equal:
    <<: *retry
    load: *fast
    request: {path: /functions/v1/fetch-with-retry, body: '{"url": {{ .Callback | json }}, "policy": "equal:base=40ms"}'}
    policy: {backoff: equal, base: 40ms, tolerance: 50ms}
  decorrelated:
    <<: *retry
    load: *fast
    request: {path: /functions/v1/fetch-with-retry, body: '{"url": {{ .Callback | json }}, "policy": "decorrelated:base=40ms,cap=150ms"}'}
    policy: {backoff: decorrelated, base: 40ms, cap: 150ms, tolerance: 50ms}
  outage:
    <<: *retry
    load: *fast
    request: {path: /functions/v1/fetch-with-retry, body: '{"url": {{ .Callback | json }}, "policy": "full:base=500ms"}'}
    upstream: {outage: {from: 1s, for: 3s}}
    policy: {backoff: full, base: 500ms, tolerance: 50ms}
`

// What loadgen says of retries is what the server did: every count, and the instants.
func TestRetriesAgreeWithTheTruth(t *testing.T) {
	var run loadgenRun
	var s *jobServer
	for range 3 {
		s = &jobServer{server: startServer(t, "--jwt-secret", jobSecret), key: keys(t, jobSecret)["SERVICE_ROLE_KEY"]}
		run = loadgen(t, retries, nil, "--target", s.URL)
		if run.Result == nil {
			t.Fatalf("no result; exit code %d\n%s\n%s", run.Code, run.Stdout, run.Stderr)
		}
		if run.Result.Validity.State != result.Invalid {
			break
		}
		t.Logf("INVALID, again: %+v", run.Result.Validity.Reasons)
	}
	if run.Result.Validity.State == result.Invalid {
		t.Fatal("INVALID three times: the machine is too busy to measure on")
	}
	balanced(t, run.Result)

	total := make(map[string]float64)
	waits := hist.New(hist.Durations)
	for _, w := range run.Result.Workloads {
		for _, name := range []string{"attempts_total", "first_attempts", "retries", "resolved", "given_up", "requests"} {
			total[name] += metric(t, w, name).Value
		}
		for _, name := range []string{"retried_wrongly", "not_retried", "too_many_attempts", "attempts_after_answer", "waits_early", "jitter_missing", "waits_misfit", "strangers", "attempts_cut"} {
			if n := metric(t, w, name).Value; n != 0 {
				t.Errorf("%s: %s is %v; errors %+v", w.Name, name, n, w.Errors)
			}
		}
		if c := metric(t, w, "conformance"); c.Value < .99 || c.Den < 50 {
			t.Errorf("%s: %d of %d waits conform", w.Name, c.Num, c.Den)
		}
		if p := metric(t, w, "misfit_p"); !p.Known {
			t.Errorf("%s: the waits were not tested", w.Name)
		}
		waited := metric(t, w, "wait")
		if h, err := waited.Histogram(); err != nil || h == nil || waits.Merge(h) != nil {
			t.Fatalf("%s: waits %v, %v", w.Name, h, err)
		}
	}
	truth := s.retries(t)
	for name, event := range map[string]string{
		"attempts_total": "attempt + retry", "first_attempts": "attempt", "requests": "attempt", "retries": "retry", "resolved": "answered", "given_up": "exhausted",
	} {
		if total[name] != float64(truth.counts[event]) {
			t.Errorf("%s is %v, and %s in ground truth %d", name, total[name], event, truth.counts[event])
		}
	}
	truth.compare(t, waits)

	outage := run.workload(t, "outage")
	if m := metric(t, outage, "recovery"); !m.Known || m.Value > float64(time.Second) {
		t.Errorf("recovery %+v", m)
	}
	if r := metric(t, outage, "rebound"); r.Value <= 1 {
		t.Errorf("after the outage no more than before it: %+v", r)
	}
	if metric(t, outage, "given_up").Value == 0 || metric(t, outage, "amplification").Value < 1.5 {
		t.Error("the outage does not show")
	}
}

// retryTruth is what the server says of its retries.
type retryTruth struct {
	counts map[string]int
	waits  []time.Duration // from the beginning of an attempt to when the next was due, in order
}

// retries reads ground truth.
func (s *jobServer) retries(t *testing.T) retryTruth {
	t.Helper()
	truth := retryTruth{counts: make(map[string]int)}
	began := make(map[string]time.Time)
	for after := uint64(0); ; {
		var page struct {
			Records []struct {
				Kind, ID, Event string
				At, Due         time.Time
			}
			Next, Dropped uint64
		}
		s.admin(t, fmt.Sprintf("truth/records?limit=10000&after=%d", after), &page)
		if page.Dropped > 0 {
			t.Fatalf("%d records are not kept any more", page.Dropped)
		}
		if len(page.Records) == 0 {
			break
		}
		after = page.Next
		for _, r := range page.Records {
			if r.Kind != "retry" {
				continue
			}
			truth.counts[r.Event]++
			switch r.Event {
			case "retry":
				truth.waits = append(truth.waits, r.Due.Sub(began[r.ID]))
				began[r.ID] = r.At
			case "attempt":
				began[r.ID] = r.At
			}
		}
	}
	truth.counts["attempt + retry"] = truth.counts["attempt"] + truth.counts["retry"]
	slices.Sort(truth.waits)
	return truth
}

// compare holds waits as loadgen saw them against those that were due. What was seen of
// each is at most so much off as the furthest two of the same rank.
func (r retryTruth) compare(t *testing.T, seen *hist.Histogram) {
	t.Helper()
	if int(seen.Count()) != len(r.waits) {
		t.Errorf("%d waits seen, %d in ground truth", seen.Count(), len(r.waits))
		return
	}
	var off []time.Duration
	rank := 0
	for _, bar := range seen.Bars() {
		for range bar.Count {
			apart := max(time.Duration(bar.From)-r.waits[rank], r.waits[rank]-time.Duration(bar.To), 0)
			off = append(off, apart)
			rank++
		}
	}
	slices.Sort(off)
	p99 := off[int(math.Ceil(.99*float64(len(off))))-1]
	t.Logf("%d waits: off by p50 %v, p99 %v, at most %v", len(off), off[len(off)/2], p99, off[len(off)-1])
	if p99 > 5*time.Millisecond {
		t.Errorf("p99 is off by %v", p99)
	}
}
