package cron

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// firing is an instant at which a job has fired, and its place in the backlog, from
// 1; 0 where it is skipped.
type firing struct {
	task  *task
	at    time.Time
	place int
}

// noteWaiting records what has fired and could not begin.
func (t *term) noteWaiting() {
	for _, f := range t.fired {
		waiting := f.place - f.task.backlog.popped
		switch {
		case f.place == 0:
			t.s.record(f.task.name(), "", "skipped_overlap", f.at, "a run is due already")
		case waiting > 0:
			t.s.record(f.task.name(), "", "pending", f.at, strconv.Itoa(waiting-1)+" before it")
		}
	}
}

// maxMissed is up to how many instants that are given up together have a record each;
// beyond, there is one for each job.
const maxMissed = 1000

// giveUpAll records what is due and will not begin, now that the term ends. What a
// tick that failed has fired is not among it: the next leader has yet to fire it.
func (t *term) giveUpAll(why error) {
	var waiting []*task
	due := 0
	for _, task := range t.tasks {
		if n := t.waiting(task); n > 0 {
			waiting = append(waiting, task)
			due += n
		}
	}
	slices.SortFunc(waiting, func(a, b *task) int { return cmp.Compare(a.job.ID, b.job.ID) })
	for _, task := range waiting {
		t.giveUp(task, t.waiting(task), why.Error(), due <= maxMissed)
	}
}

// waiting is how many runs of a task are due, but for those fired in a tick of which
// the lease has no note.
func (t *term) waiting(task *task) int {
	n := task.backlog.count
	for place := task.backlog.popped + n; n > 0 && t.firedNow(task, place); place-- {
		n--
	}
	return n
}

// firedNow says whether the place of a task's backlog was taken in a tick that goes
// on, or has failed.
func (t *term) firedNow(task *task, place int) bool {
	return slices.ContainsFunc(t.fired, func(f firing) bool { return f.task == task && f.place == place })
}

// giveUp takes the n oldest runs that are due of a task and records them as missed.
func (t *term) giveUp(task *task, n int, why string, each bool) {
	var last time.Time
	for range n {
		last = task.backlog.pop()
		if each {
			t.s.record(task.name(), "", "missed", last, why)
		}
	}
	if n > 0 && !each {
		t.s.record(task.name(), "", "missed", last, fmt.Sprintf("%s: %d instants up to this one", why, n))
	}
}

// stop cancels a task's run, and what is due of it.
func (t *term) stop(task *task) {
	t.giveUp(task, task.backlog.count, errJobCanceled.Error(), task.backlog.count <= maxMissed)
	if task.cancel != nil {
		task.cancel(errJobCanceled)
	}
}
