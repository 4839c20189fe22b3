package cron

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/edgeload/edgeload/internal/refserver/store"
)

// Schedule is cron.schedule: it adds a job, or changes the one of that name, and
// returns its id. A command that ParseCommand reads is made a call of
// edgeload.invoke; any other is SQL, and left as it is. The extension judges the
// schedule: the error is ErrInvalidSchedule where it refuses it.
func (p *PgCron) Schedule(ctx context.Context, name, schedule, command string) (jobID int64, err error) {
	if name == "" {
		err = p.pool.QueryRow(ctx, "SELECT cron.schedule($1, $2)", schedule, invocation("", command)).Scan(&jobID)
	} else {
		err = p.pool.QueryRow(ctx, "SELECT cron.schedule($1, $2, $3)", name, schedule, invocation(name, command)).Scan(&jobID)
	}
	return jobID, explain("schedule", err)
}

// Unschedule is cron.unschedule. The error is store.ErrNoJob where there is none.
func (p *PgCron) Unschedule(ctx context.Context, jobID int64) error {
	_, err := p.pool.Exec(ctx, "SELECT cron.unschedule($1::bigint)", jobID)
	return explain("unschedule", err)
}

// UnscheduleName is Unschedule by name.
func (p *PgCron) UnscheduleName(ctx context.Context, name string) error {
	_, err := p.pool.Exec(ctx, "SELECT cron.unschedule($1)", name)
	return explain("unschedule", err)
}

// Alter is cron.alter_job. The error is store.ErrNoJob where there is none.
func (p *PgCron) Alter(ctx context.Context, jobID int64, a store.Alteration) error {
	if a.Command != nil {
		var name *string
		err := p.pool.QueryRow(ctx, "SELECT jobname FROM cron.job WHERE jobid = $1", jobID).Scan(&name)
		if errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("alter: %w %d", store.ErrNoJob, jobID)
		}
		if err != nil {
			return fmt.Errorf("alter: %w", err)
		}
		command := invocation(orZero(name), *a.Command)
		a.Command = &command
	}
	_, err := p.pool.Exec(ctx, "SELECT cron.alter_job($1, $2, $3, $4, $5, $6)", jobID, a.Schedule, a.Command, a.Database, a.Username, a.Active)
	return explain("alter", err)
}

// ErrInvalidSchedule is that of a schedule which the extension refuses, as 1.4 does
// "10 seconds".
var ErrInvalidSchedule = errors.New("pg_cron refuses it")

// invalidParameter is the SQLSTATE of a schedule that cannot be read.
const invalidParameter = "22023"

// explain says what was attempted, and makes ErrInvalidSchedule and store.ErrNoJob
// of what pg_cron says, the latter in one way or the other.
func explain(what string, err error) error {
	var pg *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &pg) && pg.Code == invalidParameter:
		return fmt.Errorf("%s: %w: %s", what, ErrInvalidSchedule, pg.Message)
	case errors.As(err, &pg) && (strings.HasPrefix(pg.Message, store.ErrNoJob.Error()) || strings.Contains(pg.Message, "does not exist or you don't own it")):
		return fmt.Errorf("%s: %w: %s", what, store.ErrNoJob, pg.Message)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// invocation makes SQL of a command that names a function. The job of that name
// need not be looked for then; others may have the same command.
func invocation(job, command string) string {
	c, err := ParseCommand(command)
	if err != nil {
		return command
	}
	arguments := []string{quote(c.Function), quote(string(c.Body))}
	if job != "" {
		arguments = append(arguments, "job => "+quote(job))
	}
	if c.Timeout > 0 {
		arguments = append(arguments, fmt.Sprintf("timeout_milliseconds => %d", c.Timeout/time.Millisecond))
	}
	return "SELECT edgeload.invoke(" + strings.Join(arguments, ", ") + ")"
}

// quote writes a string constant of SQL, whatever standard_conforming_strings says.
func quote(s string) string {
	quoted := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		quoted = "E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}

// Jobs lists the extension's jobs.
func (p *PgCron) Jobs(ctx context.Context) ([]store.Job, error) {
	rows, err := p.pool.Query(ctx, `SELECT jobid, schedule, command, nodename, nodeport, database, username, active, coalesce(jobname, '')
		FROM cron.job ORDER BY jobid`)
	if err != nil {
		return nil, fmt.Errorf("read cron.job: %w", err)
	}
	jobs, err := pgx.CollectRows(rows, pgx.RowToStructByPos[store.Job])
	if err != nil {
		return nil, fmt.Errorf("read cron.job: %w", err)
	}
	return jobs, nil
}

// Runs lists the extension's runs, the newest first. ScheduledAt and HTTPStatus are
// of the call that the run asked for; both are zero where there was none, or it is
// forgotten.
func (p *PgCron) Runs(ctx context.Context, q store.RunQuery) ([]store.Run, error) {
	if q.Limit == 0 {
		q.Limit = 100
	}
	rows, err := p.pool.Query(ctx, `SELECT d.jobid, d.runid, coalesce(d.job_pid, 0), d.database, d.username, d.command, d.status,
			coalesce(d.return_message, ''), d.start_time, d.end_time, r.scheduled_at, r.http_status
		FROM cron.job_run_details d LEFT JOIN LATERAL (
			SELECT scheduled_at, http_status FROM edgeload.run
			WHERE job_pid = d.job_pid AND asked_at BETWEEN d.start_time - interval '5 s' AND coalesce(d.end_time, now()) + interval '5 s'
			ORDER BY runid LIMIT 1
		) r ON true
		WHERE ($1::bigint = 0 OR d.jobid = $1) AND ($2::bigint = 0 OR d.runid < $2) ORDER BY d.runid DESC LIMIT $3`, q.JobID, q.Before, q.Limit)
	if err != nil {
		return nil, fmt.Errorf("read cron.job_run_details: %w", err)
	}
	runs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r store.Run, err error) {
		var start, end, scheduled *time.Time
		var status *int
		err = row.Scan(&r.JobID, &r.RunID, &r.JobPID, &r.Database, &r.Username, &r.Command, &r.Status, &r.ReturnMessage, &start, &end, &scheduled, &status)
		r.StartTime, r.EndTime, r.ScheduledAt, r.HTTPStatus = orZero(start).UTC(), orZero(end).UTC(), orZero(scheduled).UTC(), orZero(status)
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("read cron.job_run_details: %w", err)
	}
	return runs, nil
}

// orZero is the zero value for NULL.
func orZero[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
