package store

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/edgeload/edgeload/internal/service"
)

// writerEnv makes the test binary a process that writes to the database it names.
const writerEnv = "EDGELOAD_STORE_WRITER"

func TestMain(m *testing.M) {
	if dsn := os.Getenv(writerEnv); dsn != "" {
		if err := writeForever(context.Background(), dsn); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// writeForever counts jobs from several goroutines, and says the id of each on
// stdout once it is acknowledged. It ends with its standard input.
func writeForever(ctx context.Context, dsn string) error {
	s, err := Open(ctx, dsn)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var writers sync.WaitGroup
	for g := range 8 {
		writers.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				id := fmt.Sprintf("%d-%d-%d", os.Getpid(), g, n)
				if err := s.UpdateUserMetrics(ctx, "user-"+strconv.Itoa(n%7), "crash", id); err != nil {
					cancel(err)
					return
				}
				fmt.Println(id)
			}
		})
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
	}
	cancel(nil)
	writers.Wait()
	if err := s.Close(); err != nil {
		return err
	}
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// database is one of the databases that the suite runs on.
type database struct {
	name string
	keep bool                      // it outlives a Store
	dsn  func(t testing.TB) string // of a new, empty database
}

// databases are all three, with one PostgreSQL server between them.
func databases(t testing.TB) []database {
	pg := service.StartPostgres(t, service.PostgresOptions{})
	admin, err := sql.Open("pgx", pg.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close() })
	n := 0
	return []database{
		{name: "memory", dsn: func(testing.TB) string { return Memory }},
		{name: "file", keep: true, dsn: newFile},
		{name: "postgres", keep: true, dsn: func(t testing.TB) string {
			t.Helper()
			n++
			name := "suite_" + strconv.Itoa(n)
			if _, err := admin.ExecContext(context.Background(), "CREATE DATABASE "+name); err != nil {
				t.Fatal(err)
			}
			return strings.Replace(pg.URL, "/postgres?", "/"+name+"?", 1)
		}},
	}
}

// newFile is the path of a SQLite file yet to be, with what a URL would read as
// its own.
func newFile(t testing.TB) string {
	return filepath.Join(t.TempDir(), "store #1 50%?.db")
}

// open opens a database that is closed with the test.
func open(t testing.TB, dsn string) *Store {
	t.Helper()
	s, err := Open(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// jobsDone is how many jobs were counted, by whatever process.
func jobsDone(ctx context.Context, s *Store) (n int64, err error) {
	err = s.read.QueryRowContext(ctx, `SELECT count(*) FROM user_events`).Scan(&n)
	return n, err
}

// metric is the counter of one event of one user.
type metric struct {
	UserID, Event   string
	Count           int64
	FirstAt, LastAt time.Time
}

// metricsOf reads the counters of a user in the order of their events.
func metricsOf(ctx context.Context, s *Store, userID string) ([]metric, error) {
	const query = `SELECT user_id, event, count, first_at, last_at FROM user_metrics WHERE user_id = $1 ORDER BY event`
	return collect(ctx, s.read, s.sql(query), func(rows *sql.Rows) (m metric, err error) {
		err = rows.Scan(&m.UserID, &m.Event, &m.Count, instant{&m.FirstAt}, instant{&m.LastAt})
		return m, err
	}, userID)
}
