package functions

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/edgeload/edgeload/internal/refserver/truth"
)

// reopened is a ledger on a file that an earlier process has left behind with these
// events of jobs.
func reopened(t testing.TB, path string, events []truth.Record) *truth.Ledger {
	t.Helper()
	earlier, _, err := truth.Open(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range events {
		earlier.Add(r)
	}
	if err := earlier.Close(); err != nil {
		t.Fatal(err)
	}
	later, _, err := truth.Open(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = later.Close() })
	return later
}

func jobEvents(id, steps string, events ...string) (all []truth.Record) {
	for _, event := range events {
		r := truth.Record{Kind: truth.Job, Name: NameTrackEvent, ID: id, Event: event}
		if event == eventQueued {
			r.Detail = steps
		}
		all = append(all, r)
	}
	return all
}

func TestReconcileJobs(t *testing.T) {
	for _, tc := range []struct {
		name    string
		steps   string
		events  []string
		counted bool
		want    string // its end; empty: it had one
	}{
		{"only queued", "metrics", []string{"queued"}, false, "lost"},
		{"killed before the commit", "metrics", []string{"queued", "started"}, false, "lost"},
		{"killed after the commit", "metrics", []string{"queued", "started"}, true, "completed"},
		{"killed before its last word", "metrics", []string{"queued", "started", "metrics_updated"}, true, "completed"},
		{"killed before the webhook", "metrics webhook", []string{"queued", "started", "metrics_updated"}, true, "lost"},
		{"killed after the webhook", "metrics webhook callback", []string{"queued", "started", "metrics_updated", "webhook_sent"}, true, "completed"},
		{"completed", "metrics", []string{"queued", "started", "metrics_updated", "completed"}, true, ""},
		{"completed and called back", "metrics callback", []string{"queued", "started", "metrics_updated", "completed", "callback_sent"}, true, ""},
		{"failed", "metrics", []string{"queued", "started", "failed"}, false, ""},
		{"lost", "metrics", []string{"queued", "started", "lost"}, false, ""},
		{"refused", "metrics", []string{"refused"}, false, ""},
		{"queued again under its id", "metrics", []string{"queued", "started", "completed", "queued", "started"}, true, "completed"},
	} {
		ledger := reopened(t, filepath.Join(t.TempDir(), "truth.jsonl"), jobEvents("job", tc.steps, tc.events...))
		asked := 0
		has := func(_ context.Context, id string) (bool, error) { asked++; return tc.counted, nil }
		got, err := ReconcileJobs(t.Context(), ledger, has)
		want := map[string]Reconciled{"": {}, "lost": {Lost: 1}, "completed": {Completed: 1}}[tc.want]
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", tc.name, got, err, want)
		}
		all := records(t, ledger, truth.Job)
		if tc.want == "" {
			if len(all) != len(tc.events) || asked != 0 {
				t.Errorf("%s: the store was asked %d times, and ground truth has %+v", tc.name, asked, all)
			}
			continue
		}
		if last := all[len(all)-1]; len(all) != len(tc.events)+1 || last.Event != tc.want || last.ID != "job" || last.Name != NameTrackEvent {
			t.Errorf("%s: ground truth has %+v", tc.name, all)
		}
		if again, err := ReconcileJobs(t.Context(), ledger, has); err != nil || again != (Reconciled{}) {
			t.Errorf("%s: a second time: %+v, %v", tc.name, again, err)
		}
	}
}

func TestReconcileStopsWhereTheStoreCannotTell(t *testing.T) {
	ledger := reopened(t, filepath.Join(t.TempDir(), "truth.jsonl"), jobEvents("job", "metrics", "queued"))
	broken := errors.New("no such table")
	got, err := ReconcileJobs(t.Context(), ledger, func(context.Context, string) (bool, error) { return false, broken })
	if !errors.Is(err, broken) || got != (Reconciled{}) || len(records(t, ledger, truth.Job)) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestReconcileEvensTheBooks: whatever a process left behind, afterwards every job
// that was queued has ended as often, and jobs of other functions are as they were.
func TestReconcileEvensTheBooks(t *testing.T) {
	dir := t.TempDir()
	files := 0
	rapid.Check(t, func(rt *rapid.T) {
		life := []string{"queued", "started", "metrics_updated", "webhook_sent", "completed", "callback_sent"}
		var lives [][]truth.Record
		counted := make(map[string]bool)
		for i := range rapid.IntRange(0, 20).Draw(rt, "jobs") {
			id := fmt.Sprint("job-", i)
			n := rapid.IntRange(1, len(life)).Draw(rt, "events")
			lives = append(lives, jobEvents(id, "metrics webhook callback", life[:n]...))
			counted[id] = n >= 3 || n == 2 && rapid.Bool().Draw(rt, "committed")
		}
		other := truth.Record{Kind: truth.Job, Name: "another-function", ID: "job-0", Event: eventQueued}
		events := []truth.Record{other}
		for len(lives) > 0 { // interleaved as they may have been
			i := rapid.IntRange(0, len(lives)-1).Draw(rt, "next")
			events = append(events, lives[i][0])
			if lives[i] = lives[i][1:]; len(lives[i]) == 0 {
				lives = append(lives[:i], lives[i+1:]...)
			}
		}
		files++
		ledger := reopened(t, filepath.Join(dir, fmt.Sprint(files)), events)
		got, err := ReconcileJobs(t.Context(), ledger, func(_ context.Context, id string) (bool, error) { return counted[id], nil })
		if err != nil {
			rt.Fatal(err)
		}
		counts := make(map[string]int)
		for _, r := range records(t, ledger, truth.Job) {
			if r.Name == NameTrackEvent {
				counts[r.Event]++
			}
		}
		if counts["queued"] != counts["completed"]+counts["lost"] || got.Lost != counts["lost"] || counts["completed"] != counts["webhook_sent"] {
			rt.Fatalf("%+v, ground truth has %v", got, counts)
		}
		_ = ledger.Close()
	})
}
