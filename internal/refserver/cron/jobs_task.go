package cron

import (
	"context"
	"strconv"
	"time"

	"github.com/edgeload/edgeload/internal/refserver/store"
)

// task is a job as its leader sees it: what is due of it, and what runs.
type task struct {
	job      store.Job
	schedule Schedule
	invalid  error // of the schedule: such a job never fires
	backlog  backlog
	lastFire time.Time // of a job of N seconds: the last of its instants that is done with
	running  bool
	cancel   context.CancelCauseFunc // of the run
}

// name is what calls and records name a job.
func (t *task) name() string {
	if t.job.Name != "" {
		return t.job.Name
	}
	return strconv.FormatInt(t.job.ID, 10)
}

// update takes over what the table says of the job. now is where a job of N seconds
// begins to count.
func (t *task) update(job store.Job, now time.Time) (changed bool) {
	changed = t.job.Schedule != job.Schedule
	t.job = job
	if !changed {
		return false
	}
	before := t.schedule.Every()
	t.schedule, t.invalid = Parse(job.Schedule)
	if every := t.schedule.Every(); every != before && every > 0 {
		t.lastFire = gridBefore(now, every)
	}
	return true
}

// gridBefore is the last instant up to now of a job that runs every so often: the
// whole multiples of its interval since 1970, which any leader knows without being
// told when a run before has begun.
func gridBefore(now time.Time, every time.Duration) time.Time {
	seconds := int64(every / time.Second)
	return time.Unix(floorDiv(now.Unix(), seconds)*seconds, 0).UTC()
}

// everyDue returns the instants at which a job of N seconds fires by now, and how
// many before them are left out because the clock has leapt. Being late by less than
// Takeover is no leap.
func (t *task) everyDue(now time.Time) (dues []time.Time, leftOut int64) {
	every := t.schedule.Every()
	if every == 0 {
		return nil, 0
	}
	last := gridBefore(now, every)
	at := t.lastFire.Add(every)
	if last.Sub(at) > Takeover {
		leftOut = int64(last.Sub(at) / every)
		at = last
	}
	for ; !at.After(last); at = at.Add(every) {
		dues = append(dues, at)
		t.lastFire = at
	}
	return dues, leftOut
}
