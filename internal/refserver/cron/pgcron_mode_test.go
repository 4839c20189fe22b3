package cron

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/refserver/store"
	"github.com/edgeload/edgeload/internal/refserver/truth"
	"github.com/edgeload/edgeload/internal/service"
)

// witness is a Caller that keeps what it is asked and answers as it is told, and
// keeps what is recorded.
type witness struct {
	answer func(ctx context.Context, c Call) (int, error) // nil answers 200

	mu      sync.Mutex
	calls   []Call
	records []truth.Record
}

func (w *witness) Call(ctx context.Context, c Call) (int, error) {
	w.mu.Lock()
	w.calls = append(w.calls, c)
	w.mu.Unlock()
	if w.answer != nil {
		return w.answer(ctx, c)
	}
	return 200, nil
}

func (w *witness) add(r truth.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.records = append(w.records, r)
}

func (w *witness) called() []Call {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.calls)
}

// events are those recorded of a job, with why.
func (w *witness) events(job string) (out []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.records {
		if r.Name == job {
			out = append(out, strings.TrimSpace(r.Event+" "+r.Detail))
		}
	}
	return out
}

// startPgCron runs a PgCron for the length of the test.
func startPgCron(t *testing.T, dsn string, w *witness, o PgCronOptions) *PgCron {
	t.Helper()
	o.DSN, o.Caller, o.Log = dsn, w, slog.New(slog.DiscardHandler)
	p, err := NewPgCron(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	p.add = w.add
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done; p.Close() })
	return p
}

// until polls until it holds.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// The real extension fires, jobs made here and jobs made in SQL, and two servers
// that listen share the calls.
func TestPgCronMode(t *testing.T) {
	s := startSimulated(t, time.Date(2028, 2, 28, 23, 50, 0, 0, time.UTC), 30)
	a, b := new(witness), new(witness)
	p := startPgCron(t, s.url, a, PgCronOptions{})
	startPgCron(t, s.url, b, PgCronOptions{})
	ctx := t.Context()
	id, err := p.Schedule(ctx, "digest", "* * * * *", `morning-digest {"kind": "it's \"short\""}`)
	if err != nil {
		t.Fatal(err)
	}
	var made int64
	if err := s.conn.QueryRow(ctx, `SELECT cron.schedule('*/2 * * * *', $$SELECT edgeload.invoke('other', '{"a": 1}')$$)`).Scan(&made); err != nil {
		t.Fatal(err)
	}
	both := func() []Call { return append(a.called(), b.called()...) }
	of := func(job string) (calls []Call) {
		for _, c := range both() {
			if c.Job == job {
				calls = append(calls, c)
			}
		}
		slices.SortFunc(calls, func(a, b Call) int { return a.Scheduled.Compare(b.Scheduled) })
		return calls
	}
	until(t, "calls", func() bool { return len(of("digest")) >= 3 && len(of(fmt.Sprint(made))) >= 1 })
	inactive := false
	if err := p.Alter(ctx, id, store.Alteration{Active: &inactive}); err != nil {
		t.Fatal(err)
	}
	if err := p.Unschedule(ctx, made); err != nil {
		t.Fatal(err)
	}

	jobs, err := p.Jobs(ctx)
	if err != nil || len(jobs) != 1 || jobs[0].ID != id || jobs[0].Name != "digest" || jobs[0].Active || jobs[0].Schedule != "* * * * *" {
		t.Errorf("jobs %+v, %v", jobs, err)
	}
	// Runs that began before it was made inactive end. On a slow machine one may not
	// begin within the 10 s, simulated, that pg_cron gives it.
	var calls []Call
	until(t, "history", func() bool {
		runs, err := p.Runs(ctx, store.RunQuery{JobID: id})
		if err != nil {
			t.Fatal(err)
		}
		runs = slices.DeleteFunc(runs, func(r store.Run) bool { return r.Status == store.RunFailed })
		calls = of("digest")
		last := runs[len(runs)-1]
		return len(runs) == len(calls) && last.HTTPStatus == 200 && last.ScheduledAt.Equal(calls[0].Scheduled) && last.Status == store.RunSucceeded
	})
	if c := calls[0]; c.Function != "morning-digest" || string(c.Body) != `{"kind": "it's \"short\""}` || c.RunID == 0 {
		t.Errorf("called with %+v", c)
	}
	for i, c := range calls[1:] {
		if passed := c.Scheduled.Sub(calls[i].Scheduled); passed <= 0 || passed%time.Minute != 0 || c.Scheduled.Second() != 0 {
			t.Errorf("scheduled for %s and %s", calls[i].Scheduled, c.Scheduled)
		}
	}
	for _, c := range of(fmt.Sprint(made)) {
		if c.Function != "other" || string(c.Body) != `{"a": 1}` || c.Scheduled.Minute()%2 != 0 {
			t.Errorf("called with %+v", c)
		}
	}
	ids := map[int64]bool{}
	for _, c := range both() {
		if ids[c.RunID] {
			t.Errorf("run %d was called twice", c.RunID)
		}
		ids[c.RunID] = true
	}
	want := slices.Concat(slices.Repeat([]string{"fired"}, len(calls)), slices.Repeat([]string{"succeeded"}, len(calls)))
	until(t, fmt.Sprintf("records %q", want), func() bool {
		events := append(a.events("digest"), b.events("digest")...)
		slices.Sort(events)
		return slices.Equal(events, want)
	})
}

func TestPgCronJobErrors(t *testing.T) {
	pg := service.StartPostgres(t, service.PostgresOptions{Cron: true})
	p := startPgCron(t, pg.URL, new(witness), PgCronOptions{})
	ctx := t.Context()
	no, daily := "no", "@daily"
	for what, err := range map[string]error{
		"by id": p.Unschedule(ctx, 77), "by name": p.UnscheduleName(ctx, "nobody"),
		"alter": p.Alter(ctx, 77, store.Alteration{Schedule: &daily}), "alter command": p.Alter(ctx, 77, store.Alteration{Command: &no}),
	} {
		if !errors.Is(err, store.ErrNoJob) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := p.Schedule(ctx, "", "61 * * * *", "digest"); !errors.Is(err, ErrInvalidSchedule) || !strings.Contains(err.Error(), "invalid schedule: 61 * * * *") {
		t.Errorf("a bad schedule: %v", err)
	}
	// What is no function's name is SQL and stays so.
	id, err := p.Schedule(ctx, "vacuum", "@daily", "VACUUM ANALYZE")
	if err != nil {
		t.Fatal(err)
	}
	command := "SELECT net.http_post(url := 'http://x/functions/v1/digest', body := '{\"path\": \"C:\\\\\"}'::jsonb, timeout_milliseconds := 250)"
	if err := p.Alter(ctx, id, store.Alteration{Command: &command}); err != nil {
		t.Fatal(err)
	}
	again, err := p.Schedule(ctx, "plain", "@daily", "VACUUM ANALYZE")
	if err != nil || again == id {
		t.Fatalf("job %d, %v", again, err)
	}
	jobs, err := p.Jobs(ctx)
	if err != nil || len(jobs) != 2 ||
		jobs[0].Command != `SELECT edgeload.invoke('digest', E'{"path": "C:\\\\"}', job => 'vacuum', timeout_milliseconds => 250)` ||
		jobs[1].Command != "VACUUM ANALYZE" {
		t.Errorf("jobs %+v, %v", jobs, err)
	}
	if err := p.UnscheduleName(ctx, "plain"); err != nil {
		t.Error(err)
	}
	const big = 5_000_000_000 // more than 32 bits
	if runs, err := p.Runs(ctx, store.RunQuery{JobID: big, Before: big}); len(runs) != 0 || err != nil {
		t.Errorf("runs of job %d: %+v, %v", int64(big), runs, err)
	}

	plain := service.StartPostgres(t, service.PostgresOptions{})
	if _, err := NewPgCron(ctx, PgCronOptions{DSN: plain.URL}); err == nil || !strings.Contains(err.Error(), "CREATE EXTENSION pg_cron") {
		t.Errorf("without the extension: %v", err)
	}
}

// edgeload.invoke runs with its owner's rights: what a caller has made of its own
// under the name of a type of the system's does not stand for it.
func TestPgCronInvokeIgnoresTemporaryTypes(t *testing.T) {
	pg := service.StartPostgres(t, service.PostgresOptions{Cron: true})
	startPgCron(t, pg.URL, new(witness), PgCronOptions{})
	conn := connect(t, pg.URL)
	if _, err := conn.Exec(t.Context(), "CREATE DOMAIN pg_temp.timestamptz AS pg_catalog.timestamptz CHECK (VALUE IS NULL)"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "SELECT edgeload.invoke('digest')"); err != nil {
		t.Error(err)
	}
}

// What came of each run is told: calls that fail, too many at once, and what was
// asked for while nobody listened.
func TestPgCronRuns(t *testing.T) {
	pg := service.StartPostgres(t, service.PostgresOptions{Cron: true})
	conn := connect(t, pg.URL)
	ctx := t.Context()
	ask := func(function, more string) (run int64) {
		t.Helper()
		if err := conn.QueryRow(ctx, "SELECT edgeload.invoke($1"+more+")", function).Scan(&run); err != nil {
			t.Fatal(err)
		}
		return run
	}
	release := make(chan struct{})
	w := &witness{answer: func(ctx context.Context, c Call) (int, error) {
		switch c.Function {
		case "broken":
			return 503, nil
		case "refused":
			return 0, errors.New("connection refused")
		case "slow":
			<-ctx.Done()
			return 0, ctx.Err()
		case "held":
			<-release
		}
		return 200, nil
	}}
	// Installed, but nobody listens yet.
	first, err := NewPgCron(ctx, PgCronOptions{DSN: pg.URL, Caller: w})
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	old := ask("early", "")
	if _, err := conn.Exec(ctx, "UPDATE edgeload.run SET asked_at = asked_at - interval '6 seconds'"); err != nil {
		t.Fatal(err)
	}
	ask("young", ", job => 'young one'")
	startPgCron(t, pg.URL, w, PgCronOptions{MaxRunning: 2})

	events := func(job string, want ...string) {
		t.Helper()
		until(t, fmt.Sprintf("%s %q", job, want), func() bool { return slices.Equal(w.events(job), want) })
	}
	events("early", "missed nobody listened")
	events("young one", "fired", "succeeded")
	ask("broken", "")
	events("broken", "fired", "failed HTTP status 503")
	ask("refused", "")
	events("refused", "fired", "failed connection refused")
	ask("slow", ", timeout_milliseconds => 50")
	events("slow", "fired", "failed no answer within 50ms")

	ask("held", "")
	ask("held", "")
	events("held", "fired", "fired")
	ask("crowded", "")
	events("crowded", "dropped 2 calls under way")
	close(release)
	events("held", "fired", "fired", "succeeded", "succeeded")

	// The connection it listens on is cut.
	events("", "listener_ready")
	if _, err := conn.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN edgeload_run'"); err != nil {
		t.Fatal(err)
	}
	until(t, "listening again", func() bool {
		all := w.events("")
		return len(all) == 3 && strings.HasPrefix(all[1], "listener_lost ") && all[2] == "listener_ready"
	})
	ask("later", "")
	events("later", "fired", "succeeded")

	var outcomes []string
	rows, err := conn.Query(ctx, "SELECT function, coalesce(http_status, 0), coalesce(error, '') FROM edgeload.run WHERE runid >= $1 ORDER BY runid", old)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var function, why string
		var status int
		if err := rows.Scan(&function, &status, &why); err != nil {
			t.Fatal(err)
		}
		outcomes = append(outcomes, fmt.Sprintf("%s %d %s", function, status, cmp.Or(why, "-")))
	}
	want := []string{
		"early 0 nobody listened", "young 200 -", "broken 503 HTTP status 503", "refused 0 connection refused", "slow 0 no answer within 50ms",
		"held 200 -", "held 200 -", "crowded 0 2 calls under way", "later 200 -",
	}
	if !slices.Equal(outcomes, want) {
		t.Errorf("edgeload.run has\n%q\nwant\n%q", outcomes, want)
	}
}
