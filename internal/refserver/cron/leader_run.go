package cron

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/edgeload/edgeload/internal/refserver/store"
)

// begin begins the runs that are due and may begin, those that wait longest first.
func (t *term) begin(ctx, runs context.Context) error {
	defer t.gauge()
	var ready []*task
	for _, task := range t.tasks {
		if !task.running && task.backlog.count > 0 {
			ready = append(ready, task)
		}
	}
	slices.SortFunc(ready, func(a, b *task) int {
		if c := a.backlog.oldest().Compare(b.backlog.oldest()); c != 0 {
			return c
		}
		return int(a.job.ID - b.job.ID)
	})
	for _, task := range ready {
		for !task.running && task.backlog.count > 0 && t.running < t.s.o.MaxRunning {
			if ctx.Err() != nil {
				return errShutdown
			}
			if err := t.beginOne(ctx, runs, task); err != nil {
				return err
			}
		}
	}
	return nil
}

// gauge sets what Stats says.
func (t *term) gauge() {
	due := 0
	for _, task := range t.tasks {
		due += task.backlog.count
	}
	t.s.running.Store(int64(t.running))
	t.s.due.Store(int64(due))
}

// beginOne begins the oldest run that is due of a task, unless a leader before has.
func (t *term) beginOne(ctx, runs context.Context, task *task) error {
	run := store.Run{
		JobID: task.job.ID, Command: task.job.Command, Database: task.job.Database, Username: task.job.Username,
		ScheduledAt: task.backlog.pop(), Lap: t.lap, StartTime: t.s.now(),
	}
	fresh := false
	err := t.withPatience(ctx, func(ctx context.Context) (err error) {
		run.RunID, fresh, err = t.lease.Begin(ctx, run)
		return err
	})
	if err != nil {
		if !t.firedNow(task, task.backlog.popped) { // else it is the next leader's
			t.s.record(task.name(), "", "missed", run.ScheduledAt, err.Error())
		}
		return err
	}
	if !fresh {
		t.s.record(task.name(), "", "taken", run.ScheduledAt, "begun by a leader before")
		return nil
	}
	t.s.record(task.name(), strconv.FormatInt(run.RunID, 10), "fired", run.ScheduledAt, "")
	runs, task.cancel = context.WithCancelCause(runs)
	task.running = true
	t.running++
	name, cancel := task.name(), task.cancel
	go func() { // run waits for it in t.finished
		defer func() { t.finished <- run.JobID }()
		defer cancel(nil)
		t.s.perform(runs, name, run)
	}()
	return nil
}

// perform makes the call of a run and notes how it ended.
func (s *Scheduler) perform(ctx context.Context, name string, run store.Run) {
	status, err := s.call(ctx, name, run)
	outcome := store.Outcome{Status: store.RunSucceeded, Message: "1 row", HTTPStatus: status, End: s.now()}
	event, detail := "succeeded", ""
	switch {
	case err != nil:
		outcome.Status, outcome.Message = store.RunFailed, err.Error()
		event, detail = "failed", err.Error()
	case status >= 400:
		event, detail = "failed", fmt.Sprintf("HTTP status %d", status)
	}
	s.record(name, strconv.FormatInt(run.RunID, 10), event, run.ScheduledAt, detail)

	noting, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if noted, err := s.o.Store.Finish(noting, run.RunID, outcome); err != nil || !noted {
		s.o.Log.Warn("cron: the end of a run is not in its history", "job", name, "run", run.RunID, "error", err)
	}
}

// call asks the Caller. Where ctx ended first, the error is why.
func (s *Scheduler) call(ctx context.Context, name string, run store.Run) (status int, err error) {
	command, err := ParseCommand(run.Command)
	if err != nil {
		return 0, err
	}
	timeout := s.o.Timeout
	if command.Timeout > 0 {
		timeout = command.Timeout
	}
	calling, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %s", timeout))
	defer cancel()
	status, err = s.o.Caller.Call(calling, Call{
		Job: name, RunID: run.RunID, Function: command.Function, Body: command.Body, Scheduled: run.ScheduledAt,
	})
	if err != nil && calling.Err() != nil {
		err = context.Cause(calling)
	}
	return status, err
}
