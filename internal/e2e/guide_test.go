package e2e_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// guideApp is the shipped scenario of all five patterns.
func guideApp(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../scenarios/guide-app.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// counts is how often each event of a kind has happened to name, or to all where that
// is empty, by ground truth.
func (s *jobServer) counts(t *testing.T, kind, name string) map[string]int64 {
	t.Helper()
	var truth struct {
		Counts []struct {
			Kind, Name, Event string
			Count             int64
		}
	}
	s.admin(t, "truth", &truth)
	all := make(map[string]int64)
	for _, c := range truth.Counts {
		if c.Kind == kind && (name == "" || c.Name == name) {
			all[c.Event] += c.Count
		}
	}
	return all
}

// All five patterns at once: the run ends when it should, and what it counts is what
// the server has counted.
func TestAllPatternsAtOnce(t *testing.T) {
	s := &jobServer{server: startServer(t, "--jwt-secret", jobSecret), key: keys(t, jobSecret)["SERVICE_ROLE_KEY"]}
	run := measured(t, guideApp(t), nil, "--target", s.URL, "-e", "SERVICE_ROLE_KEY="+s.key, "-d", "8s")
	if run.Code != 0 || run.Result.Validity.State != result.Valid {
		t.Errorf("exit code %d, %s %+v\n%s", run.Code, run.Result.Validity.State, run.Result.Validity.Reasons, run.Stderr)
	}
	// 3 s of warm-up and 8 s measured; the longest stream begun in the last instant is
	// over in some 4 s.
	if took := run.Result.ElapsedNS; took < 11*time.Second || took > 17*time.Second {
		t.Errorf("the run took %v", took)
	}
	balanced(t, run.Result)
	var names []string
	for _, w := range run.Result.Workloads {
		names = append(names, w.Name)
		if offered, finished := metric(t, w, "offered").Value, metric(t, w, "finished").Value; offered == 0 || offered != finished {
			t.Errorf("%s: %v offered, %v finished", w.Name, offered, finished)
		}
	}
	if want := []string{"api", "chat", "digest", "jobs", "rooms"}; !slices.Equal(names, want) {
		t.Errorf("workloads %v, want %v", names, want)
	}
	for name, want := range map[string]map[string]float64{
		"chat":   {"failed": 0, "truncated": 0},
		"rooms":  {"lost": 0, "duplicated": 0, "reordered": 0, "connections": 200},
		"jobs":   {"lost": 0, "duplicated": 0, "strangers": 0},
		"api":    {"violations": 0, "strangers": 0},
		"digest": {"missed": 0, "doubled": 0, "instants": metric(t, run.workload(t, "digest"), "called").Value},
	} {
		w := run.workload(t, name)
		for counter, n := range want {
			if got := metric(t, w, counter).Value; got != n {
				t.Errorf("%s: %s is %v, want %v", name, counter, got, n)
			}
		}
	}
	// The warm-up's are in the server's counts too, and in those of the calls to the sink.
	jobs, retries := s.counts(t, "job", ""), s.counts(t, "retry", "fetch-with-retry")
	if calls := metric(t, run.workload(t, "jobs"), "calls").Value; calls == 0 || calls != float64(jobs["callback_sent"]) || jobs["lost"] != 0 {
		t.Errorf("%v calls about jobs; ground truth %v", calls, jobs)
	}
	api := slices.IndexFunc(run.Result.Sink.Calls, func(c result.SinkCalls) bool { return c.Name == "api" })
	if api < 0 || run.Result.Sink.Calls[api].Calls != retries["attempt"]+retries["retry"] {
		t.Errorf("calls at the sink %+v; ground truth %v", run.Result.Sink.Calls, retries)
	}
}

// Killed in the middle, the target takes nothing with it: every workload says how its
// arrivals ended, and the run ends when it should.
func TestAllPatternsWhenTheTargetIsKilled(t *testing.T) {
	t.Parallel()
	s := startJobServer(t, filepath.Join(t.TempDir(), "app.db"))
	run := loadgen(t, guideApp(t), func(*os.Process) {
		wait(6 * time.Second)
		if err := s.cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
	}, "--target", s.URL, "-e", "SERVICE_ROLE_KEY="+s.key, "-d", "6s")
	if run.Code != 99 || run.Result == nil {
		t.Fatalf("exit code %d, want thresholds that fail\n%s\n%s", run.Code, run.Stdout, run.Stderr)
	}
	if took := run.Result.ElapsedNS; took < 9*time.Second || took > 19*time.Second { // 8 s of drain
		t.Errorf("the run took %v", took)
	}
	balanced(t, run.Result)
	for name, class := range map[string]string{
		"chat": "connection refused", "jobs": "connection refused", "api": "connection refused", "digest": "missed", "rooms": "connection closed 1006",
	} {
		w := run.workload(t, name)
		classes := make(map[string]int64)
		for _, e := range w.Errors {
			classes[e.Class] = e.Count
		}
		if classes[class] == 0 {
			t.Errorf("%s: errors %v, want %q among them", name, slices.Sorted(maps.Keys(classes)), class)
		}
		if metric(t, w, "offered").Value != metric(t, w, "finished").Value+metric(t, w, "dropped").Value {
			t.Errorf("%s: %+v", name, metric(t, w, "offered"))
		}
	}
	if _, err := os.Stat(filepath.Join(run.Dir, "report.html")); err != nil {
		t.Error(err)
	}
}
