package admin

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"unicode"

	"github.com/edgeload/edgeload/internal/refserver/cron"
	"github.com/edgeload/edgeload/internal/refserver/store"
)

// maxJobName bounds a job's name, in bytes: it goes into a header of each call.
const maxJobName = 256

// Cron is who schedules: the server's own scheduler, or pg_cron behind it. A job
// that does not exist is store.ErrNoJob.
type Cron interface {
	Schedule(ctx context.Context, name, schedule, command string) (jobID int64, err error)
	Unschedule(ctx context.Context, jobID int64) error
	UnscheduleName(ctx context.Context, name string) error
	Alter(ctx context.Context, jobID int64, a store.Alteration) error
	Jobs(ctx context.Context) ([]store.Job, error)
	Runs(ctx context.Context, q store.RunQuery) ([]store.Run, error)
}

// withCron is an answer to calls of a server that has no cron, and to jobs that do
// not exist.
func (a *admin) withCron(call func(Cron) error) error {
	if a.Cron == nil {
		return &problem{http.StatusNotFound, "this server schedules nothing (--cron off)"}
	}
	err := call(a.Cron)
	switch {
	case errors.Is(err, store.ErrNoJob):
		return &problem{http.StatusNotFound, err.Error()}
	case errors.Is(err, cron.ErrInvalidSchedule): // the extension may read less than Parse
		return bad("%v", err)
	}
	return err
}

// readable checks a schedule and a command where they are given.
func readable(schedule, command *string) error {
	if schedule != nil {
		if _, err := cron.Parse(*schedule); err != nil {
			return bad("schedule: %v", err)
		}
	}
	if command != nil {
		if _, err := cron.ParseCommand(*command); err != nil {
			return bad("command: %v", err)
		}
	}
	return nil
}

// cronSchedule is cron.schedule.
func (a *admin) cronSchedule(w http.ResponseWriter, r *http.Request) error {
	return a.withCron(func(c Cron) error {
		var job struct {
			Name     string `json:"name"`
			Schedule string `json:"schedule"`
			Command  string `json:"command"`
		}
		if err := take(r, &job); err != nil {
			return err
		}
		if len(job.Name) > maxJobName || strings.ContainsFunc(job.Name, unicode.IsControl) {
			return bad("name: want at most %d bytes and no control characters", maxJobName)
		}
		if err := readable(&job.Schedule, &job.Command); err != nil {
			return err
		}
		id, err := c.Schedule(r.Context(), job.Name, job.Schedule, job.Command)
		if err != nil {
			return err
		}
		return give(w, struct {
			ID int64 `json:"jobid"`
		}{id})
	})
}

// cronAlter is cron.alter_job.
func (a *admin) cronAlter(w http.ResponseWriter, r *http.Request) error {
	return a.withCron(func(c Cron) error {
		id, ok := jobID(r.PathValue("job"))
		if !ok {
			return bad("job %q: want a jobid, a whole number", r.PathValue("job"))
		}
		var change struct {
			Schedule *string `json:"schedule"`
			Command  *string `json:"command"`
			Active   *bool   `json:"active"`
		}
		if err := take(r, &change); err != nil {
			return err
		}
		if err := readable(change.Schedule, change.Command); err != nil {
			return err
		}
		err := c.Alter(r.Context(), id, store.Alteration{Schedule: change.Schedule, Command: change.Command, Active: change.Active})
		if err == nil {
			w.WriteHeader(http.StatusNoContent)
		}
		return err
	})
}

// cronUnschedule is cron.unschedule, by jobid or by name.
func (a *admin) cronUnschedule(w http.ResponseWriter, r *http.Request) error {
	return a.withCron(func(c Cron) error {
		job := r.PathValue("job")
		var err error
		if id, ok := jobID(job); ok {
			err = c.Unschedule(r.Context(), id)
		} else {
			err = c.UnscheduleName(r.Context(), job)
		}
		if err == nil {
			w.WriteHeader(http.StatusNoContent)
		}
		return err
	})
}

// cronJobs answers the rows of cron.job.
func (a *admin) cronJobs(w http.ResponseWriter, r *http.Request) error {
	return a.withCron(func(c Cron) error {
		jobs, err := c.Jobs(r.Context())
		if err != nil {
			return err
		}
		return give(w, list(jobs))
	})
}

// cronRuns answers rows of cron.job_run_details.
func (a *admin) cronRuns(w http.ResponseWriter, r *http.Request) error {
	return a.withCron(func(c Cron) error {
		job, err := number(r, "job", 0, 1<<62)
		if err != nil {
			return err
		}
		limit, err := number(r, "limit", defaultRecords, maxRecords)
		if err != nil {
			return err
		}
		runs, err := c.Runs(r.Context(), store.RunQuery{JobID: int64(job), Limit: int(limit)})
		if err != nil {
			return err
		}
		return give(w, list(runs))
	})
}

// list is items, and an empty list where there are none.
func list[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

// jobID reads a jobid.
func jobID(text string) (int64, bool) {
	id, err := strconv.ParseInt(text, 10, 64)
	return id, err == nil
}
