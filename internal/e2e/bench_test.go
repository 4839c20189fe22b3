package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// The main job: every shipped scenario against the reference server, shortened.
func TestBench(t *testing.T) {
	out := t.TempDir()
	cmd := exec.Command(filepath.Join(bin, "loadgen"), "bench", "--quick", "--quiet", "--scenarios", "../../scenarios", "--out", out)
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	for _, name := range []string{"stream-ai", "ws-relay", "wait-until", "retry", "cron", "guide-app"} {
		dir := filepath.Join(out, "latest", name)
		r, err := result.Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		balanced(t, r)
		if r.Validity.State == result.Invalid {
			t.Errorf("%s: %+v", name, r.Validity)
		}
		if len(r.Thresholds) < 3 {
			t.Errorf("%s: %d thresholds", name, len(r.Thresholds))
		}
		if page, err := os.ReadFile(filepath.Join(dir, "report.html")); err != nil || len(page) < 20_000 {
			t.Errorf("%s: report.html has %d bytes, %v", name, len(page), err)
		}
	}
}
