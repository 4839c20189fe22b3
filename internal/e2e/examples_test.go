package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// example is a file of scenarios/examples, with texts in it replaced: old, new, …
func example(t *testing.T, name string, replaced ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../scenarios/examples", name))
	if err != nil {
		t.Fatal(err)
	}
	s := string(b)
	for i := 0; i < len(replaced); i += 2 {
		if strings.Count(s, replaced[i]) != 1 {
			t.Fatalf("%s does not say %q once", name, replaced[i])
		}
		s = strings.Replace(s, replaced[i], replaced[i+1], 1)
	}
	return s
}

// counts compares counters and ratios of a workload.
func counts(t *testing.T, w result.Workload, want map[string]float64) {
	t.Helper()
	for name, n := range want {
		if got := metric(t, w, name).Value; got != n {
			t.Errorf("%s.%s = %v, want %v", w.Name, name, got, n)
		}
	}
}

// The example for any server with OpenAI's API, against the one of the reference server.
func TestOpenAICompatible(t *testing.T) {
	s := startServer(t, sdkTiming...)
	run := measured(t, example(t, "openai-compatible.yaml", "warmup: 2s", "warmup: 0s"), nil, "--target", s.URL, "-d", "1s", "-e", "RATE=40/s", "-e", "OPENAI_API_KEY=sk-of-nobody")
	balanced(t, run.Result)
	if run.Code != 0 {
		t.Errorf("exit code %d\n%s\n%s", run.Code, run.Stdout, run.Stderr)
	}
	w := run.workload(t, "chat")
	counts(t, w, map[string]float64{"streams": 40, "complete": 40, "tokens_out": 40 * 20})
	if ttft, n := quantile(t, w, "ttft_service", .5), metric(t, w, "tpot").Distribution.Count; ttft < 20*time.Millisecond || ttft > 40*time.Millisecond || n != 40 {
		t.Errorf("ttft p50 %v of 20 ms; tpot, by the server's usage, of %d streams", ttft, n)
	}
	files, err := filepath.Glob(filepath.Join(run.Dir, "*"))
	if err != nil || len(files) < 2 {
		t.Fatalf("the run has left %v, %v", files, err)
	}
	for _, file := range files {
		if b, err := os.ReadFile(file); err != nil || strings.Contains(string(b), "sk-of-nobody") {
			t.Errorf("%s holds the key, or cannot be read: %v", file, err)
		}
	}
}
