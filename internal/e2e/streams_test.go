package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// With a first token after 300 ms, gaps of 20 ms and 200 streams at once, what
// loadgen measures must agree with the instants the simulator itself took.
func TestKnownAnswer(t *testing.T) {
	s := startServer(t)
	// A stream lasts 300 ms + 84 × 20 ms = 1.98 s, so 101/s keep 200 under way.
	run := measured(t, fmt.Sprintf(`
version: 1
name: known-answer
target: %s
warmup: 3s
duration: 10s
workloads:
  chat:
    protocol: sse
    dialect: anthropic
    load: {rate: 101/s}
    request:
      method: POST
      path: /functions/v1/stream-ai
      headers:
        X-Sim-Ttft: constant:300ms
        X-Sim-Gap: constant:20ms
        X-Sim-Tokens: constant:85
        X-Sim-Per-Chunk: constant:1
      body: '{"prompt": "known answer"}'
thresholds:
  chat.complete_ratio: ['value == 1']
`, s.URL), nil)
	if run.Code != 0 {
		t.Errorf("exit code %d\n%s\n%s", run.Code, run.Stdout, run.Stderr)
	}
	balanced(t, run.Result)
	w := run.workload(t, "chat")
	if w.InFlight.Added < 190 || w.InFlight.Added > 215 {
		t.Errorf("%.0f streams at once, want about 200", w.InFlight.Added)
	}
	if n := metric(t, w, "streams").Value; n != 1010 {
		t.Errorf("%v streams, want 1010", n)
	}
	if n := metric(t, w, "itl").Distribution.Count; n != 1010*84 {
		t.Errorf("%d gaps, want 1010 × 84", n)
	}
	for _, tc := range []struct {
		measured, truth string
		stated          time.Duration
	}{
		{"ttft_service", "truth_ttft", 300 * time.Millisecond},
		{"itl", "truth_itl", 20 * time.Millisecond},
	} {
		for q, tolerance := range map[float64]time.Duration{.5: 2 * time.Millisecond, .99: 5 * time.Millisecond} {
			got, want := quantile(t, w, tc.measured, q), quantile(t, w, tc.truth, q)
			t.Logf("%s p%g = %v, by the simulator's own instants %v", tc.measured, 100*q, got, want)
			if d := (got - want).Abs(); d > tolerance {
				t.Errorf("%s p%g = %v, by the simulator's own instants %v: apart by %v, more than %v", tc.measured, 100*q, got, want, d, tolerance)
			}
		}
		if got := quantile(t, w, tc.truth, .5); (got - tc.stated).Abs() > 3*time.Millisecond {
			t.Errorf("the simulator's %s p50 = %v, stated %v", tc.truth, got, tc.stated)
		}
	}
}

// A generator that cannot keep its schedule must say so, not report a slow
// target: loadgen itself is stopped for a second.
func TestLateGeneratorIsInvalid(t *testing.T) {
	s := startServer(t, "--sim-ttft", "constant:50ms", "--sim-tokens", "constant:5", "--sim-gap", "constant:5ms")
	run := loadgen(t, chatYAML(s.URL, "100/s", "5s"), func(p *os.Process) {
		pause(t, p, 2*time.Second, time.Second)
	})
	if run.Code != 3 || run.Result == nil || run.Result.Validity.State != result.Invalid {
		t.Fatalf("exit code %d, want 3 and INVALID\n%s\n%s", run.Code, run.Stdout, run.Stderr)
	}
	if !slices.ContainsFunc(run.Result.Validity.Reasons, func(r result.Reason) bool { return r.Check == "lateness" }) {
		t.Errorf("reasons %+v, want lateness among them", run.Result.Validity.Reasons)
	}
	if !strings.Contains(run.Stderr, "INVALID") || !strings.Contains(run.Stdout, "lateness") {
		t.Errorf("the reason is not told:\n%s\n%s", run.Stdout, run.Stderr)
	}
	// The service time, from the actual start, is what the target took.
	w := run.workload(t, "chat")
	if got := quantile(t, w, "ttft_service", .5); got > 100*time.Millisecond {
		t.Errorf("median service time %v: the generator's delay was counted as the target's", got)
	}
	balanced(t, run.Result)
}

// Coordinated omission: the server stands still for 1 s in a run of 10 s at
// 100/s. Every arrival due in that second, and every stream under way without
// its first token, waits; the 99th percentile from the intended start must be
// what arithmetic says.
func TestFrozenServer(t *testing.T) {
	const (
		ttft   = 50 * time.Millisecond
		frozen = time.Second
		at     = 5 * time.Second
		n      = 1000
		gap    = 10 * time.Millisecond
	)
	want := frozenQuantile(n, gap, ttft, at, frozen, .99)
	s := startServer(t, "--sim-ttft", "constant:50ms", "--sim-tokens", "constant:5", "--sim-gap", "constant:5ms")
	run := measured(t, chatYAML(s.URL, "100/s", "10s"), func(*os.Process) {
		pause(t, s.cmd.Process, at, frozen)
	})
	balanced(t, run.Result)
	w := run.workload(t, "chat")
	if got := metric(t, w, "ttft").Distribution.Count; got != n {
		t.Errorf("%d first tokens, want %d", got, n)
	}
	got := quantile(t, w, "ttft", .99)
	t.Logf("ttft p99 = %v, analytic %v; service time p99 %v", got, want, quantile(t, w, "ttft_service", .99))
	if d := (got - want).Abs(); float64(d) > .1*float64(want) {
		t.Errorf("ttft p99 = %v, analytic %v: more than 10 %% apart", got, want)
	}
}

// frozenQuantile is the quantile of the time to first token of n arrivals, one
// each gap, at a server that takes ttft and stands still from at for frozen: an
// arrival during the freeze is seen at its end, and a token due during the
// freeze comes at its end.
func frozenQuantile(n int, gap, ttft, at, frozen time.Duration, q float64) time.Duration {
	thaw := at + frozen
	var all []time.Duration
	for i := range n {
		arrives := time.Duration(i) * gap
		seen := arrives
		if seen >= at && seen < thaw {
			seen = thaw
		}
		token := seen + ttft
		if token >= at && token < thaw {
			token = thaw
		}
		all = append(all, token-arrives)
	}
	slices.Sort(all)
	return all[int(q*float64(n))-1]
}

func TestFrozenQuantileByHand(t *testing.T) {
	// Ten arrivals a second apart, frozen from 5 s for 2 s, tokens after 0: the
	// one at 5 s waits 2 s, the one at 6 s waits 1 s.
	if got := frozenQuantile(10, time.Second, 0, 5*time.Second, 2*time.Second, 1); got != 2*time.Second {
		t.Errorf("maximum %v, want 2 s", got)
	}
	if got := frozenQuantile(10, time.Second, 0, 5*time.Second, 2*time.Second, .9); got != time.Second {
		t.Errorf("p90 %v, want 1 s", got)
	}
}

// chatYAML is a plain scenario of short streams.
func chatYAML(target, rate, duration string) string {
	return fmt.Sprintf(`
version: 1
name: chat
target: %s
duration: %s
seed: %d
workloads:
  chat:
    protocol: sse
    load: {rate: %s}
    request: {method: POST, path: /functions/v1/stream-ai, body: '{"prompt": "hello"}'}
`, target, duration, 1+rand.IntN(1000), rate)
}

// pause stops a process for a while, after a while.
func pause(t *testing.T, p *os.Process, after, length time.Duration) {
	t.Helper()
	wait(after)
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Error(err)
		return
	}
	wait(length)
	if err := p.Signal(syscall.SIGCONT); err != nil {
		t.Error(err)
	}
}

func wait(d time.Duration) { <-time.After(d) }
