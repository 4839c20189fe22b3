package result

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/edgeload/edgeload/internal/loadgen/hist"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

func sample(t *testing.T) *Result {
	t.Helper()
	h := hist.New(hist.Durations)
	for i := range int64(1000) {
		h.Record(i*1e6, 1)
	}
	h.Record(-1, 2)
	d, err := NewDistribution(h)
	if err != nil {
		t.Fatal(err)
	}
	r := healthy()
	r.Version, r.ID = Version, NewID(time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC), "chat")
	r.Started = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	sc, err := scenario.ReadFile("../../../scenarios/guide-app.yaml", scenario.Options{})
	if err != nil {
		t.Fatal(err)
	}
	sc.Dir = "" // not written
	r.Scenario = sc
	r.Workloads[0].Protocol, r.Workloads[0].Intervals = scenario.SSE, []Interval{{EndNS: time.Second, InFlight: 3}}
	r.Machine, r.Build, r.Validity = ThisMachine(), ThisBuild(), Judge(r)
	r.Workloads[0].Metrics = []Metric{{Name: "ttft", Kind: Histogram, Unit: Nanoseconds, Distribution: d}}
	return r
}

func TestRoundTrip(t *testing.T) {
	r := sample(t)
	b, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	dir, err := SaveRun(root, r.ID, map[string][]byte{FileName: b, "sub/report.html": []byte("page")})
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(root, "20260102T030405.678Z-chat"); dir != want {
		t.Errorf("saved to %s, want %s", dir, want)
	}
	for _, path := range []string{dir, filepath.Join(root, "latest"), filepath.Join(dir, FileName)} {
		back, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r, back, cmpopts.EquateComparable(scenario.TimeDist{}, scenario.CountDist{})); diff != "" {
			t.Errorf("read from %s (-written +read):\n%s", path, diff)
		}
		h, err := back.Workloads[0].Metrics[0].Histogram()
		if err != nil || h.Count() != 1000 || h.OutOfRange() != 2 || h.Quantile(.5) != r.Workloads[0].Metrics[0].Distribution.P50 {
			t.Errorf("histogram after reading: %v %v", h, err)
		}
	}
}

func TestSaveRunIsAllOrNothing(t *testing.T) {
	root := t.TempDir()
	files := map[string][]byte{"a": nil}
	if _, err := SaveRun(root, "one", files); err != nil {
		t.Fatal(err)
	}
	if _, err := SaveRun(root, "two", files); err != nil {
		t.Fatal(err)
	}
	if got, err := os.Readlink(filepath.Join(root, "latest")); err != nil || got != "two" {
		t.Errorf("latest points at %q, %v", got, err)
	}
	// A run of the same name is not overwritten, and what was begun is gone.
	if err := os.WriteFile(filepath.Join(root, "two", "mark"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := SaveRun(root, "two", files); err == nil {
		t.Error("saving over an existing run succeeded")
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			t.Errorf("left behind: %s", e.Name())
		}
	}
	if _, err := os.Stat(filepath.Join(root, "two", "mark")); err != nil {
		t.Error("the existing run was changed")
	}
	// A folder named latest is the user's own.
	other := t.TempDir()
	if err := os.Mkdir(filepath.Join(other, "latest"), 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := SaveRun(other, "one", files)
	if err == nil || !strings.Contains(err.Error(), "no symbolic link") || dir == "" {
		t.Errorf("%q, %v; want the run saved and the error told", dir, err)
	}
}

func TestReadRejects(t *testing.T) {
	dir := t.TempDir()
	for name, tc := range map[string]struct{ content, want string }{
		"empty":       {"", "not a result file"},
		"other json":  {`{"a": 1}`, "no version"},
		"newer":       {`{"version": 2}`, "version 2"},
		"no scenario": {`{"version": 1}`, "no scenario"},
		"wrong type":  {`{"version": 1, "workloads": 3}`, "workloads"},
	} {
		path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".json")
		if err := os.WriteFile(path, []byte(tc.content), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := Read(path)
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v, want the path and %q", name, err, tc.want)
		}
	}
	if _, err := Read(filepath.Join(dir, "absent")); err == nil {
		t.Error("reading an absent file succeeded")
	}
}

func FuzzRead(f *testing.F) {
	f.Add(`{"version":1,"scenario":{"name":"x"},"workloads":[{"metrics":[{"name":"ttft","kind":"histogram","unit":"ns","distribution":{"count":1,"hdr":"x"}}]}]}`)
	f.Add(`{"version":1}`)
	f.Fuzz(func(t *testing.T, content string) {
		path := filepath.Join(t.TempDir(), FileName)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		r, err := Read(path)
		if err != nil {
			return
		}
		Judge(r)
		for _, w := range r.Workloads {
			for _, m := range w.Metrics {
				_, _ = m.Histogram() // an error is an answer, a panic is not
			}
		}
	})
}
