package driver

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/backoff"
	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// Retries that come at random are as bunched as herd_poisson says.
func TestHerdOfRandomRetries(t *testing.T) {
	for _, rate := range []float64{2, 30, 400} {
		rng := rand.New(rand.NewPCG(1, uint64(rate)))
		var seen, expected float64
		const runs = 200
		for range runs {
			times := newTimeline(20 * time.Second)
			for at := rng.ExpFloat64() / rate; at < 20; at += rng.ExpFloat64() / rate {
				times.retry(time.Duration(at * float64(time.Second)))
			}
			h := times.herd()
			seen += float64(h.peak)
			expected += h.random()
		}
		if math.Abs(seen-expected)/expected > .03 {
			t.Errorf("%v a second: the fullest bin has %.2f on average, herd_poisson says %.2f", rate, seen/runs, expected/runs)
		}
	}
}

func TestHerd(t *testing.T) {
	times := newTimeline(10 * time.Second)
	if h := times.herd(); h != (herd{}) || h.random() != 0 {
		t.Errorf("without retries: %+v", h)
	}
	for range 30 {
		times.retry(2 * time.Second)
	}
	times.retry(2900 * ms)
	times.retry(time.Hour)
	if h := times.herd(); h != (herd{31, 10, 30}) || times.beyond.Load() != 1 {
		t.Errorf("%+v, %d behind the end", h, times.beyond.Load())
	}
	if h := (herd{1_000_000, 1, 1_000_000}); math.Abs(h.random()-1e6) > 1e3 {
		t.Errorf("one bin of a million has %v on average", h.random())
	}
}

func TestRecovery(t *testing.T) {
	times := newTimeline(20 * time.Second)
	for i := range 2000 { // 100 a second; fail from 5 s to 8.35 s
		at := time.Duration(i) * 10 * ms
		times.add(times.offered, at)
		if at < 5*time.Second || at >= 8350*ms {
			times.add(times.succeeded, at)
		}
		times.add(times.attempts, at)
	}
	for range 250 {
		times.add(times.attempts, 12*time.Second)
	}
	if took, ok := times.recovered(8*time.Second, 20*time.Second); !ok || took != 400*ms {
		t.Errorf("recovered after %v, %t", took, ok)
	}
	if took, ok := times.recovered(9950*ms, 20*time.Second); !ok || took != 50*ms {
		t.Errorf("a good second after %v, %t", took, ok)
	}
	if _, ok := times.recovered(8*time.Second, 9300*ms); ok {
		t.Error("recovered with no second left")
	}
	if n := times.busiest(8 * time.Second); n != 350 {
		t.Errorf("the fullest second has %d", n)
	}
}

// Requests that begin together and are retried without jitter stay together; jitter
// takes them apart.
func TestRetryHerdOfTargets(t *testing.T) {
	const base = 500 * ms
	for rule, bunched := range map[scenario.Backoff]bool{scenario.BackoffExponential: true, scenario.BackoffFull: false} {
		c := retryCase{target: waiting(rule, base), workload: retryWorkload(rule, statuses(503, 503, 200)...), requests: 60, every: -1}
		c.workload.Policy.Base, c.workload.Policy.Cap = scenario.Duration(base), scenario.Duration(time.Minute)
		r := c.do(t)
		h, random := r.metrics["herd"], r.metrics["herd_poisson"]
		if n := r.count("retries_binned"); n != 120 || !h.Known || !random.Known || (h.Value > 2.5*random.Value) != bunched {
			t.Errorf("%s: herd %.1f of %d, at random %.1f", rule, h.Value, n, random.Value)
		}
	}
}

// An outage shows in what is lost, in the load after it, and in the time until requests
// succeed again.
func TestRetryOutage(t *testing.T) {
	outage := func(from time.Duration) retryRun {
		c := retryCase{target: waiting(scenario.BackoffConstant, 200*ms), workload: retryWorkload(scenario.BackoffConstant), requests: 250}
		c.workload.Policy.Base = scenario.Duration(200 * ms)
		c.workload.Upstream.Outage = &scenario.Outage{From: scenario.Duration(from), For: scenario.Duration(700 * ms)}
		return c.do(t)
	}
	r := outage(500 * ms)
	lost := r.count("given_up") // those whose three attempts, 200 ms apart, all lie in it
	r.counts(map[string]int64{"resolved": 250 - lost, "given_up": lost, "unrecovered": 0})
	if lost < 28 || lost > 32 {
		t.Errorf("%d lost", lost)
	}
	if m := r.metrics["recovery"]; !m.Known || m.Value >= float64(ms) {
		t.Errorf("recovery %+v", m)
	}
	if b := r.metrics["rebound"]; b.Value < 1.3 || b.Value > 1.5 { // 100 a second, and 40 that had waited
		t.Errorf("rebound %+v", b)
	}
	r = outage(1200 * ms) // less than a second is left
	r.counts(map[string]int64{"unrecovered": 1, "given_up": some})
	if m := r.metrics["recovery"]; m.Known || r.errors[classOutage].Count != 1 {
		t.Errorf("recovery %+v; errors %+v", m, r.errors)
	}
}

// A retryBench is what happens to one request.
type retryBench struct {
	policy *retryPolicy
	table  *retryTable
	rec    *engine.Recorder
}

func newRetryBench(t *testing.T) retryBench {
	t.Helper()
	policy, err := newRetryPolicy(retryWorkload(scenario.BackoffFull).Policy)
	if err != nil {
		t.Fatal(err)
	}
	return retryBench{policy, newRetryTable(), engine.NewRecorder(retryMetrics(), 0)}
}

// What is recorded of a request takes no memory.
func TestRetrySamplesAllocateNothing(t *testing.T) {
	b := newRetryBench(t)
	seq := uint64(0)
	if n := testing.AllocsPerRun(1000, func() {
		seq++
		b.table.put(seq, func(l *logical) { l.begin(seq, b.rec, true) })
		at := time.Duration(0)
		for range 3 {
			l := b.table.find(seq)
			nth, ok := l.arrive(b.policy, seq, at)
			if !ok {
				t.Fatal("the request is not there")
			}
			l.answered(seq, nth, true, 0)
			l.left(b.policy, seq, nth, at+ms, false)
			at += 15 * ms
		}
		l := b.table.take(seq)
		if how, attempts, free := l.close(b.policy, httpOutcomeSucceeded, at); how != retryEndingGivenUp || attempts != 3 || !free {
			t.Fatal(how, attempts, free)
		}
		b.table.pool.Put(l)
	}); n > 0 {
		t.Errorf("%v allocations a request", n)
	}
}

// A call that finds its request's memory in another's use is late, and what it is
// answered touches nobody.
func TestRetryRequestsAreNotMixedUp(t *testing.T) {
	b := newRetryBench(t)
	b.table.put(1, func(l *logical) { l.begin(1, b.rec, true) })
	l := b.table.find(1)
	nth, _ := l.arrive(b.policy, 1, 0)
	if _, _, free := l.close(b.policy, httpOutcomeSucceeded, ms); free {
		t.Error("a request with an attempt under way is used again")
	}
	if _, ok := l.arrive(b.policy, 1, 2*ms); ok {
		t.Error("an attempt was taken after the end")
	}
	if !l.left(b.policy, 1, nth, 3*ms, false) {
		t.Error("the last attempt has ended, and the request is not free")
	}
	l.begin(2, b.rec, true)
	if _, ok := l.arrive(b.policy, 1, 4*ms); ok || l.attempts != 0 {
		t.Error("an attempt of request 1 counts for request 2")
	}
	if s := b.policy.sample; s.next.Load() != 0 || len(s.taken()) != 0 {
		t.Errorf("%d waits", s.next.Load())
	}
	for range mostWaitsTested + 5 {
		b.policy.sample.add(backoff.Wait{})
	}
	if n := len(b.policy.sample.taken()); n != mostWaitsTested {
		t.Errorf("%d waits kept", n)
	}
}
