// Package store is the reference server's database: SQLite, which needs no server
// and is the default, or PostgreSQL. Both have the same tables and the same
// behaviour, and pass one suite of tests.
//
// Three things are kept:
//
//   - What the guide's background job writes: user_metrics, a counter for each user
//     and event, and user_events, one row for each job that counted. A job's id is
//     the key of user_events, so counting a job twice counts it once. PostgreSQL has
//     the function that the guide calls, update_user_metrics(p_user_id, p_event), for
//     any client to call; [Store.UpdateUserMetrics] is the same on both.
//   - cron.job and cron.job_run_details with pg_cron's columns, and a few of our own
//     behind them. In PostgreSQL they are tables of the schema cron, or of
//     edgeload_cron where the real pg_cron owns cron in that database. In SQLite,
//     which has no schemas, they are tables whose names contain the dot:
//     SELECT * FROM "cron.job".
//   - Who leads: at most one of several processes on one database holds the [Lease],
//     and only its holder can begin a run.
//
// The schema is made and brought up to date by [Open], in one transaction under a
// lock, so that several processes may start at once.
//
// SQLite is written by one goroutine a process, which commits what has gathered
// since its last commit in one transaction: thousands of writes a second, each
// acknowledged after the commit that holds it. The journal is a WAL with
// synchronous=NORMAL, so what was acknowledged outlives the process, SIGKILL
// included, though not always a power cut.
//
// The package knows SQL. It knows no schedule, no function and no HTTP.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Memory is the DSN of a database that is gone when it is closed.
const Memory = ":memory:"

// ErrClosed is what a write to a closed Store returns.
var ErrClosed = errors.New("the store is closed")

// Store is an open database. Its methods may be called concurrently.
type Store struct {
	read     querier // where single statements that only read go
	names    *strings.Replacer
	schema   string // of the cron tables: "cron", or "edgeload_cron" beside pg_cron; empty in SQLite
	postgres *postgres
	sqlite   *sqlite
}

// querier is what runs statements: a database, a connection of it or a transaction.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// postgres is what a Store on PostgreSQL has beside.
type postgres struct {
	pool *pgxpool.Pool
	db   *sql.DB // on pool
	dsn  string
}

// Open opens the database and makes or updates its schema. dsn is the path of a
// SQLite file, [Memory], or a postgres:// URL. An empty dsn is Memory.
func Open(ctx context.Context, dsn string) (*Store, error) {
	if IsPostgres(dsn) {
		return openPostgres(ctx, dsn)
	}
	return openSQLite(ctx, dsn)
}

// IsPostgres says whether dsn names a PostgreSQL database rather than a file.
func IsPostgres(dsn string) bool {
	return strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://")
}

// Close finishes the writes that wait, and closes the database.
func (s *Store) Close() error {
	if s.sqlite != nil {
		return s.sqlite.close()
	}
	err := s.postgres.db.Close()
	s.postgres.pool.Close()
	return err
}

// write runs fn and returns when what it wrote is committed. In SQLite that is a
// transaction, and fn may be run a second time, after a rollback of the first. In
// PostgreSQL fn is one statement that commits by itself: a process that is stopped
// between two would keep its locks, and a new leader from its work.
func (s *Store) write(ctx context.Context, fn func(ctx context.Context, q querier) error) error {
	if s.sqlite != nil {
		return s.sqlite.writer.do(ctx, fn)
	}
	return fn(ctx, s.postgres.db)
}

// rollback takes back tx, which may have been taken back by the end of its context.
func rollback(tx *sql.Tx) error {
	if err := tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
		return fmt.Errorf("roll back: %w", err)
	}
	return nil
}

// sql puts the names of the cron tables for {job}, {run} and {leader}, and, in
// SQLite, the marks of parameters for $1, $2, ….
func (s *Store) sql(query string) string { return s.names.Replace(query) }

// stampLayout is how instants stand in SQLite, and how they are given to
// PostgreSQL: UTC with microseconds, so that their order is that of their text.
const stampLayout = "2006-01-02T15:04:05.000000Z"

// stamp writes an instant as a parameter; the zero instant is NULL.
func stamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(stampLayout)
}

// instant reads a column of either database into a time in UTC; NULL is the zero
// instant.
type instant struct{ to *time.Time }

// Scan implements sql.Scanner.
func (i instant) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*i.to = time.Time{}
	case time.Time:
		*i.to = v.UTC()
	case string:
		t, err := time.Parse(stampLayout, v)
		if err != nil {
			return fmt.Errorf("read an instant: %w", err)
		}
		*i.to = t
	default:
		return fmt.Errorf("read an instant: it is a %T", src)
	}
	return nil
}
