// Package e2e_test runs the two programs as a user does, as processes of their
// own, and looks at what they leave behind. It imports neither: only result
// files are read.
//
// Those that measure time run one after the other, with nothing beside them, and not
// under the race detector. Those that count alone run in parallel, once the others are
// through.
package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// bin is the folder of the two programs, built once.
var bin string

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "edgeload-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if out, err := exec.Command("go", "build", "-o", dir, "../../cmd/...").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the programs: %v\n%s", err, out)
		return 1
	}
	bin = dir
	// A calibration of this machine must not have a say in what is tested here.
	if err := os.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// keys are the keys that a secret makes, by name.
func keys(t testing.TB, secret string) map[string]string {
	t.Helper()
	out, err := exec.Command(filepath.Join(bin, "reference-server"), "keys", "--jwt-secret", secret).Output()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		if name, key, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			all[name] = key
		}
	}
	return all
}

// A server is a running reference-server.
type server struct {
	URL string
	cmd *exec.Cmd
	log *bytes.Buffer
}

// startServer starts a reference-server that is stopped with the test.
func startServer(t testing.TB, args ...string) *server {
	t.Helper()
	s := &server{log: new(bytes.Buffer)}
	s.cmd = exec.Command(filepath.Join(bin, "reference-server"), append([]string{"--listen", "127.0.0.1:0"}, args...)...)
	s.cmd.Stderr = s.log
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.stop(t) })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("reference-server said nothing: %v\n%s", err, s.log)
	}
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if !ok {
		t.Fatalf("reference-server said %q", line)
	}
	s.URL = url
	return s
}

// stop ends the server in order and fails the test when it does not end well.
func (s *server) stop(t testing.TB) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("stop reference-server: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("reference-server ended with %v\n%s", err, tail(s.log.String()))
		}
	case <-time.After(30 * time.Second):
		_ = s.cmd.Process.Kill() // it has failed already
		t.Errorf("reference-server did not stop\n%s", tail(s.log.String()))
	}
}

func tail(s string) string { return s[max(0, len(s)-4000):] }

// A loadgenRun is one call of loadgen run.
type loadgenRun struct {
	Result         *result.Result // nil when no result was written
	Dir            string
	Code           int
	Stdout, Stderr string
	Took           time.Duration
}

// loadgen runs a scenario given as YAML, and calls during, if any, once the
// process runs.
func loadgen(t testing.TB, yaml string, during func(*os.Process), args ...string) loadgenRun {
	t.Helper()
	return loadgenOn(t, "", yaml, during, args...)
}

// loadgenOn is loadgen on some CPUs only, as taskset takes them; empty for all.
func loadgenOn(t testing.TB, cores, yaml string, during func(*os.Process), args ...string) loadgenRun {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "scenario.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	out := filepath.Join(dir, "reports")
	argv := append([]string{filepath.Join(bin, "loadgen"), "run", "--out", out, file}, args...)
	if cores != "" {
		argv = append([]string{"taskset", "-c", cores}, argv...)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if during != nil {
		during(cmd.Process)
	}
	err := cmd.Wait()
	run := loadgenRun{Code: cmd.ProcessState.ExitCode(), Stdout: stdout.String(), Stderr: stderr.String(), Took: time.Since(start), Dir: filepath.Join(out, "latest")}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if r, err := result.Read(run.Dir); err == nil {
		run.Result = r
	} else if !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return run
}

// measured runs a scenario until the instrument vouches for the numbers, three
// times at most: on a machine that other work has taken over, INVALID is the
// right answer and no figure can be checked.
func measured(t testing.TB, yaml string, during func(*os.Process), args ...string) loadgenRun {
	t.Helper()
	var run loadgenRun
	for range 3 {
		run = loadgen(t, yaml, during, args...)
		if run.Result == nil {
			t.Fatalf("no result; exit code %d\n%s\n%s", run.Code, run.Stdout, run.Stderr)
		}
		if run.Result.Validity.State != result.Invalid {
			return run
		}
		t.Logf("INVALID, again: %+v", run.Result.Validity.Reasons)
	}
	t.Fatalf("INVALID three times: the machine is too busy to measure on\n%s", run.Stdout)
	return run
}

func (r loadgenRun) workload(t testing.TB, name string) result.Workload {
	t.Helper()
	if r.Result == nil {
		t.Fatalf("no result; exit code %d\n%s\n%s", r.Code, r.Stdout, r.Stderr)
	}
	i := slices.IndexFunc(r.Result.Workloads, func(w result.Workload) bool { return w.Name == name })
	if i < 0 {
		t.Fatalf("no workload %s", name)
	}
	return r.Result.Workloads[i]
}

// metric returns a metric that must be there.
func metric(t testing.TB, w result.Workload, name string) result.Metric {
	t.Helper()
	i := slices.IndexFunc(w.Metrics, func(m result.Metric) bool { return m.Name == name })
	if i < 0 {
		t.Fatalf("workload %s has no metric %s", w.Name, name)
	}
	return w.Metrics[i]
}

// quantile of a histogram that must have samples.
func quantile(t testing.TB, w result.Workload, name string, q float64) time.Duration {
	t.Helper()
	m := metric(t, w, name)
	h, err := m.Histogram()
	if err != nil {
		t.Fatal(err)
	}
	if h == nil {
		t.Fatalf("%s.%s has no samples", w.Name, name)
	}
	return time.Duration(h.Quantile(q))
}

// balanced fails when a sum of the result does not add up.
func balanced(t testing.TB, r *result.Result) {
	t.Helper()
	for _, w := range r.Workloads {
		for _, b := range w.Balances {
			if !b.Even() {
				t.Errorf("%s: %s: %d against %d", w.Name, b.Name, b.Left, b.Right)
			}
		}
	}
}

// get reads a page of the server.
func get(t testing.TB, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s\n%s", url, resp.Status, b.String())
	}
	return b.String()
}
