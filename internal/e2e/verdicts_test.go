package e2e_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// As in: go test ./internal/e2e -run TestVerdicts -count=1 -v -args -repeat 20
var (
	repeat = flag.Int("repeat", 1, "runs of TestVerdicts inside the envelope, and as many past it")
	inside = flag.Int("inside", 500, "streams at once of TestVerdicts inside the envelope")
	past   = flag.Int("past", 5000, "streams at once of TestVerdicts past it")
	pin    = flag.String("pin", "", "CPU `list`, as taskset takes it, for the runs past the envelope; empty for the first that this process may use")
)

// verdictsYAML keeps so many streams of 20 events a second under way: each lasts
// 50 ms + 39 × 50 ms = 2 s.
const verdictsYAML = `
version: 1
name: verdicts
target: %s
warmup: 3s
duration: 5s
drain: 3s
workloads:
  chat:
    protocol: sse
    load: {rate: %d/s, max_in_flight: %d}
    request:
      method: POST
      path: /functions/v1/stream-ai
      headers: {X-Sim-Ttft: 'constant:50ms', X-Sim-Gap: 'constant:50ms', X-Sim-Tokens: 'constant:40', X-Sim-Per-Chunk: 'constant:1'}
      body: '{"prompt": "verdict"}'
`

func verdictScenario(url string, streams int) string {
	return fmt.Sprintf(verdictsYAML, url, streams/2, streams+streams/4)
}

// Inside the envelope of this machine every run is VALID; pushed past what its
// cores can do, on one of them for client and server, every run says so.
func TestVerdicts(t *testing.T) {
	t.Run("inside", func(t *testing.T) {
		envelope := filepath.Join(t.TempDir(), "envelope.json")
		cmd := exec.Command(filepath.Join(bin, "loadgen"), "calibrate", "-q", "--out", envelope, "--over", "plain",
			"--streams", fmt.Sprint(*inside), "--connections", "0", "--busy", "0", "--duration", "2s")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("calibrate: %v\n%s", err, out)
		}
		s := startServer(t)
		counts := verdicts(t, func() loadgenRun {
			return loadgen(t, verdictScenario(s.URL, *inside), nil, "--envelope", envelope)
		})
		if counts[result.Valid] != *repeat {
			t.Errorf("%v of %d runs", counts, *repeat)
		}
	})
	t.Run("past", func(t *testing.T) {
		cores := *pin
		if cores == "" {
			cores = firstCore(t)
		}
		s := startServer(t)
		if out, err := exec.Command("taskset", "-a", "-p", "-c", cores, fmt.Sprint(s.cmd.Process.Pid)).CombinedOutput(); err != nil {
			t.Fatalf("taskset: %v\n%s", err, out)
		}
		counts := verdicts(t, func() loadgenRun {
			return loadgenOn(t, cores, verdictScenario(s.URL, *past), nil)
		})
		if counts[result.Valid] != 0 {
			t.Errorf("%v of %d runs", counts, *repeat)
		}
	})
}

// verdicts does the runs and counts what they say.
func verdicts(t *testing.T, run func() loadgenRun) map[result.State]int {
	counts := make(map[result.State]int)
	for i := range *repeat {
		r := run()
		if r.Result == nil {
			t.Fatalf("no result; exit code %d\n%s\n%s", r.Code, r.Stdout, r.Stderr)
		}
		v, h := r.Result.Validity, r.Result.Health
		counts[v.State]++
		var reasons []string
		for _, reason := range v.Reasons {
			reasons = append(reasons, reason.Check+" "+reason.Detail)
			if reason.Remedy == "" {
				t.Errorf("%+v names no remedy", reason)
			}
		}
		t.Logf("run %d: %s, exit code %d: lateness p99 %v, CPU %.2f of %.0f, scheduler p99 %v, read delay p99 %v, GC %v: %s",
			i+1, v.State, r.Code, h.LatenessP99NS, h.CPUCores, h.CPUQuota, h.SchedP99NS, h.ReadDelayP99NS, h.GCPauseMaxNS, strings.Join(reasons, "; "))
		if want := v.State == result.Invalid; (r.Code == 3) != want {
			t.Errorf("exit code %d of a run that is %s", r.Code, v.State)
		}
	}
	t.Logf("of %d runs: %d VALID, %d DEGRADED, %d INVALID", *repeat, counts[result.Valid], counts[result.Degraded], counts[result.Invalid])
	return counts
}

// firstCore is the first CPU that this process may use.
func firstCore(t *testing.T) string {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, list, ok := strings.Cut(string(status), "Cpus_allowed_list:")
	if !ok {
		t.Fatal("/proc/self/status has no Cpus_allowed_list")
	}
	return strings.TrimSpace(list[:strings.IndexAny(list, "-,\n")])
}
