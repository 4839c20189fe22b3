package cron

import (
	"cmp"
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/edgeload/edgeload/internal/refserver/store"
	"github.com/edgeload/edgeload/internal/refserver/truth"
)

// Takeover is within which time another process leads when the one that led is
// gone, killed or standing still. What fell due in between is made up for, as after
// a leap of the clock; what fell due while nobody led for longer is not replayed.
const Takeover = 5 * time.Second

// Options sets up a Scheduler. Store and Caller are required.
type Options struct {
	Store      *store.Store   // where the jobs, the runs and the lead are
	Caller     Caller         // who calls the functions
	Truth      *truth.Ledger  // nil keeps nothing
	Location   *time.Location // of the schedules; nil is GMT
	MaxRunning int            // runs at once, of all jobs; 0 is 32, as pg_cron's cron.max_running_jobs
	Timeout    time.Duration  // of a call whose command says nothing else; 0 is 5 s, as pg_net's
	Log        *slog.Logger   // nil is slog.Default
}

// Scheduler runs the jobs of a store, in one process at a time of those that run
// one. Its methods may be called concurrently.
//
// Once a second, on the second, it looks at the table of jobs and at what fell due.
// A job has one run at a time. One that fires while a run of it lasts, or while
// MaxRunning runs do, gets a run that is due, which begins when it can: a job of
// minutes one for each time it fired, without bound, a job of N seconds at most one.
// A run lasts until the function has answered, and has succeeded then, whatever the
// status of the answer: that stands beside it, in http_status. It failed where no
// answer came. Each run is begun in the store before the call is made, under the
// unique (job, scheduled instant), so a call is made at most once for an instant.
//
// N seconds are counted from 1970, not from the last start as pg_cron counts them,
// so that whoever leads knows when they are over. A clock that is set back makes
// pg_cron stop such jobs until it has caught up, and so it does here; and it repeats
// minutes for wildcard jobs, whose runs have the number of times that the clock was
// set back as their lap.
//
// @reboot fires where a process begins to lead that began to run after the last
// sign of the leader before, so not where one takes over that stood by.
type Scheduler struct {
	o       Options
	now     func() time.Time // the wall clock, without a monotonic reading
	holder  string           // of this process, unique
	changed chan struct{}    // holds a token when the table of jobs has changed
	leading atomic.Bool
	running atomic.Int64
	due     atomic.Int64
	add     func(truth.Record)
}

// New returns a Scheduler, which does nothing before Run.
func New(o Options) *Scheduler {
	if o.Location == nil {
		o.Location = time.UTC
	}
	o.MaxRunning = cmp.Or(o.MaxRunning, 32)
	o.Timeout = cmp.Or(o.Timeout, 5*time.Second)
	o.Log = cmp.Or(o.Log, slog.Default())
	return &Scheduler{
		o: o, now: func() time.Time { return time.Now().Round(0) },
		holder: newHolder(), changed: make(chan struct{}, 1), add: o.Truth.Add,
	}
}

// Stats is the state of a Scheduler; what it has done is in ground truth. In a process
// that does not lead, nothing runs and nothing is due.
type Stats struct {
	Leading bool  `json:"leading"`
	Running int64 `json:"running"` // runs that last
	Due     int64 `json:"due"`     // runs that wait for one of their job's, or for MaxRunning
}

// Stats returns the state of now.
func (s *Scheduler) Stats() Stats {
	return Stats{Leading: s.leading.Load(), Running: s.running.Load(), Due: s.due.Load()}
}

// Run schedules until ctx ends: it waits for the lead, fires while it has it, and
// waits again where it loses it. At the end the runs that last are canceled and
// waited for.
func (s *Scheduler) Run(ctx context.Context) {
	began := s.now()
	for {
		lease := s.campaign(ctx)
		if lease == nil {
			return
		}
		s.leading.Store(true)
		why := newTerm(s, lease, began).run(ctx)
		s.leading.Store(false)
		s.running.Store(0)
		s.due.Store(0)
		s.record("", "", "leader_lost", time.Time{}, why.Error())
		s.o.Log.Info("cron: no longer leading", "reason", why)
		release(ctx, lease)
	}
}

// record adds to ground truth.
func (s *Scheduler) record(job, run, event string, due time.Time, detail string) {
	s.add(truth.Record{At: s.now(), Kind: truth.Cron, Name: job, ID: run, Event: event, Due: due, Detail: detail})
}
