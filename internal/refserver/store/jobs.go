package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// ErrNoJob is that of a cron job which does not exist.
var ErrNoJob = errors.New("could not find valid entry for job")

// Job is a row of cron.job, with pg_cron's columns.
type Job struct {
	ID       int64  `json:"jobid"`
	Schedule string `json:"schedule"`
	Command  string `json:"command"`
	NodeName string `json:"nodename"`
	NodePort int    `json:"nodeport"`
	Database string `json:"database"`
	Username string `json:"username"`
	Active   bool   `json:"active"`
	Name     string `json:"jobname"` // empty for a job without a name
}

const jobColumns = `jobid, schedule, command, nodename, nodeport, database, username, active, jobname`

func scanJob(rows *sql.Rows) (j Job, err error) {
	var name sql.NullString
	err = rows.Scan(&j.ID, &j.Schedule, &j.Command, &j.NodeName, &j.NodePort, &j.Database, &j.Username, &j.Active, &name)
	j.Name = name.String
	return j, err
}

// Schedule adds a job, and returns its jobid. Where a job of that name exists, it
// gets the schedule and the command instead, and keeps its jobid. An empty name is
// none, and always a new job. What the schedule says is not looked at.
func (s *Store) Schedule(ctx context.Context, name, schedule, command string) (jobID int64, err error) {
	const query = `INSERT INTO {job} (jobname, schedule, command) VALUES ($1, $2, $3)
		ON CONFLICT (jobname, username) DO UPDATE SET schedule = excluded.schedule, command = excluded.command
		RETURNING jobid`
	jobname := sql.NullString{String: name, Valid: name != ""}
	err = s.write(ctx, func(ctx context.Context, q querier) error {
		return q.QueryRowContext(ctx, s.sql(query), jobname, schedule, command).Scan(&jobID)
	})
	if err != nil {
		return 0, fmt.Errorf("schedule job %q: %w", name, err)
	}
	return jobID, nil
}

// Unschedule removes a job by its id. The error is ErrNoJob where there is none.
func (s *Store) Unschedule(ctx context.Context, jobID int64) error {
	return s.unschedule(ctx, `DELETE FROM {job} WHERE jobid = $1`, jobID, fmt.Sprint(jobID))
}

// UnscheduleName removes a job by its name. The error is ErrNoJob where there is
// none.
func (s *Store) UnscheduleName(ctx context.Context, name string) error {
	return s.unschedule(ctx, `DELETE FROM {job} WHERE jobname = $1`, name, "'"+name+"'")
}

func (s *Store) unschedule(ctx context.Context, query string, key any, named string) error {
	return s.changeJob(ctx, "unschedule: ", named, query, key)
}

// Alteration is what Alter changes of a job; nil is left as it is.
type Alteration struct {
	Schedule *string `json:"schedule,omitempty"`
	Command  *string `json:"command,omitempty"`
	Database *string `json:"database,omitempty"`
	Username *string `json:"username,omitempty"`
	Active   *bool   `json:"active,omitempty"`
}

// Alter changes a job. The error is ErrNoJob where there is none.
func (s *Store) Alter(ctx context.Context, jobID int64, a Alteration) error {
	const query = `UPDATE {job} SET schedule = coalesce($2, schedule), command = coalesce($3, command),
		database = coalesce($4, database), username = coalesce($5, username), active = coalesce($6, active)
		WHERE jobid = $1`
	return s.changeJob(ctx, "alter: ", fmt.Sprint(jobID), query, jobID, a.Schedule, a.Command, a.Database, a.Username, a.Active)
}

// changeJob runs a statement that must change a row.
func (s *Store) changeJob(ctx context.Context, what, named, query string, args ...any) error {
	err := s.write(ctx, func(ctx context.Context, q querier) error {
		result, err := q.ExecContext(ctx, s.sql(query), args...)
		if err != nil {
			return err
		}
		changed, err := result.RowsAffected()
		if err == nil && changed == 0 {
			err = fmt.Errorf("%w %s", ErrNoJob, named)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("%s%w", what, err)
	}
	return nil
}

// Jobs returns all jobs in the order of their ids.
func (s *Store) Jobs(ctx context.Context) ([]Job, error) {
	jobs, err := collect(ctx, s.read, s.sql(`SELECT `+jobColumns+` FROM {job} ORDER BY jobid`), scanJob)
	if err != nil {
		return nil, fmt.Errorf("read cron.job: %w", err)
	}
	return jobs, nil
}
