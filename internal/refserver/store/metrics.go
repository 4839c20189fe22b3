package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// The two statements of UpdateUserMetrics in SQLite, in the order in which they run;
// the second only where the first has inserted.
const (
	insertEvent = `INSERT INTO user_events (job_id, user_id, event, at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (job_id) DO NOTHING`
	upsertMetric = `INSERT INTO user_metrics (user_id, event, count, first_at, last_at) VALUES ($1, $2, 1, $3, $3)
		ON CONFLICT (user_id, event) DO UPDATE SET
			count    = count + 1,
			first_at = min(first_at, excluded.first_at),
			last_at  = max(last_at, excluded.last_at)`
)

// UpdateUserMetrics counts one event of a user, once for each jobID: it is the
// guide's rpc('update_user_metrics', {p_user_id, p_event}) with the id of the job
// that calls. It returns when the counter and the job's row are committed
// together; a job that was counted before changes nothing and is no error.
func (s *Store) UpdateUserMetrics(ctx context.Context, userID, event, jobID string) error {
	var err error
	if s.sqlite != nil {
		at := stamp(time.Now())
		err = s.write(ctx, func(ctx context.Context, q querier) error {
			result, err := q.ExecContext(ctx, s.sql(insertEvent), jobID, userID, event, at)
			if err != nil {
				return err
			}
			if inserted, err := result.RowsAffected(); err != nil || inserted == 0 {
				return err
			}
			_, err = q.ExecContext(ctx, s.sql(upsertMetric), userID, event, at)
			return err
		})
	} else {
		_, err = s.postgres.db.ExecContext(ctx, `SELECT update_user_metrics($1, $2, $3)`, userID, event, jobID)
	}
	if err != nil {
		return fmt.Errorf("update metrics for job %s: %w", jobID, err)
	}
	return nil
}

// HasJob says whether UpdateUserMetrics has counted the job.
func (s *Store) HasJob(ctx context.Context, jobID string) (bool, error) {
	var one int
	err := s.read.QueryRowContext(ctx, s.sql(`SELECT 1 FROM user_events WHERE job_id = $1`), jobID).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for job %s: %w", jobID, err)
	}
	return true, nil
}

// Users is how many users have a counter.
func (s *Store) Users(ctx context.Context) (int64, error) {
	var n int64
	if err := s.read.QueryRowContext(ctx, `SELECT count(DISTINCT user_id) FROM user_metrics`).Scan(&n); err != nil {
		return 0, fmt.Errorf("count: %w", err)
	}
	return n, nil
}

// Mismatch is a counter that disagrees with the rows of the jobs it counts.
type Mismatch struct {
	UserID  string `json:"user_id"`
	Event   string `json:"event"`
	Counted int64  `json:"counted"` // user_metrics.count
	Jobs    int64  `json:"jobs"`    // rows of user_events
	Detail  string `json:"detail"`  // what disagrees: "count" or "instants"
}

// maxMismatches bounds what Check returns.
const maxMismatches = 100

// Check looks for state that was written by half: a counter that is not the number
// of its jobs, or whose first and last instants are not theirs. It returns the
// first hundred; of a store whose writes are whole, none. SQLite's own check of the
// file is part of it, whose findings are the error.
func (s *Store) Check(ctx context.Context) ([]Mismatch, error) {
	if s.sqlite != nil {
		var found string
		if err := s.read.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&found); err != nil {
			return nil, fmt.Errorf("check the file: %w", err)
		}
		if found != "ok" {
			return nil, fmt.Errorf("check the file: %s", found)
		}
	}
	const query = `WITH jobs AS (
			SELECT user_id, event, count(*) AS n, min(at) AS first_at, max(at) AS last_at FROM user_events GROUP BY user_id, event
		)
		SELECT coalesce(m.user_id, j.user_id), coalesce(m.event, j.event), coalesce(m.count, 0), coalesce(j.n, 0),
			CASE WHEN coalesce(m.count, 0) <> coalesce(j.n, 0) THEN 'count' ELSE 'instants' END
		FROM user_metrics m FULL JOIN jobs j ON m.user_id = j.user_id AND m.event = j.event
		WHERE coalesce(m.count, 0) <> coalesce(j.n, 0) OR m.first_at <> j.first_at OR m.last_at <> j.last_at
		ORDER BY 1, 2 LIMIT $1`
	mismatches, err := collect(ctx, s.read, s.sql(query), func(rows *sql.Rows) (m Mismatch, err error) {
		err = rows.Scan(&m.UserID, &m.Event, &m.Counted, &m.Jobs, &m.Detail)
		return m, err
	}, maxMismatches)
	if err != nil {
		return nil, fmt.Errorf("check the counters: %w", err)
	}
	return mismatches, nil
}

// collect runs a query and scans its rows.
func collect[T any](ctx context.Context, q querier, query string, scan func(*sql.Rows) (T, error), args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // its error is that of rows.Err
	var out []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}
