package result

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// littleFloor is the mean number in flight below which Little's law is not
// checked: sampling a handful proves nothing.
const littleFloor = 5

// Judge says how far the instrument can vouch for the numbers of r, from its
// health and its balances alone: how the target fared plays no part.
func Judge(r *Result) Validity {
	j := judge{limits: HealthLimits()}
	h := r.Health
	j.check(float64(h.LatenessP99NS), "lateness", "the generator began work p99 %s after its intended instant",
		"lower the rate, give loadgen more CPU, or run it apart from the target")
	j.check(float64(h.ConnectWaitP99NS), "connect wait", "arrivals waited p99 %s for their turn to open a connection",
		"raise connect.rate and connect.at_once, spread the load's beginning, or let it lie in the warm-up")
	if h.Offered > 0 {
		j.check(float64(h.Dropped)/float64(h.Offered), "dropped", "%s of the offered arrivals were never begun",
			"raise max_in_flight, lower the rate, or give loadgen more CPU")
	}
	j.check(float64(h.ReadDelayP99NS), "read delay", "loadgen read bytes p99 %s after they came",
		"give loadgen more CPU or lower the load")
	j.check(float64(h.GCPauseMaxNS), "gc pause", "loadgen stood still for %s in a garbage collection",
		"give loadgen more memory or CPU")
	j.check(float64(h.SchedP99NS), "scheduler", "goroutines waited p99 %s for a CPU",
		"give loadgen more CPU or lower the load")
	if h.CPUQuota > 0 {
		j.check(h.CPUCores/h.CPUQuota, "cpu", "loadgen used %s of the CPU it may use",
			"give loadgen more CPU or lower the load")
	}
	j.check(h.StealShare, "steal", "the hypervisor took %s of the CPUs' time for other guests, and loadgen and target waited meanwhile",
		"use a machine with CPUs of its own, or run again when the host is quieter")
	if h.FDLimit > 0 {
		j.check(float64(h.FDsPeak)/float64(h.FDLimit), "descriptors", "%s of the file descriptors were in use",
			"raise the limit: ulimit -n")
	}
	if n := h.OutOfRange + h.Samples; n > 0 {
		j.check(float64(h.OutOfRange)/float64(n), "range", "%s of the samples lay outside what a histogram holds",
			"look for a clock step; durations are held from 1 µs to 1 h")
	}
	j.check(math.Abs(float64(h.ClockStepNS)), "clock", "the wall clock moved by %s against the monotonic clock",
		"run again; stop what sets the clock")
	for _, w := range r.Workloads {
		j.workload(w)
	}
	return j.verdict()
}

// A judge gathers reasons.
type judge struct {
	limits  map[string]Limits
	reasons []Reason
}

func (j *judge) workload(w Workload) {
	if l := w.InFlight; l.Looked >= littleFloor {
		j.check(math.Abs(l.Looked-l.Added)/l.Looked, "little's law",
			w.Name+": in flight as sampled and as added up differ by %s",
			"run longer; if it stays, the run's accounts are wrong: please report it")
	}
	for _, b := range w.Balances {
		if !b.Even() {
			j.reasons = append(j.reasons, Reason{
				State: Invalid, Check: "balance",
				Detail: fmt.Sprintf("%s: %s does not add up: %d against %d", w.Name, b.Name, b.Left, b.Right),
				Remedy: "do not use these numbers; please report it with the result file",
			})
		}
	}
}

// check holds gauge v against the limits of its name; detail has one %s for it.
func (j *judge) check(v float64, check, detail, remedy string) {
	l := j.limits[check]
	show := ms
	if l.Share {
		show = percent
	}
	var state State
	var at float64
	switch {
	case v > l.Invalid:
		state, at = Invalid, l.Invalid
	case v > l.Degraded:
		state, at = Degraded, l.Degraded
	default:
		return
	}
	j.reasons = append(j.reasons, Reason{
		State: state, Check: check, Remedy: remedy,
		Detail: fmt.Sprintf(detail, show(v)) + " (limit " + show(at) + ")",
	})
}

func (j *judge) verdict() Validity {
	slices.SortStableFunc(j.reasons, func(a, b Reason) int { return cmp.Compare(rank(b.State), rank(a.State)) })
	v := Validity{State: Valid, Reasons: j.reasons}
	if len(j.reasons) > 0 {
		v.State = j.reasons[0].State
	}
	return v
}

func rank(s State) int { return slices.Index([]State{Valid, Degraded, Invalid}, s) }

func ms(ns float64) string { return time.Duration(ns).Round(10 * time.Microsecond).String() }

func percent(share float64) string { return fmt.Sprintf("%.3g%%", 100*share) }
