package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// ErrLed is that of Lead where another process leads.
var ErrLed = errors.New("another process leads")

// ErrLeaseLost is that of every method of a Lease which no longer leads.
var ErrLeaseLost = errors.New("the lease is lost")

// Lease is leadership over a database: while it holds, no other process can begin a
// run. In PostgreSQL it is an advisory lock of a connection of its own, on which the
// Lease writes: where the connection is gone the lock is, and with it the way to
// write, so that a leader which has lost it cannot begin anything beside its
// successor. The server ends the connection of a process that was killed at once,
// and that of one which stands still, or which the net no longer reaches, within the
// lease's time to live. In SQLite it is a row with the holder's name and the
// instant at which it expires, looked at in each transaction that begins a run.
//
// Its methods may be called concurrently.
type Lease struct {
	LastTick time.Time // the last Tick of the leader before; zero where there was none
	Lap      int64     // how often the clock had been set back by then

	store  *Store
	holder string
	ttl    time.Duration
	conn   *sql.Conn // that of PostgreSQL
	db     *sql.DB   // of conn
}

// Lead takes the lead, or returns ErrLed. holder must be unique among processes.
// The leader must call Tick more often than every ttl, which is at least a second.
func (s *Store) Lead(ctx context.Context, holder string, ttl time.Duration) (*Lease, error) {
	l := &Lease{store: s, holder: holder, ttl: max(ttl, time.Second)}
	var err error
	if s.sqlite != nil {
		err = l.takeRow(ctx)
	} else {
		err = l.takeLock(ctx)
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

// takeRow takes the lead in SQLite. A row that expires later than it can be true
// was written before the clock was set back, and counts as expired.
func (l *Lease) takeRow(ctx context.Context) error {
	const query = `UPDATE {leader} SET holder = $1, expires = $2
		WHERE holder = '' OR expires <= $3 OR expires > $2 RETURNING last_tick, lap`
	err := l.store.write(ctx, func(ctx context.Context, q querier) error {
		now := time.Now() // once nobody else can write: who has just taken the lead did so before it
		return q.QueryRowContext(ctx, l.store.sql(query), l.holder, stamp(now.Add(l.ttl)), stamp(now)).Scan(instant{&l.LastTick}, &l.Lap)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return ErrLed
	}
	if err != nil {
		return fmt.Errorf("take the lead: %w", err)
	}
	return nil
}

// Tick notes that all up to at has been fired, and that the clock was set back lap
// times. It keeps the lease.
func (l *Lease) Tick(ctx context.Context, at time.Time, lap int64) error {
	const query = `UPDATE {leader} SET last_tick = $2, lap = $3, expires = $4 WHERE holder = $1`
	return l.write(ctx, "tick", func(ctx context.Context, q querier) error {
		result, err := q.ExecContext(ctx, l.store.sql(query), l.holder, stamp(at), lap, stamp(time.Now().Add(l.ttl)))
		return l.held(result, err)
	})
}

// Begin notes that a run begins, and returns its id. It reports false where the
// instant has been taken: JobID, ScheduledAt and Lap are unique. Of r it needs these
// three, Command, Database, Username and StartTime.
func (l *Lease) Begin(ctx context.Context, r Run) (runID int64, ok bool, err error) {
	const query = `INSERT INTO {run} (jobid, job_pid, database, username, command, status, start_time, scheduled_at, lap)
		SELECT $1, $2, $3, $4, $5, 'running', $6, $7, $8 FROM {leader} WHERE holder = $9
		ON CONFLICT (jobid, scheduled_at, lap) DO NOTHING RETURNING runid`
	err = l.write(ctx, fmt.Sprintf("begin a run of job %d", r.JobID), func(ctx context.Context, q querier) error {
		err := q.QueryRowContext(ctx, l.store.sql(query), r.JobID, os.Getpid(), r.Database, r.Username, r.Command,
			stamp(r.StartTime), stamp(r.ScheduledAt), r.Lap, l.holder).Scan(&runID)
		if ok = err == nil; !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		// Taken, or no longer ours.
		var one int
		err = q.QueryRowContext(ctx, l.store.sql(`SELECT 1 FROM {leader} WHERE holder = $1`), l.holder).Scan(&one)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrLeaseLost
		}
		return err
	})
	return runID, ok, err
}

// ServerRestarted is the message of a run that FailUnfinished has marked.
const ServerRestarted = "server restarted"

// Unfinished is a run that FailUnfinished has marked.
type Unfinished struct {
	RunID       int64
	Job         string // the job's name; its id in decimal where it has none, or is gone
	ScheduledAt time.Time
}

// FailUnfinished marks the runs that no process is left to finish as failed,
// ServerRestarted, as pg_cron does when it starts. It returns them in the order in
// which they began.
func (l *Lease) FailUnfinished(ctx context.Context, at time.Time) (marked []Unfinished, err error) {
	const query = `UPDATE {run} SET status = 'failed', return_message = $1, end_time = $2
		WHERE status IN ('starting', 'running') AND EXISTS (SELECT 1 FROM {leader} WHERE holder = $3)
		RETURNING runid, coalesce((SELECT jobname FROM {job} AS j WHERE j.jobid = {run}.jobid), CAST(jobid AS TEXT)), scheduled_at`
	err = l.write(ctx, "mark unfinished runs", func(ctx context.Context, q querier) (err error) {
		marked, err = collect(ctx, q, l.store.sql(query), func(rows *sql.Rows) (u Unfinished, err error) {
			err = rows.Scan(&u.RunID, &u.Job, instant{&u.ScheduledAt})
			return u, err
		}, ServerRestarted, stamp(at), l.holder)
		return err
	})
	slices.SortFunc(marked, func(a, b Unfinished) int { return cmp.Compare(a.RunID, b.RunID) })
	return marked, err
}

// Release gives up the lead, so that another need not wait for its end: when it
// returns, the lead is free.
func (l *Lease) Release(ctx context.Context) error {
	const query = `UPDATE {leader} SET holder = '' WHERE holder = $1`
	err := l.write(ctx, "release", func(ctx context.Context, q querier) error {
		result, err := q.ExecContext(ctx, l.store.sql(query), l.holder)
		if err := l.held(result, err); err != nil {
			return err
		}
		return l.unlock(ctx)
	})
	return errors.Join(err, l.closeConnection())
}

// held turns a change of no row into ErrLeaseLost.
func (l *Lease) held(result sql.Result, err error) error {
	if err != nil {
		return err
	}
	changed, err := result.RowsAffected()
	if err == nil && changed == 0 {
		err = ErrLeaseLost
	}
	return err
}

// write runs fn where only the holder can: in SQLite in a transaction, in
// PostgreSQL on the connection that has the lock.
func (l *Lease) write(ctx context.Context, what string, fn func(ctx context.Context, q querier) error) error {
	var err error
	if l.conn != nil {
		// Whatever went wrong, the connection is not to be relied on any more.
		if err = fn(ctx, l.conn); err != nil {
			err = errors.Join(ErrLeaseLost, err, l.closeConnection())
		}
	} else {
		err = l.store.write(ctx, fn)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
