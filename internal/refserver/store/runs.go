package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// The states of a run that this package knows; the others of pg_cron (sending,
// connecting) never occur here.
const (
	RunRunning   = "running"
	RunSucceeded = "succeeded"
	RunFailed    = "failed"
)

// Run is a row of cron.job_run_details: pg_cron's columns, and three of our own.
type Run struct {
	JobID         int64     `json:"jobid"`
	RunID         int64     `json:"runid"`
	JobPID        int64     `json:"job_pid"` // of the process that runs it
	Database      string    `json:"database"`
	Username      string    `json:"username"`
	Command       string    `json:"command"`
	Status        string    `json:"status"`
	ReturnMessage string    `json:"return_message"`
	StartTime     time.Time `json:"start_time,omitzero"`
	EndTime       time.Time `json:"end_time,omitzero"`

	ScheduledAt time.Time `json:"scheduled_at"`          // the instant that fired it
	Lap         int64     `json:"lap"`                   // how often the clock had been set back by then
	HTTPStatus  int       `json:"http_status,omitempty"` // what the function answered; 0 for nothing
}

// Outcome is how a run ended.
type Outcome struct {
	Status     string // RunSucceeded or RunFailed
	Message    string
	HTTPStatus int // 0 for none
	End        time.Time
}

// Finish notes how a run ended. It reports false, and changes nothing, for one that
// has ended already: another process has taken over and marked it.
func (s *Store) Finish(ctx context.Context, runID int64, o Outcome) (bool, error) {
	const query = `UPDATE {run} SET status = $2, return_message = $3, http_status = $4, end_time = $5
		WHERE runid = $1 AND status IN ('starting', 'running')`
	var changed int64
	err := s.write(ctx, func(ctx context.Context, q querier) error {
		status := sql.NullInt64{Int64: int64(o.HTTPStatus), Valid: o.HTTPStatus != 0}
		result, err := q.ExecContext(ctx, s.sql(query), runID, o.Status, o.Message, status, stamp(o.End))
		if err != nil {
			return err
		}
		changed, err = result.RowsAffected()
		return err
	})
	if err != nil {
		return false, fmt.Errorf("finish run %d: %w", runID, err)
	}
	return changed > 0, nil
}

// RunQuery says which runs to list; the zero value is the newest hundred.
type RunQuery struct {
	JobID  int64 // of this job; 0 is of all
	Before int64 // with a runid below this; 0 is no bound
	Limit  int   // 0 is 100
}

// Runs lists runs, the newest first.
func (s *Store) Runs(ctx context.Context, q RunQuery) ([]Run, error) {
	if q.Limit == 0 {
		q.Limit = 100
	}
	const query = `SELECT jobid, runid, job_pid, database, username, command, status, return_message,
			start_time, end_time, scheduled_at, lap, http_status FROM {run}
		WHERE (CAST($1 AS BIGINT) = 0 OR jobid = $1) AND (CAST($2 AS BIGINT) = 0 OR runid < $2) ORDER BY runid DESC LIMIT $3`
	runs, err := collect(ctx, s.read, s.sql(query), func(rows *sql.Rows) (r Run, err error) {
		var pid, status sql.NullInt64
		var message sql.NullString
		err = rows.Scan(&r.JobID, &r.RunID, &pid, &r.Database, &r.Username, &r.Command, &r.Status, &message,
			instant{&r.StartTime}, instant{&r.EndTime}, instant{&r.ScheduledAt}, &r.Lap, &status)
		r.JobPID, r.ReturnMessage, r.HTTPStatus = pid.Int64, message.String, int(status.Int64)
		return r, err
	}, q.JobID, q.Before, q.Limit)
	if err != nil {
		return nil, fmt.Errorf("read cron.job_run_details: %w", err)
	}
	return runs, nil
}
