package e2e_test

import (
	"os"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/service"
)

// What the guide's retries do, and what they leave out, in the report's figures.
func denoRetries(t *testing.T) {
	d := startDeno(t, service.DenoOptions{})
	sink := countedSink(t)
	run := measured(t, example(t, "deno/retry.yaml"), func(*os.Process) { sink.begin() }, "--target", d.URL, "-d", "2s", "--sink-listen", sink.Sink, "--sink-url", sink.URL)
	if run.Code != 0 {
		t.Errorf("exit code %d\n%s\n%s", run.Code, run.Stdout, run.Stderr)
	}
	balanced(t, run.Result)
	attempts := 0.0
	for _, w := range run.Result.Workloads {
		attempts += metric(t, w, "attempts_total").Value
	}
	if n := sink.passed(); n != attempts {
		t.Errorf("%v attempts, %v calls have passed to the sink", attempts, n)
	}
	for name, want := range map[string]map[string]float64{ // of 10 requests each
		"down":    {"amplification": 3, "given_up": 10, "status_5xx": 10, "waits_conforming": 20},
		"limited": {"amplification": 1, "not_retried": 10, "status_4xx": 10},
		"away":    {"amplification": 2, "retry_after_ignored": 10, "waits_early": 10, "succeeded": 10},
		"cut":     {"amplification": 1, "not_retried": 10, "status_5xx": 10},
	} {
		counts(t, run.workload(t, name), want)
	}
	failing, full := run.workload(t, "failing"), run.workload(t, "as_full")
	// A wait of 1 s to 2 s is within 0 to 1 s, and the tolerance of 100 ms, once in ten.
	judged, late := metric(t, failing, "waits_judged").Value, metric(t, full, "waits_late").Value
	counts(t, failing, map[string]float64{"requests": 20, "waits_conforming": judged, "violations": 0})
	if least := quantile(t, failing, "wait", 0); judged == 0 || late <= 10 || least < time.Second {
		t.Errorf("%v waits of at least %v judged, %v of 20 late for full jitter", judged, least, late)
	}
}
