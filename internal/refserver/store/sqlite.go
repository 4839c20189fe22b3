package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	sqlitelib "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// How SQLite is opened.
const (
	busyWait    = 10 * time.Second // for what another process writes
	readers     = 4                // connections that read a file
	openRetries = 200              // each after openPause
	openPause   = 20 * time.Millisecond
)

// sqlite is what a Store on SQLite has beside.
type sqlite struct {
	write  *sql.DB // one connection, which only the writer uses, and readers of Memory
	read   *sql.DB // the same as write for Memory
	writer *writer
}

func openSQLite(ctx context.Context, dsn string) (*Store, error) {
	if dsn == "" {
		dsn = Memory
	}
	parameters := fmt.Sprintf("?_pragma=busy_timeout(%d)&_pragma=synchronous(NORMAL)&_txlock=immediate", busyWait.Milliseconds())
	name := "file:" + (&url.URL{Path: dsn}).EscapedPath() + parameters
	if dsn == Memory {
		name = Memory + parameters
	}
	write, err := sql.Open("sqlite", name)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", dsn, err)
	}
	write.SetMaxOpenConns(1)
	s := &Store{
		names: strings.NewReplacer("$", "?", "{job}", `"cron.job"`, "{run}", `"cron.job_run_details"`, "{leader}", `"cron.leader"`),
	}
	if err := s.setUpSQLite(ctx, write); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", dsn, err), write.Close())
	}
	s.sqlite = &sqlite{write: write, read: write}
	if s.sqlite.writer, err = startWriter(ctx, write, s.sql(insertEvent), s.sql(upsertMetric)); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", dsn, err), write.Close())
	}
	if dsn != Memory {
		if s.sqlite.read, err = sql.Open("sqlite", name+"&_pragma=query_only(1)"); err != nil {
			return nil, errors.Join(fmt.Errorf("open %s: %w", dsn, err), s.Close())
		}
		s.sqlite.read.SetMaxOpenConns(readers)
		s.sqlite.read.SetMaxIdleConns(readers)
	}
	s.read = s.sqlite.read
	return s, nil
}

// setUpSQLite switches to the WAL and migrates. Where several processes start on a
// new file at once, the switch meets locks that busy_timeout does not wait for.
func (s *Store) setUpSQLite(ctx context.Context, db *sql.DB) error {
	for try := 0; ; try++ {
		_, err := db.ExecContext(ctx, `PRAGMA journal_mode = WAL`)
		if err == nil {
			break
		}
		if !isBusy(err) || try == openRetries {
			return fmt.Errorf("switch to the WAL: %w", err)
		}
		if err := pause(ctx, openPause); err != nil {
			return err
		}
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("wait for another process that makes the schema: %w", err)
	}
	if err := s.migrate(ctx, tx, sqliteParts()); err != nil {
		return errors.Join(err, rollback(tx))
	}
	return tx.Commit()
}

// isBusy says whether another connection's lock was in the way.
func isBusy(err error) bool {
	var e *sqlitelib.Error
	return errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_BUSY
}

// pause waits for d, or for the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close waits for the writer, then closes.
func (s *sqlite) close() error {
	err := s.writer.close()
	if s.read != s.write && s.read != nil {
		err = errors.Join(err, s.read.Close())
	}
	return errors.Join(err, s.write.Close())
}
