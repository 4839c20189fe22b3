// Package engine runs the arrivals: it takes a Plan, begins each arrival at its
// intended start, hands it to a Driver, and gathers what the drivers record
// into a result.Result, together with the generator's own health.
//
// It knows no protocol: what an arrival does is the driver's affair.
//
// Every instant is a time.Duration since the one monotonic start of the run.
package engine

import (
	"context"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// A Plan is a scenario made ready to run.
type Plan struct {
	Scenario  *scenario.Scenario // for the result; the engine reads its times and name
	Workloads []Workload
	// Observe, when set, is called about once a second from one goroutine.
	Observe func(Snapshot)
	// Side goes on beside the workloads; nil for nothing.
	Side Side
	// Began, when set, is called once before the first arrival with the instant from
	// which the run counts, which may lie shortly ahead.
	Began func(start time.Time)
	// Spin lets what waits for an instant spin through the last part of the wait:
	// more punctual, for up to a core of CPU.
	Spin bool

	coarse bool // Go's timers only, for tests in a bubble of fake time
}

// A Workload is one kind of traffic in a plan.
type Workload struct {
	Name     string
	Protocol scenario.Protocol
	Driver   Driver
	Metrics  []Metric // what Driver records; the index is the metric's ID
	// Headline is the metric shown while the run goes on.
	Headline MetricID

	// Schedule yields the intended starts of an open model; nil for a closed one,
	// and where Driver is a Timetable.
	Schedule Schedule
	// MaxInFlight bounds the arrivals under way at once in an open model.
	MaxInFlight int

	// Users is the closed model: so many users, each beginning its next arrival
	// Think after its last has ended, the first at Begins(user). A later user
	// does not begin before an earlier one.
	Users  int
	Begins func(user int) time.Duration
	Think  time.Duration
	// Sessions makes each arrival of Schedule, or each beginning of a user, the first
	// turn of a session; nil where it is all there is. Not with Once.
	Sessions *Sessions
	// Once lets each user arrive a single time, for arrivals that last the whole run.
	Once bool
}

// A Schedule yields intended starts in ascending order, computed ahead and
// never from the wall clock; false after the last.
type Schedule interface {
	Next() (intended time.Duration, ok bool)
}

// An Arrival is one unit of intended work: one stream, one member's life in a
// room.
type Arrival struct {
	Seq      uint64        // from 0, in the order of intended starts
	User     int           // closed model: which user, from 0; open model: -1
	Intended time.Duration // t_sched. In a closed model: when the user was ready
	Started  time.Duration // t_start, taken right before Do
	Session  *Session      // nil in a workload without
	Turn     int           // of the session, from 0
}

// A Driver does arrivals of one protocol.
//
// Begin is called once, before the first arrival. Do is called from many
// goroutines at once, begins one arrival, and records what it sees on rec, which
// already discards when the arrival lies in the warm-up. It calls over exactly
// once, when the arrival has ended, with whether its work was done, so that a
// user of a closed model whose work failed pauses instead of spinning. Do may
// return before that: an arrival that waits for its target need not hold a
// goroutine. over returns at once and may be called from any goroutine.
//
// Do's ctx is cancelled when the drain time is over, after which the arrival
// must end promptly. End is called once, after the last arrival has ended, and
// records what only the whole run can tell; it also releases what the driver
// holds.
type Driver interface {
	Begin(Run) error
	Do(ctx context.Context, a Arrival, rec *Recorder, over func(done bool))
	End(rec *Recorder)
}

// A Timetable is a driver whose arrivals come at instants of its own, such as those
// that a cron schedule names. It is asked once, after Begin.
type Timetable interface {
	Driver
	Schedule() Schedule
}

// A Side is what a run has beside its workloads and for all of them, such as the services
// that the target under test depends on.
//
// Begin is called before the drivers', with a Run that names no workload. Where it has
// succeeded End is called once, after the drivers': with the result so far, which it adds
// to before that is judged, or with nil where the run came to none.
type Side interface {
	Begin(Run) error
	End(res *result.Result)
}

// A Preparer is a driver with something to do before the run's clock starts, which may
// take its time: to make, at the target, what the run is about. Prepare is called once
// before Begin, with a Run that has no clock yet, and ends early with ctx. Where it has
// succeeded End is called even if the run then cannot begin.
type Preparer interface {
	Driver
	Prepare(ctx context.Context, of Run) error
}

// A Run is what a driver may know of the run it serves.
type Run struct {
	ID       string // the result's ID
	Workload string
	Seed     uint64
	Clock    Clock
	// Warmup is when measuring begins; End is when the last arrival or publish is due.
	Warmup, End time.Duration
	// Stopping is closed when no new work is to be begun: at End, or earlier by
	// an interrupt. Drivers whose arrivals last the whole run wind up then.
	Stopping <-chan struct{}

	alarm *alarm
}

// NewTimer returns a timer for the run's instants, for one goroutine's use.
func (r Run) NewTimer() *Timer { return newTimer(r.Clock, r.alarm) }

// A Clock counts from the monotonic start of a run.
type Clock struct {
	start time.Time // wall and monotonic reading taken together
}

// NewClock starts a clock now.
func NewClock() Clock { return Clock{start: time.Now()} }

// Now is the time since the start; below 0 before it.
func (c Clock) Now() time.Duration { return time.Since(c.start) }

// Since converts a time.Time taken in this process to the run's clock.
func (c Clock) Since(t time.Time) time.Duration { return t.Sub(c.start) }

// Time is the instant of the run as a time.Time of this process.
func (c Clock) Time(d time.Duration) time.Time { return c.start.Add(d) }

// FromUnix converts a wall-clock instant in Unix nanoseconds, such as another
// process on this machine stamped, to the run's clock.
func (c Clock) FromUnix(unixNano int64) time.Duration {
	return time.Duration(unixNano - c.start.UnixNano())
}

// Unix converts an instant of the run to Unix nanoseconds.
func (c Clock) Unix(d time.Duration) int64 { return c.start.UnixNano() + int64(d) }

// A MetricID names a metric within one driver: its index in Workload.Metrics.
type MetricID int

// A Metric declares one quantity a driver records.
type Metric struct {
	Name string // in thresholds and reports: "ttft"; with a tag: "ttft{conn=new}"
	Kind result.Kind
	Unit result.Unit
	Help string // one line: the definition
	// Num and Den are the counters a Ratio is made of.
	Num, Den MetricID
	// Gauge says what the metric tells of the generator itself, if anything.
	Gauge Gauge
}

// A Gauge is something about the generator's own health that a metric measures.
type Gauge int

// Gauges.
const (
	NoGauge     Gauge = iota
	Lateness          // histogram: the delay against the schedule, which the verdict is judged by
	ReadDelay         // histogram: return of a read − the kernel's receive stamp
	ConnectWait       // histogram: how long connections waited for their turn, one sample a connection
	Unstamped         // counter: reads without a kernel stamp
)

// A Snapshot is the state of a run about once a second.
type Snapshot struct {
	Elapsed, Total time.Duration // Total is warm-up + duration
	Warmup         bool          // still warming up
	Workloads      []WorkloadSnapshot
}

// A WorkloadSnapshot is one workload's last interval.
type WorkloadSnapshot struct {
	Name       string
	InFlight   int64
	Finished   int64         // so far
	Failed     int64         // errors so far, of any class
	Rate       float64       // samples of the headline metric a second: first tokens, deliveries
	Headline   string        // metric's name
	HeadlineNS time.Duration // its p95 in the last interval
	Samples    int64         // samples in the last interval
}
