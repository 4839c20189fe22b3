package cron

import (
	"context"
	"fmt"

	"github.com/edgeload/edgeload/internal/refserver/store"
)

// Schedule adds a job, or changes the one of that name, and returns its id, as
// cron.schedule does. The schedule and the command are checked first.
func (s *Scheduler) Schedule(ctx context.Context, name, schedule, command string) (jobID int64, err error) {
	if err := check(&schedule, &command); err != nil {
		return 0, err
	}
	defer s.reload()
	return s.o.Store.Schedule(ctx, name, schedule, command)
}

// Unschedule removes a job by its id, as cron.unschedule does; a run of it is
// canceled. The error is store.ErrNoJob where there is none.
func (s *Scheduler) Unschedule(ctx context.Context, jobID int64) error {
	defer s.reload()
	return s.o.Store.Unschedule(ctx, jobID)
}

// UnscheduleName is Unschedule by name.
func (s *Scheduler) UnscheduleName(ctx context.Context, name string) error {
	defer s.reload()
	return s.o.Store.UnscheduleName(ctx, name)
}

// Alter changes a job, as cron.alter_job does. One that is made inactive loses the
// runs that are due, and the one that runs is canceled.
func (s *Scheduler) Alter(ctx context.Context, jobID int64, a store.Alteration) error {
	if err := check(a.Schedule, a.Command); err != nil {
		return err
	}
	defer s.reload()
	return s.o.Store.Alter(ctx, jobID, a)
}

// check reads a schedule and a command where they are given.
func check(schedule, command *string) error {
	if schedule != nil {
		if _, err := Parse(*schedule); err != nil {
			return fmt.Errorf("invalid schedule: %w", err)
		}
	}
	if command != nil {
		if _, err := ParseCommand(*command); err != nil {
			return fmt.Errorf("invalid command: %w", err)
		}
	}
	return nil
}

// Jobs lists the jobs.
func (s *Scheduler) Jobs(ctx context.Context) ([]store.Job, error) { return s.o.Store.Jobs(ctx) }

// Runs lists runs, the newest first.
func (s *Scheduler) Runs(ctx context.Context, q store.RunQuery) ([]store.Run, error) {
	return s.o.Store.Runs(ctx, q)
}

// reload makes this process, where it leads, look at the table at once; others do
// within a second.
func (s *Scheduler) reload() {
	select {
	case s.changed <- struct{}{}:
	default: // it is about to look
	}
}
