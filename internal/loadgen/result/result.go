// Package result is what a run leaves behind: result file v1.
//
// Everything that concludes something (reports, charts, thresholds, gates)
// works from this file alone. The package reads, writes and checks it, and
// knows neither the engine nor the net.
package result

import (
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// Version of the file format that this package writes.
const Version = 1

// A Result is one run of one scenario.
type Result struct {
	Version int       `json:"version"`
	ID      string    `json:"id"` // <UTC time>-<scenario name>, also the run's folder
	Started time.Time `json:"started"`
	// ElapsedNS is the whole run, warm-up and drain included, in nanoseconds.
	ElapsedNS time.Duration `json:"elapsed_ns"`
	// Interrupted says that a signal, or the end of the server under test, ended the
	// arrivals before their time.
	Interrupted bool               `json:"interrupted,omitempty"`
	Scenario    *scenario.Scenario `json:"scenario"` // resolved: defaults and overrides applied
	Machine     Machine            `json:"machine"`
	Build       Build              `json:"build"`
	Workloads   []Workload         `json:"workloads"` // sorted by name
	// Sink is what came to loadgen's own endpoint; none where the run had no such.
	Sink       *Sink       `json:"sink,omitempty"`
	Health     Health      `json:"health"`
	Validity   Validity    `json:"validity"`
	Thresholds []Threshold `json:"thresholds,omitempty"`
	// Resources is what the server under test used, where loadgen started it.
	Resources *Resources `json:"resources,omitempty"`
	// Warnings are doubts about single numbers, in words.
	Warnings []string `json:"warnings,omitempty"`
}

// Machine is what the generator ran on; results compare only within one
// fingerprint.
type Machine struct {
	OS          string `json:"os"`
	Arch        string `json:"arch"`
	Kernel      string `json:"kernel,omitempty"`
	CPU         string `json:"cpu,omitempty"`
	Cores       int    `json:"cores"` // GOMAXPROCS of the generator
	MemoryBytes int64  `json:"memory_bytes,omitempty"`
	Fingerprint string `json:"fingerprint"` // hash over the fields above
}

// Build is the program that measured.
type Build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Dirty    bool   `json:"dirty,omitempty"`
	Go       string `json:"go"`
}

// A Workload is what one kind of traffic came to.
type Workload struct {
	Name     string            `json:"name"`
	Protocol scenario.Protocol `json:"protocol"`
	// Headline names the metric that the workload is about: one without samples
	// has measured nothing.
	Headline string `json:"headline,omitempty"`
	// Metrics in the driver's order, the engine's own (offered, started,
	// finished, dropped, late, lateness) first.
	Metrics   []Metric     `json:"metrics"`
	Intervals []Interval   `json:"intervals"`
	Errors    []ErrorClass `json:"errors,omitempty"` // most frequent first
	Balances  []Balance    `json:"balances,omitempty"`
	// InFlight is the mean number of arrivals under way over the measured part,
	// counted in two independent ways.
	InFlight InFlight `json:"in_flight"`
}

// InFlight is Little's law as a check of the books: Looked is L, sampled every
// few milliseconds; Added is λW, the durations of all arrivals over the time
// measured. They should agree within 5 %.
type InFlight struct {
	Looked float64 `json:"looked"`
	Added  float64 `json:"added"`
}

// Kind says what a metric's numbers are.
type Kind string

// Kinds of metric.
const (
	Histogram Kind = "histogram" // a distribution: Histogram is set
	Counter   Kind = "counter"   // a count: Value is set
	Ratio     Kind = "ratio"     // Num ÷ Den: all three are set; no data when Den is 0
	Scalar    Kind = "scalar"    // one figure of the whole run: Value is set where Known
)

// Unit of a metric's values.
type Unit string

// Units.
const (
	Nanoseconds Unit = "ns"
	Bytes       Unit = "B"
	One         Unit = "1" // a plain number
)

// A Metric is one named quantity of a workload over the measured part of a run.
type Metric struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
	Unit Unit   `json:"unit"`
	Help string `json:"help"`
	// Value of a counter, ratio or scalar.
	Value float64 `json:"value,omitempty"`
	// Known says that a scalar has a value; without it there is no data.
	Known bool  `json:"known,omitempty"`
	Num   int64 `json:"num,omitempty"`
	Den   int64 `json:"den,omitempty"`
	// Of names the counters that a ratio's Num and Den are the values of, in the
	// same workload, in this order.
	Of []string `json:"of,omitempty"`
	// Distribution of a histogram.
	Distribution *Distribution `json:"distribution,omitempty"`
}

// A Distribution is a histogram at rest, with the figures people ask for most
// beside it. Values are in the metric's unit.
type Distribution struct {
	Count      int64   `json:"count"`
	OutOfRange int64   `json:"out_of_range,omitempty"` // samples that could not be held
	Min        int64   `json:"min"`
	Mean       float64 `json:"mean"`
	StdDev     float64 `json:"stddev"`
	P50        int64   `json:"p50"`
	P90        int64   `json:"p90"`
	P95        int64   `json:"p95"`
	P99        int64   `json:"p99"`
	P999       int64   `json:"p999"`
	Max        int64   `json:"max"`
	// HDR is the whole histogram: HdrHistogram V2 compressed, base64.
	HDR string `json:"hdr"`
}

// An Interval is about one second of a workload: what was recorded in it, each
// sample at the moment it was taken.
type Interval struct {
	// StartNS and EndNS are offsets from the run's start. The warm-up's
	// intervals are there, with no samples, so that in-flight can be followed.
	StartNS  time.Duration `json:"start_ns"`
	EndNS    time.Duration `json:"end_ns"`
	InFlight int64         `json:"in_flight"` // at the interval's end
	// Counters by metric name; zeros are left out.
	Counters map[string]int64 `json:"counters,omitempty"`
	// Histograms by metric name, HdrHistogram V2 compressed base64; empty ones are left out.
	Histograms map[string]string `json:"histograms,omitempty"`
}

// LocalLimit is the class of errors of a generator that ran out of descriptors,
// ports or buffers of its own.
const LocalLimit = "local limit"

// An ErrorClass is a kind of failure, how often it was met, and the first
// example of it.
type ErrorClass struct {
	Class   string `json:"class"`
	Count   int64  `json:"count"`
	Example string `json:"example"`
}

// A Balance is a sum that must come out even, counted in two independent ways.
// One that does not makes the run INVALID.
type Balance struct {
	Name  string `json:"name"` // as "expected = received + lost"
	Left  int64  `json:"left"`
	Right int64  `json:"right"`
}

// Even reports whether both sides agree.
func (b Balance) Even() bool { return b.Left == b.Right }

// Health is how the generator itself fared over the measured part.
type Health struct {
	LatenessP99NS time.Duration `json:"lateness_p99_ns"` // worst workload: actual − intended start or publish
	// ConnectWaitP99NS is what 99 % of the arrivals did not wait longer than for
	// their turn to connect, worst workload whose latencies hold that wait.
	ConnectWaitP99NS time.Duration `json:"connect_wait_p99_ns"`
	GCPauseMaxNS     time.Duration `json:"gc_pause_max_ns"`          // longest stop-the-world pause for GC
	GCPauseShare     float64       `json:"gc_pause_share,omitempty"` // all of them, of the time measured
	SchedP99NS       time.Duration `json:"sched_p99_ns"`             // time goroutines waited for a CPU
	CPUCores         float64       `json:"cpu_cores"`                // mean cores used by this process
	CPUQuota         float64       `json:"cpu_quota"`                // cores this process may use
	// StealShare is the time that the hypervisor gave to other guests, as a share
	// of all the time of the CPUs this process may use; 0 where unknown.
	StealShare   float64       `json:"steal_share"`
	FDsPeak      int           `json:"fds_peak"`       // file descriptors open, highest seen
	FDLimit      int           `json:"fd_limit"`       // 0 where unknown
	RSSPeakBytes int64         `json:"rss_peak_bytes"` // 0 where unknown
	Offered      int64         `json:"offered"`        // arrivals due, all workloads
	Dropped      int64         `json:"dropped"`        // of those, never begun
	OutOfRange   int64         `json:"out_of_range"`   // samples no histogram could hold
	Samples      int64         `json:"samples"`        // samples taken, all metrics
	ClockStepNS  time.Duration `json:"clock_step_ns"`  // wall clock − monotonic clock, change over the run
	// ReceiveSource is where receive instants come from: "kernel" (its stamp on the
	// packet), "read" (the return of the read), or "mixed": Unstamped reads came
	// without a stamp.
	ReceiveSource string `json:"receive_source"`
	Unstamped     int64  `json:"unstamped,omitempty"`
	// Spin says that waits for instants were spun through at their end (run --spin).
	Spin           bool          `json:"spin,omitempty"`
	ReadDelayP99NS time.Duration `json:"read_delay_p99_ns"` // return of the read − the kernel's stamp: what a generator without stamps would add
}

// Sink is what came to loadgen's own endpoint over the whole run, warm-up and drain
// included, and since the run before where one endpoint served several.
type Sink struct {
	URL string `json:"url"`
	// Connections that were taken.
	Connections int64 `json:"connections"`
	// Calls by whom they were for, workloads and upstreams alike, sorted by name.
	Calls []SinkCalls `json:"calls,omitempty"`
	// Strays are calls for names that nothing listened at, as after the run before or
	// by a mistaken address; "…" stands for names that no workload could have.
	Strays []SinkCalls `json:"strays,omitempty"`
	// Broken are requests that were no calls: not HTTP, too long, or never whole.
	Broken int64 `json:"broken,omitempty"`
	// Unanswered are calls whose answer was not, or not all, written though it was to be:
	// their caller went first, or the run ended.
	Unanswered int64 `json:"unanswered,omitempty"`
	// Refused are connections that were closed at once, for want of room.
	Refused  int64     `json:"refused,omitempty"`
	Balances []Balance `json:"balances,omitempty"`
}

// SinkCalls are the calls for one name.
type SinkCalls struct {
	Name  string `json:"name"`
	Calls int64  `json:"calls"`
	// Replies are what an upstream's calls were given, by reply: a status, reset or hang.
	Replies map[string]int64 `json:"replies,omitempty"`
}

// State says how far a run's numbers can be trusted.
type State string

// States of validity.
const (
	Valid    State = "VALID"
	Degraded State = "DEGRADED" // usable with the reason in mind
	Invalid  State = "INVALID"  // the instrument cannot vouch for the numbers
)

// Validity is the verdict on the instrument itself, with its reasons.
type Validity struct {
	State   State    `json:"state"`
	Reasons []Reason `json:"reasons,omitempty"` // none when valid; worst first
}

// A Reason is one check that did not hold.
type Reason struct {
	State  State  `json:"state"`  // what it makes the run: Degraded or Invalid
	Check  string `json:"check"`  // as "lateness"
	Detail string `json:"detail"` // what was seen and its limit, with units
	Remedy string `json:"remedy"`
}

// Outcome of a threshold.
type Outcome string

// Outcomes.
const (
	Pass   Outcome = "pass"
	Fail   Outcome = "fail"
	NoData Outcome = "no data" // counts as a failure
)

// A Threshold is one condition of the scenario and what became of it.
type Threshold struct {
	Metric    string  `json:"metric"`    // "<workload>.<metric>"
	Condition string  `json:"condition"` // as written: "p(95) < 800ms"
	Outcome   Outcome `json:"outcome"`
	Observed  float64 `json:"observed"` // in the metric's unit; 0 when no data
	Unit      Unit    `json:"unit"`
	Samples   int64   `json:"samples"` // samples or denominator the observation stands on
}
