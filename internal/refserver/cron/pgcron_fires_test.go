package cron

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/edgeload/edgeload/internal/service"
)

// simulated is a PostgreSQL with pg_cron whose clock runs fast and can be set.
type simulated struct {
	conn  *pgx.Conn
	url   string // of the database that has the extension
	clock string // file that libfaketime reads
	speed int    // how much faster than ours its clock runs
}

// startSimulated starts one at that time.
//
// pg_cron's launcher takes the clock of the process that forked it, and the
// postmaster's is real within a signal handler, where it starts workers at first.
// So the launcher's database is missing at first: it ends, and is started anew by
// the postmaster's loop, whose clock is the simulated one.
func startSimulated(t *testing.T, now time.Time, speed int) *simulated {
	t.Helper()
	libs, err := filepath.Glob("/usr/lib/*/faketime/libfaketime.so.1")
	if err != nil || len(libs) == 0 {
		t.Fatalf("this test needs libfaketime (by hand: apt-get install faketime): %v", err)
	}
	dir, err := os.MkdirTemp("", "edgeload-clock-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // the user postgres reads there
		t.Fatal(err)
	}
	s := &simulated{clock: filepath.Join(dir, "clock"), speed: speed}
	s.set(t, now)
	pg := service.StartPostgres(t, service.PostgresOptions{
		Settings: []string{"shared_preload_libraries=pg_cron", "cron.database_name=cron", "cron.host=127.0.0.1", "cron.log_statement=off", "timezone=UTC"},
		Env:      []string{"LD_PRELOAD=" + libs[0], "FAKETIME_TIMESTAMP_FILE=" + s.clock, "FAKETIME_NO_CACHE=1", "TZ=UTC"},
	})
	if _, err := connect(t, pg.URL).Exec(t.Context(), "CREATE DATABASE cron"); err != nil {
		t.Fatal(err)
	}
	s.url = strings.Replace(pg.URL, "/postgres?", "/cron?", 1)
	s.conn = connect(t, s.url)
	if _, err := s.conn.Exec(t.Context(), "CREATE EXTENSION pg_cron"); err != nil {
		t.Fatal(err)
	}
	s.await(t, func() bool {
		launchers := 0
		if err := s.conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_cron launcher'").Scan(&launchers); err != nil {
			t.Fatal(err)
		}
		return launchers == 1
	})
	return s
}

// set sets its clock. Each process notices when it next looks at its clock.
func (s *simulated) set(t *testing.T, now time.Time) {
	t.Helper()
	next := s.clock + ".new"
	if err := os.WriteFile(next, fmt.Appendf(nil, "@%s x%d\n", now.Format(time.DateTime), s.speed), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, s.clock); err != nil {
		t.Fatal(err)
	}
}

// now is what its clock shows.
func (s *simulated) now(t *testing.T) time.Time {
	t.Helper()
	var now time.Time
	if err := s.conn.QueryRow(t.Context(), "SELECT clock_timestamp()").Scan(&now); err != nil {
		t.Fatal(err)
	}
	return now.UTC()
}

// await polls until it holds.
func (s *simulated) await(t *testing.T, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatal("it does not hold after 20 s")
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
}

// someSchedules are schedules that fire now and then around the turns of a month.
func someSchedules(n int) []string {
	r := rand.New(rand.NewPCG(16, 7))
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	out := make([]string, n)
	for i := range out {
		out[i] = strings.Join([]string{
			pick("*", "*/2", "*/3", "*/7", "*/59", "56-59", "57-3", "58,59,0,1", "0", "1", "59", "0-59/2", "0-59", "*,5", "2-58/7", "59,*/5", "0-10,40-59/3"),
			pick("*", "*", "*", "23", "0", "23,0", "*/23", "22-2", "0-23", "20-23/3", "0-4/2", "1-22"),
			pick("*", "*", "*", "28", "29", "1", "31", "28-31", "*/2", "*/28", "29-1", "1,*", "1,29,31", "30"),
			pick("*", "*", "*", "feb", "2-3", "Dec,JAN", "*/2", "12", "mar-dec", "3-2", "1-12/11"),
			pick("*", "*", "*", "mon", "tue", "Wed", "7", "0", "1-5", "*/2", "sat-sun", "5-7", "*/7", "4", "sun,mon"),
		}, " ")
	}
	return append(out, "* * * * *", "@hourly", "@daily", "@weekly", "@monthly", "@yearly", "59 23 * * *", "0-59 0-23 * * *", "0 0 29 feb *", "5-3 * * * *")
}

// due is when a run becomes due, by the simulated clock.
type due struct{ minute, tick time.Time }

func (d due) String() string { return d.minute.Format("15:04 ") + d.tick.Format(time.DateTime) }

// TestPgCronFires runs some hundred schedules side by side in the real extension
// and here, through the end of a February with 29 days, the end of a year, and
// leaps of the clock.
func TestPgCronFires(t *testing.T) {
	s := startSimulated(t, time.Date(2028, 2, 28, 23, 56, 0, 0, time.UTC), 60)
	texts := someSchedules(240)
	schedules := make(map[int64]Schedule, len(texts))
	s.await(t, func() bool { sec := s.now(t).Second(); return sec > 5 && sec < 20 })
	tx, err := s.conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		var id int64
		if err := tx.QueryRow(t.Context(), "SELECT cron.schedule($1, 'SELECT 1')", text).Scan(&id); err != nil {
			t.Fatal(err)
		}
		if schedules[id], err = PgCron14.Parse(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}

	var (
		clock    Clock
		expected = map[int64][]due{}
		total    int
		at       = s.now(t)
	)
	// follow lets the clock tick every second up to the given time.
	follow := func(until time.Time) {
		for ; !at.After(until); at = at.Add(time.Second) {
			for _, d := range clock.Tick(at) {
				for id, schedule := range schedules {
					if d.Runs(schedule) {
						expected[id] = append(expected[id], due{d.Minute, at})
						total++
					}
				}
			}
		}
		at = until
	}
	runs := func() (n int) {
		if err := s.conn.QueryRow(t.Context(), "SELECT count(*) FROM cron.job_run_details WHERE status IN ('succeeded', 'failed')").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	// pass lets at least that much simulated time pass, up to the middle of a
	// minute by when what was due has run.
	pass := func(d time.Duration) {
		t.Helper()
		from := at
		var last string
		deadline := time.Now().Add(20*time.Second + d/time.Duration(s.speed))
		for {
			now := s.now(t)
			follow(now)
			n := runs()
			last = fmt.Sprintf("at %s %d runs, want %d", now, n, total)
			if now.Sub(from) >= d && now.Second() > 15 && now.Second() < 45 && n == total {
				return
			}
			if time.Now().After(deadline) {
				compare(t, s, texts, schedules, expected)
				t.Fatal(last)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	leap := func(to func(now time.Time) time.Time) {
		t.Helper()
		now := s.now(t)
		follow(now)
		at = to(now).Truncate(time.Second)
		s.set(t, at)
	}
	by := func(d time.Duration) func(time.Time) time.Time {
		return func(now time.Time) time.Time { return now.Add(d) }
	}
	beforeMidnight := func(month time.Month, day int) func(time.Time) time.Time {
		return func(time.Time) time.Time { return time.Date(2028, month, day, 23, 57, 30, 0, time.UTC) }
	}
	pass(4 * time.Minute) // into 29 February
	leap(beforeMidnight(2, 29))
	pass(4 * time.Minute) // into March
	leap(beforeMidnight(12, 31))
	pass(4 * time.Minute) // into the next year
	leap(by(4 * time.Minute))
	pass(time.Minute)
	leap(by(50 * time.Minute))
	pass(2 * time.Minute)
	leap(by(170 * time.Minute))
	pass(time.Minute)
	compare(t, s, texts, schedules, expected)

	// Back is another matter: this extension stands still until its clock has
	// caught up, because the time it takes to have passed is never negative. Clock
	// runs wildcard jobs, as the rules would have it.
	before := runs()
	leap(by(-20 * time.Minute))
	back := at
	s.await(t, func() bool { return s.now(t).Sub(back) > 3*time.Minute })
	if n := runs(); n != before {
		t.Errorf("%d runs after the clock went back: pg_cron has learnt it, and Clock can be compared", n-before)
	}
}

// compare compares the runs there were with those there should have been.
func compare(t *testing.T, s *simulated, texts []string, schedules map[int64]Schedule, expected map[int64][]due) {
	t.Helper()
	// On a slow machine the 10 s, simulated, that pg_cron gives a run to begin may
	// pass: that one has no start, but it fired.
	rows, err := s.conn.Query(t.Context(), "SELECT jobid, coalesce(start_time, end_time, '-infinity') FROM cron.job_run_details ORDER BY runid")
	if err != nil {
		t.Fatal(err)
	}
	got := map[int64][]time.Time{}
	var id int64
	var start pgtype.Timestamptz
	if _, err := pgx.ForEachRow(rows, []any{&id, &start}, func() error {
		got[id] = append(got[id], start.Time.UTC())
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	runs, fired, late := 0, 0, 0
	for id := range schedules {
		want := expected[id]
		if len(got[id]) != len(want) {
			t.Errorf("%q ran %d times, want %d\nran %v\nwant %v", texts[id-1], len(got[id]), len(want), got[id], want)
			continue
		}
		if len(want) == 0 {
			continue
		}
		fired++
		soonest := time.Hour
		for i, d := range want {
			runs++
			if got[id][i].IsZero() {
				continue
			}
			lag := got[id][i].Sub(d.tick)
			soonest = min(soonest, lag)
			if lag < -5*time.Second {
				t.Errorf("%q ran at %s, before %s", texts[id-1], got[id][i], d)
			}
		}
		if soonest >= time.Minute {
			late++ // each time in a later minute: a slow machine, if it is one of many
		}
	}
	t.Logf("%d schedules, %d of which ran, %d runs, %d schedules late", len(schedules), fired, runs, late)
	if late > fired/20 || fired < len(texts)/3 || fired == len(texts) {
		t.Errorf("%d runs of %d of %d schedules, %d always late", runs, fired, len(texts), late)
	}
}
