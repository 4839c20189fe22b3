package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func lead(t *testing.T, s *Store, holder string, ttl time.Duration) *Lease {
	t.Helper()
	l, err := s.Lead(t.Context(), holder, ttl)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Release(context.Background()); err != nil && !errors.Is(err, ErrLeaseLost) {
			t.Errorf("release: %v", err)
		}
	})
	return l
}

func testRuns(t *testing.T, db database) {
	s := open(t, db.dsn(t))
	l := lead(t, s, "me", 5*time.Second)
	begin := func(job int64, at time.Time, lap int64) (int64, bool) {
		t.Helper()
		id, ok, err := l.Begin(t.Context(), Run{
			JobID: job, Command: "digest", Database: "d", Username: "u", StartTime: noon.Add(time.Millisecond), ScheduledAt: at, Lap: lap,
		})
		if err != nil {
			t.Fatal(err)
		}
		return id, ok
	}
	first, ok := begin(1, noon, 0)
	if !ok || first == 0 {
		t.Fatalf("run %d, %v", first, ok)
	}
	if id, ok := begin(1, noon, 0); ok {
		t.Errorf("the instant is fired again by run %d", id)
	}
	later, ok := begin(1, noon.Add(time.Minute), 0)
	other, otherOK := begin(2, noon, 0)
	lapped, lappedOK := begin(1, noon, 1)
	if !ok || !otherOK || !lappedOK || later == first || other == first || lapped == first {
		t.Errorf("another instant, job or lap is refused")
	}
	done, err := s.Finish(t.Context(), first, Outcome{Status: RunSucceeded, Message: "1 row", HTTPStatus: 200, End: noon.Add(time.Second)})
	if !done || err != nil {
		t.Fatalf("finish: %v, %v", done, err)
	}
	if again, err := s.Finish(t.Context(), first, Outcome{Status: RunFailed}); again || err != nil {
		t.Errorf("finished twice: %v, %v", again, err)
	}
	named := schedule(t, s, "digest", "@daily", "digest")
	marked, err := l.FailUnfinished(t.Context(), noon.Add(time.Hour))
	if err != nil || named != 1 {
		t.Fatalf("job %d, %v", named, err)
	}
	wantMarked := []Unfinished{{later, "digest", noon.Add(time.Minute)}, {other, "2", noon}, {lapped, "digest", noon}}
	if diff := cmp.Diff(wantMarked, marked); diff != "" {
		t.Errorf("marked (-want +got):\n%s", diff)
	}
	if again, err := l.FailUnfinished(t.Context(), noon.Add(2*time.Hour)); len(again) != 0 || err != nil {
		t.Errorf("marked twice: %+v, %v", again, err)
	}

	runs, err := s.Runs(t.Context(), RunQuery{})
	if err != nil || len(runs) != 4 {
		t.Fatalf("%+v, %v", runs, err)
	}
	r := runs[3]
	if r.RunID != first || r.JobID != 1 || r.Status != RunSucceeded || r.ReturnMessage != "1 row" || r.HTTPStatus != 200 ||
		r.Command != "digest" || r.JobPID == 0 || !r.ScheduledAt.Equal(noon) || !r.EndTime.Equal(noon.Add(time.Second)) || !r.StartTime.Equal(noon.Add(time.Millisecond)) {
		t.Errorf("%+v", r)
	}
	if r := runs[0]; r.Status != RunFailed || r.ReturnMessage != "server restarted" || r.Lap != 1 || !r.EndTime.Equal(noon.Add(time.Hour)) {
		t.Errorf("%+v", r)
	}
	older, err := s.Runs(t.Context(), RunQuery{JobID: 1, Before: lapped, Limit: 1})
	if err != nil || len(older) != 1 || older[0].RunID != later {
		t.Errorf("%+v, %v", older, err)
	}
	const big = 5_000_000_000 // more than 32 bits
	if none, err := s.Runs(t.Context(), RunQuery{JobID: big}); len(none) != 0 || err != nil {
		t.Errorf("runs of job %d: %+v, %v", int64(big), none, err)
	}
	if all, err := s.Runs(t.Context(), RunQuery{Before: big}); len(all) != 4 || err != nil {
		t.Errorf("runs before %d: %+v, %v", int64(big), all, err)
	}
}

func testLease(t *testing.T, db database) {
	s := open(t, db.dsn(t))
	l := lead(t, s, "first", 5*time.Second)
	if !l.LastTick.IsZero() || l.Lap != 0 {
		t.Errorf("a new database was led before: %+v", l)
	}
	if _, err := s.Lead(t.Context(), "second", 5*time.Second); !errors.Is(err, ErrLed) {
		t.Fatalf("two lead: %v", err)
	}
	if err := l.Tick(t.Context(), noon, 2); err != nil {
		t.Fatal(err)
	}
	if err := l.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	next := lead(t, s, "second", 5*time.Second)
	if !next.LastTick.Equal(noon) || next.Lap != 2 {
		t.Errorf("the next leader finds %s, lap %d", next.LastTick, next.Lap)
	}
	wantLost(t, l)
	if err := next.Tick(t.Context(), noon.Add(time.Second), 2); err != nil {
		t.Errorf("the leader cannot tick: %v", err)
	}
}

// Who waited for the database while another took the lead does not take it from it:
// on SQLite the lead that was just taken must not look like one of before the clock was
// set back.
func testLeadWhileWaiting(t *testing.T, db database) {
	dsn := db.dsn(t)
	first := open(t, dsn)
	second := first
	if dsn != Memory { // where each that is opened is another
		second = open(t, dsn)
	}
	writing, release := make(chan struct{}), make(chan struct{})
	outcomes := make(chan error, 3)
	go func() {
		outcomes <- first.write(t.Context(), func(context.Context, querier) error {
			close(writing)
			<-release
			return nil
		})
	}()
	<-writing
	leases := make(chan *Lease, 2)
	ask := func(s *Store, holder string) {
		l, err := s.Lead(t.Context(), holder, 5*time.Second)
		if err == nil {
			leases <- l
		}
		outcomes <- err
	}
	go ask(second, "the one who waits long")
	time.Sleep(50 * time.Millisecond)
	go ask(first, "the one who comes later")
	time.Sleep(50 * time.Millisecond)
	close(release)
	led := 0
	for range 3 {
		if err := <-outcomes; errors.Is(err, ErrLed) {
			led++
		} else if err != nil {
			t.Error(err)
		}
	}
	if led != 1 {
		t.Errorf("%d of two were told that another leads, want one", led)
	}
	if err := (<-leases).Release(t.Context()); err != nil {
		t.Error(err)
	}
}

// When Release has returned the lead is free at once.
func testRelease(t *testing.T, db database) {
	s := open(t, db.dsn(t))
	for range 100 {
		if err := lead(t, s, "turn", 5*time.Second).Release(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// A leader that stands still loses the lead after its time to live, and can then
// write nothing.
func testTakeover(t *testing.T, db database) {
	s := open(t, db.dsn(t))
	const ttl = time.Second
	l := lead(t, s, "stuck", ttl)
	stood := time.Now()
	var next *Lease
	for next == nil {
		got, err := s.Lead(t.Context(), "next", ttl)
		switch {
		case err == nil:
			next = got
		case !errors.Is(err, ErrLed):
			t.Fatal(err)
		case time.Since(stood) > 5*ttl:
			t.Fatal("nobody takes over")
		}
		if err := pause(t.Context(), 20*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(stood); took < ttl/2 {
		t.Errorf("taken over after %s, the time to live is %s", took, ttl)
	}
	wantLost(t, l)
	if err := next.Release(t.Context()); err != nil {
		t.Error(err)
	}
}

func wantLost(t *testing.T, l *Lease) {
	t.Helper()
	_, ok, err := l.Begin(t.Context(), Run{JobID: 7, ScheduledAt: noon, StartTime: noon})
	if ok || !errors.Is(err, ErrLeaseLost) {
		t.Errorf("one that does not lead begins a run: %v, %v", ok, err)
	}
	if err := l.Tick(t.Context(), noon, 0); !errors.Is(err, ErrLeaseLost) {
		t.Errorf("one that does not lead ticks: %v", err)
	}
}
