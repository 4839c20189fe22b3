package e2e_test

import (
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// startFlags are run's flags that start a reference-server, which writes its
// number to a file first, and the address it listens on.
func startFlags(t *testing.T, args ...string) (flags []string, url, pidFile string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	pidFile = filepath.Join(t.TempDir(), "pid")
	command := fmt.Sprintf("echo $$ > %s && %s --listen %s %s", pidFile, filepath.Join(bin, "reference-server"), addr, strings.Join(args, " "))
	return []string{"--start", command, "--ready", "http://" + addr + "/healthz"}, "http://" + addr, pidFile
}

// What the server used is in the result, and agrees with what is known of the run:
// a descriptor for each stream, and the CPU time that /proc tells this test.
func TestResourcesOfAStartedServer(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Logf("no figures on %s: only that nothing breaks", runtime.GOOS)
	}
	flags, url, pidFile := startFlags(t, "--sim-ttft", "constant:300ms")
	var used time.Duration
	run := loadgen(t, strings.Replace(chatYAML(url, "50/s", "2s"), "duration:", "warmup: 1s\nduration:", 1), func(*os.Process) {
		wait(2800 * time.Millisecond) // ready and idle take some 1.2 s of it
		p := readProcess(t, pidFile)
		used = cpuTime(t, p)
	}, flags...)
	if run.Code != 0 || run.Result == nil || run.Result.Resources == nil {
		t.Fatalf("exit code %d, no resources\n%s\n%s", run.Code, run.Stdout, run.Stderr)
	}
	r := run.Result.Resources
	if runtime.GOOS != "linux" {
		if len(r.Unknown) == 0 {
			t.Error("no figures, and nothing said")
		}
		return
	}
	if r.Measured == nil || r.Idle == nil || r.After == nil || len(r.Unknown) > 0 || r.Ended != nil {
		t.Fatalf("resources %+v", r)
	}
	if first, last := r.Series[0].CPUNS, r.Series[len(r.Series)-1].CPUNS; used < first || used > last {
		t.Errorf("CPU %v before and %v after, but %v in between", first, last, used)
	}
	if d := r.Measured.ToNS - r.Measured.FromNS; d != 2*time.Second || r.Measured.CPUErrorNS > r.Measured.CPUNS/10 {
		t.Errorf("measured %v: CPU %v ± %v", d, r.Measured.CPUNS, r.Measured.CPUErrorNS)
	}
	w := run.workload(t, "chat")
	if o := r.PerOperation[0]; o.Count != int64(metric(t, w, "finished").Value) || math.Abs(o.CPUNS*float64(o.Count)-float64(r.Measured.CPUNS)) > 1e3 {
		t.Errorf("an operation %+v", o)
	}
	c := r.PerConnection
	if c == nil || c.Connections < 20 || math.Abs(c.FDs-c.Connections) > .2*c.Connections+3 {
		t.Fatalf("a connection %+v", c)
	}
	if kib := c.Bytes / 1024; kib < 4 || kib > 400 {
		t.Errorf("%.1f KiB a connection", kib)
	}
	if !strings.Contains(run.Stdout, "memory a connection") {
		t.Errorf("the report does not say so:\n%s", run.Stdout)
	}
}

// readProcess is the process whose number a file holds.
func readProcess(t *testing.T, pidFile string) *os.Process {
	t.Helper()
	b, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A server that is killed in a run of an hour ends it in order: everything is
// written, with the errors by class, and the reason stands on stderr.
func TestServerKilledInARun(t *testing.T) {
	t.Parallel()
	flags, url, pidFile := startFlags(t)
	run := loadgen(t, chatYAML(url, "20/s", "1h"), func(*os.Process) {
		wait(3 * time.Second)
		if err := readProcess(t, pidFile).Signal(syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}, flags...)
	if run.Code != 1 || run.Took > 12*time.Second {
		t.Errorf("exit code %d after %v, want 1 soon after 3 s\n%s", run.Code, run.Took, run.Stderr)
	}
	if want := "the server under test ended "; !strings.Contains(run.Stderr, want) || !strings.Contains(run.Stderr, "signal: killed") {
		t.Errorf("stderr does not say %q:\n%s", want, run.Stderr)
	}
	if run.Result == nil || !run.Result.Interrupted {
		t.Fatalf("no result of an interrupted run")
	}
	balanced(t, run.Result)
	classes := make(map[string]int64)
	for _, e := range run.workload(t, "chat").Errors {
		classes[e.Class] = e.Count
	}
	// It goes on for a second, so that what clients saw then is counted too.
	if n := classes["connection refused"]; n < 10 || n > 30 {
		t.Errorf("%d refused connections, want about 20: %v", n, classes)
	}
	r := run.Result.Resources
	if r == nil || r.Ended == nil || r.Ended.Status != "signal: killed" || len(r.PerOperation) > 0 {
		t.Errorf("resources %+v", r)
	}
	for _, name := range []string{"server.log", "report.html", "result.json"} {
		if b, err := os.ReadFile(filepath.Join(run.Dir, name)); err != nil || len(b) == 0 {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
	if !strings.Contains(run.Stdout, "by itself: signal: killed") {
		t.Errorf("the report does not say so:\n%s", run.Stdout)
	}
}

// bench samples its server too, and says which run was the first on it.
func TestBenchSamplesItsServer(t *testing.T) {
	scenarios, out := t.TempDir(), t.TempDir()
	for _, name := range []string{"first", "second"} {
		yaml := fmt.Sprintf("version: 1\nname: %s\ntarget: http://127.0.0.1:1\nduration: 1s\nworkloads:\n  w: {protocol: http, load: {rate: 50/s}, request: {path: /healthz}}\n", name)
		if err := os.WriteFile(filepath.Join(scenarios, name+".yaml"), []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(filepath.Join(bin, "loadgen"), "bench", "--quiet", "--scenarios", scenarios, "--out", out)
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	for earlier, name := range []string{"first", "second"} {
		r, err := result.Read(filepath.Join(out, "latest", name))
		if err != nil {
			t.Fatal(err)
		}
		if r.Resources == nil || r.Resources.EarlierRuns != earlier || !strings.Contains(r.Resources.Command, "reference-server --listen") {
			t.Errorf("%s: %+v", name, r.Resources)
		}
	}
}
