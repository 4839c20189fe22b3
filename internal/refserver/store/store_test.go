package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/edgeload/edgeload/internal/service"
)

// suite is what every database must do.
var suite = map[string]func(t *testing.T, db database){
	"metrics":                 testMetrics,
	"metrics against a model": testMetricsModel,
	"many writers":            testManyWriters,
	"half-written":            testHalfWritten,
	"jobs":                    testJobs,
	"columns":                 testColumns,
	"runs":                    testRuns,
	"lease":                   testLease,
	"lease while waiting":     testLeadWhileWaiting,
	"lease released":          testRelease,
	"newer schema":            testNewerSchema,
	"several start at once":   testSeveralStart,
	"what is kept":            testKept,
	"lease taken over":        testTakeover,
	"killed writer":           testKilledWriter,
	"cron functions":          testCronFunctions,
}

func TestStore(t *testing.T) {
	for _, db := range databases(t) {
		t.Run(db.name, func(t *testing.T) {
			for name, test := range suite {
				t.Run(name, func(t *testing.T) { test(t, db) })
			}
		})
	}
}

func testMetrics(t *testing.T, db database) {
	s, before := open(t, db.dsn(t)), time.Now()
	for _, e := range []struct{ user, event, job string }{
		{"ann", "signup", "1"}, {"ann", "login", "2"}, {"ann", "login", "3"}, {"ann", "login", "3"}, {"bob", "login", "4"},
		{"eve", "login", "3"}, // a job's id counts once, whoever brings it
	} {
		if err := s.UpdateUserMetrics(t.Context(), e.user, e.event, e.job); err != nil {
			t.Fatal(err)
		}
	}
	metrics, err := metricsOf(t.Context(), s, "ann")
	if err != nil {
		t.Fatal(err)
	}
	if len(metrics) != 2 || metrics[0].Event != "login" || metrics[0].Count != 2 || metrics[1].Event != "signup" || metrics[1].Count != 1 {
		t.Errorf("metrics %+v", metrics)
	}
	for _, m := range metrics {
		if m.FirstAt.Before(before.Add(-time.Second)) || m.LastAt.Before(m.FirstAt) || m.LastAt.After(time.Now().Add(time.Second)) {
			t.Errorf("instants of %+v", m)
		}
	}
	users, uerr := s.Users(t.Context())
	done, derr := jobsDone(t.Context(), s)
	if users != 2 || done != 4 || uerr != nil || derr != nil {
		t.Errorf("%d users, %d jobs, %v, %v", users, done, uerr, derr)
	}
	for job, want := range map[string]bool{"1": true, "4": true, "5": false} {
		if got, err := s.HasJob(t.Context(), job); got != want || err != nil {
			t.Errorf("job %s: %v, %v", job, got, err)
		}
	}
	if none, err := metricsOf(t.Context(), s, "eve"); len(none) != 0 || err != nil {
		t.Errorf("metrics of eve: %v, %v", none, err)
	}
	wantClean(t, s)
}

// Any order of calls, repeated ones among them, leaves what a map would have.
func testMetricsModel(t *testing.T, db database) {
	s := open(t, db.dsn(t))
	type counter struct{ user, event string }
	model, jobs := map[counter]int64{}, map[string]bool{}
	word := rapid.SampledFrom([]string{"a", "b", "é\"'", ""})
	rapid.Check(t, func(t *rapid.T) {
		c := counter{word.Draw(t, "user"), word.Draw(t, "event")}
		job := fmt.Sprint(rapid.IntRange(0, 50).Draw(t, "job"))
		if err := s.UpdateUserMetrics(context.Background(), c.user, c.event, job); err != nil {
			t.Fatal(err)
		}
		if !jobs[job] {
			jobs[job] = true
			model[c]++
		}
		metrics, err := metricsOf(context.Background(), s, c.user)
		if err != nil {
			t.Fatal(err)
		}
		got, want := map[counter]int64{}, map[counter]int64{}
		for _, m := range metrics {
			got[counter{m.UserID, m.Event}] = m.Count
		}
		for k, n := range model {
			if k.user == c.user {
				want[k] = n
			}
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(counter{})); diff != "" {
			t.Fatal(diff)
		}
	})
	wantClean(t, s)
}

func testManyWriters(t *testing.T, db database) {
	s := open(t, db.dsn(t))
	const writers, each, users = 50, 40, 10
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for n := range each {
				if err := s.UpdateUserMetrics(t.Context(), fmt.Sprint("user-", n%users), "tick", fmt.Sprint(w, "-", n)); err != nil {
					t.Errorf("writer %d: %v", w, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if done, err := jobsDone(t.Context(), s); done != writers*each || err != nil {
		t.Errorf("%d jobs, want %d; %v", done, writers*each, err)
	}
	metrics, err := metricsOf(t.Context(), s, "user-3")
	if err != nil || len(metrics) != 1 || metrics[0].Count != writers*each/users {
		t.Errorf("metrics %+v, %v", metrics, err)
	}
	wantClean(t, s)
	if stats := s.WriteStats(); s.sqlite != nil && (stats.Writes != writers*each || stats.Batches == 0 || stats.Batches >= stats.Writes) {
		t.Errorf("%+v: writes were not gathered", stats)
	}
}

func testHalfWritten(t *testing.T, db database) {
	s := open(t, db.dsn(t))
	for i, user := range []string{"a", "b", "c", "d"} {
		for _, job := range []int{0, 1} {
			if err := s.UpdateUserMetrics(t.Context(), user, "e", fmt.Sprint(i, job)); err != nil {
				t.Fatal(err)
			}
		}
	}
	wantClean(t, s)
	for _, statement := range []string{
		`UPDATE user_metrics SET count = count + 1 WHERE user_id = 'a'`,
		`DELETE FROM user_metrics WHERE user_id = 'b'`,
		`DELETE FROM user_events WHERE user_id = 'c'`,
		`UPDATE user_metrics SET first_at = '1999-01-01T00:00:00.000000Z' WHERE user_id = 'd'`,
	} {
		err := s.write(t.Context(), func(ctx context.Context, q querier) error {
			_, err := q.ExecContext(ctx, statement)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []Mismatch{{"a", "e", 3, 2, "count"}, {"b", "e", 0, 2, "count"}, {"c", "e", 2, 0, "count"}, {"d", "e", 2, 2, "instants"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func wantClean(t *testing.T, s *Store) {
	t.Helper()
	if found, err := s.Check(context.Background()); len(found) > 0 || err != nil {
		t.Errorf("half-written: %+v, %v", found, err)
	}
}

func testJobs(t *testing.T, db database) {
	s := open(t, db.dsn(t))
	first := schedule(t, s, "digest", "0 9 * * *", "one")
	if again := schedule(t, s, "digest", "0 10 * * *", "two"); again != first {
		t.Errorf("scheduled again it is job %d, was %d", again, first)
	}
	nameless := schedule(t, s, "", "* * * * *", "three")
	if other := schedule(t, s, "", "* * * * *", "three"); other == nameless || other == first {
		t.Errorf("jobs without a name share the id %d", other)
	}
	inactive, command := false, "four"
	if err := s.Alter(t.Context(), nameless, Alteration{Active: &inactive, Command: &command}); err != nil {
		t.Fatal(err)
	}
	jobs, err := s.Jobs(t.Context())
	if err != nil || len(jobs) != 3 {
		t.Fatalf("%+v, %v", jobs, err)
	}
	if j := jobs[0]; j.ID != first || j.Name != "digest" || j.Schedule != "0 10 * * *" || j.Command != "two" || !j.Active || j.Username == "" || j.Database == "" || j.NodeName != "localhost" || j.NodePort == 0 {
		t.Errorf("%+v", j)
	}
	if j := jobs[1]; j.ID != nameless || j.Name != "" || j.Schedule != "* * * * *" || j.Command != "four" || j.Active {
		t.Errorf("%+v", j)
	}
	if err := errors.Join(s.Unschedule(t.Context(), nameless), s.UnscheduleName(t.Context(), "digest")); err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{
		"id":    s.Unschedule(t.Context(), nameless),
		"name":  s.UnscheduleName(t.Context(), "digest"),
		"alter": s.Alter(t.Context(), first, Alteration{Active: &inactive}),
	} {
		if !errors.Is(err, ErrNoJob) {
			t.Errorf("%s of a job that is gone: %v", what, err)
		}
	}
	if again := schedule(t, s, "digest", "@daily", "one"); again <= first {
		t.Errorf("a new job has the id %d, which was in use", again)
	}
}

func schedule(t *testing.T, s *Store, name, schedule, command string) int64 {
	t.Helper()
	id, err := s.Schedule(t.Context(), name, schedule, command)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// The tables can be read as pg_cron's are, with its columns in its order.
func testColumns(t *testing.T, db database) {
	s := open(t, db.dsn(t))
	schedule(t, s, "digest", "0 9 * * *", "one")
	jobs, runs := `SELECT * FROM cron.job`, `SELECT * FROM cron.job_run_details`
	if s.sqlite != nil {
		jobs, runs = `SELECT * FROM "cron.job"`, `SELECT * FROM "cron.job_run_details"`
	}
	for query, want := range map[string]string{
		jobs: "jobid schedule command nodename nodeport database username active jobname",
		runs: "jobid runid job_pid database username command status return_message start_time end_time",
	} {
		rows, err := s.read.QueryContext(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		columns, err := rows.Columns()
		if got := strings.Join(columns, " "); err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("%s has %s, %v; want %s", query, got, err, want)
		}
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
	}
}

func testNewerSchema(t *testing.T, db database) {
	if !db.keep {
		return // nobody can open it twice
	}
	dsn := db.dsn(t)
	s := open(t, dsn)
	err := s.write(t.Context(), func(ctx context.Context, q querier) error {
		_, err := q.ExecContext(ctx, `UPDATE edgeload_schema SET version = version + 1`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if newer, err := Open(t.Context(), dsn); err == nil || !strings.Contains(err.Error(), "newer program") {
		t.Errorf("opened %v, %v", newer, err)
	}
}

func testSeveralStart(t *testing.T, db database) {
	dsn := db.dsn(t)
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			s, err := Open(t.Context(), dsn)
			if err != nil {
				t.Errorf("open: %v", err)
				return
			}
			if err := errors.Join(s.UpdateUserMetrics(t.Context(), "u", "e", fmt.Sprint(n)), s.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	want := int64(8)
	if !db.keep {
		want = 0
	}
	s := open(t, dsn)
	if done, err := jobsDone(t.Context(), s); done != want || err != nil {
		t.Errorf("%d jobs, want %d; %v", done, want, err)
	}
	wantClean(t, s)
}

func testKept(t *testing.T, db database) {
	dsn := db.dsn(t)
	s, err := Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	id := schedule(t, s, "digest", "@daily", "one")
	if err := errors.Join(s.UpdateUserMetrics(t.Context(), "u", "e", "1"), s.Close()); err != nil {
		t.Fatal(err)
	}
	if err := s.UpdateUserMetrics(t.Context(), "u", "e", "2"); err == nil {
		t.Error("a closed store takes writes")
	}
	s = open(t, dsn)
	jobs, jerr := s.Jobs(t.Context())
	has, herr := s.HasJob(t.Context(), "1")
	kept := has && slices.ContainsFunc(jobs, func(j Job) bool { return j.ID == id })
	if kept != db.keep || jerr != nil || herr != nil {
		t.Errorf("kept: %v, %+v, %v, %v", has, jobs, jerr, herr)
	}
}

// What cannot be opened says so, without its password.
func TestOpenRefused(t *testing.T) {
	for _, dsn := range []string{
		"postgres://user:hunter2@127.0.0.1:1/none",
		"postgres://user:hunter2@127.0.0.1:port/none",
		t.TempDir(), // a folder
		t.TempDir() + "/none/store.db",
	} {
		s, err := Open(t.Context(), dsn)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s opens as %v, %v", dsn, s, err)
		}
	}
}

// The guide's rpc call names two parameters.
func TestSQLFunction(t *testing.T) {
	pg := service.StartPostgres(t, service.PostgresOptions{Cron: true})
	s := open(t, pg.URL)
	for range 2 {
		if _, err := s.postgres.db.ExecContext(t.Context(), `SELECT update_user_metrics(p_user_id => 'ann', p_event => 'login')`); err != nil {
			t.Fatal(err)
		}
	}
	metrics, err := metricsOf(t.Context(), s, "ann")
	if err != nil || len(metrics) != 1 || metrics[0].Count != 2 {
		t.Errorf("%+v, %v", metrics, err)
	}
	wantClean(t, s)

	// The server has pg_cron, to which the schema cron belongs.
	if s.schema != "edgeload_cron" {
		t.Errorf("cron tables are in %q", s.schema)
	}
	schedule(t, s, "digest", "@daily", "one")
	var theirs, ours int
	err = s.postgres.db.QueryRowContext(t.Context(), `SELECT (SELECT count(*) FROM cron.job), (SELECT count(*) FROM edgeload_cron.job)`).Scan(&theirs, &ours)
	if theirs != 0 || ours != 1 || err != nil {
		t.Errorf("%d jobs in pg_cron, %d in ours, %v", theirs, ours, err)
	}
}

// What the guide has a user say to pg_cron can be said to a PostgreSQL without it.
func testCronFunctions(t *testing.T, db database) {
	s := open(t, db.dsn(t))
	if s.postgres == nil {
		return // SQLite has no functions of its own
	}
	const guide = `
SELECT cron.schedule(
'morning-digest',
'0 9 * * *',
$$
SELECT net.http_post(
url := current_setting('app.supabase_url') || '/functions/v1/morning-digest',
body := '{}'::jsonb
);
$$
);`
	var named, again, nameless int64
	err := errors.Join(
		s.read.QueryRowContext(t.Context(), guide).Scan(&named),
		s.read.QueryRowContext(t.Context(), guide).Scan(&again),
		s.read.QueryRowContext(t.Context(), `SELECT cron.schedule('@daily', 'digest')`).Scan(&nameless),
	)
	if err != nil || again != named || nameless == named {
		t.Errorf("jobs %d, %d and %d, %v", named, again, nameless, err)
	}
	for _, query := range []string{
		`SELECT cron.alter_job($1, schedule := '5 seconds', active := false)`,
		`SELECT cron.unschedule($1::bigint)`,
	} {
		if _, err := s.postgres.db.ExecContext(t.Context(), query, nameless); err != nil {
			t.Errorf("%s: %v", query, err)
		}
		if jobs, err := s.Jobs(t.Context()); err != nil || len(jobs) > 1 && (jobs[1].Schedule != "5 seconds" || jobs[1].Active || jobs[1].Command != "digest") {
			t.Errorf("%s leaves %+v, %v", query, jobs, err)
		}
		if _, err := s.postgres.db.ExecContext(t.Context(), query, nameless+100); err == nil || !strings.Contains(err.Error(), ErrNoJob.Error()) {
			t.Errorf("%s of no job: %v", query, err)
		}
	}
	var gone bool
	if err := s.read.QueryRowContext(t.Context(), `SELECT cron.unschedule('morning-digest')`).Scan(&gone); err != nil || !gone {
		t.Errorf("unschedule by name: %v, %v", gone, err)
	}
	if _, err := s.postgres.db.ExecContext(t.Context(), `SELECT cron.unschedule('morning-digest')`); err == nil || !strings.Contains(err.Error(), "could not find valid entry for job 'morning-digest'") {
		t.Errorf("unschedule of nothing: %v", err)
	}
	if jobs, err := s.Jobs(t.Context()); err != nil || len(jobs) != 0 {
		t.Errorf("%+v, %v", jobs, err)
	}
}
