package result

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// littleFloor is the mean number in flight below which Little's law is not
// checked: sampling a handful proves nothing.
const littleFloor = 5

// Judge says how far the instrument can vouch for the numbers of r, from its
// health and its balances: how the target fared plays no part, but that a workload
// which has measured nothing, and of which no threshold says that this was to be,
// has no number to vouch for.
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
	j.check(h.GCPauseShare, "gc share", "loadgen stood still for %s of the time in garbage collections",
		"give loadgen more memory or CPU, or lower the load")
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
	if n := localLimits(r); n > 0 {
		j.check(float64(n)/float64(max(n, h.Offered)), "local limit", "loadgen ran out of descriptors, ports or buffers of its own for %s of the offered arrivals",
			"raise the limit (ulimit -n, net.ipv4.ip_local_port_range), or spread the load over more addresses or machines")
	}
	if n := h.OutOfRange + h.Samples; n > 0 {
		j.check(float64(h.OutOfRange)/float64(n), "range", "%s of the samples lay outside what a histogram holds",
			"look for a clock step; durations are held from 1 µs to 1 h")
	}
	j.check(math.Abs(float64(h.ClockStepNS)), "clock", "the wall clock moved by %s against the monotonic clock",
		"run again; stop what sets the clock")
	for _, w := range r.Workloads {
		j.workload(w)
		if !r.Interrupted {
			j.measuredNothing(w, expected(r.Scenario, w.Name))
		}
	}
	if r.Sink != nil {
		j.balances("the sink", r.Sink.Balances)
	}
	return j.verdict()
}

// Tight names the first gauge of h that is beyond half of the limit at which a run
// is DEGRADED, where that limit is a time: such figures double from run to run.
// Empty for none.
func Tight(h Health) string {
	limits := HealthLimits()
	for _, g := range []struct {
		check string
		v     time.Duration
	}{
		{"lateness", h.LatenessP99NS}, {"read delay", h.ReadDelayP99NS}, {"gc pause", h.GCPauseMaxNS}, {"scheduler", h.SchedP99NS},
	} {
		if limit := limits[g.check].Degraded; float64(g.v) > limit/2 {
			return fmt.Sprintf("%s %s, more than half of the limit %s", g.check, ms(float64(g.v)), ms(limit))
		}
	}
	return ""
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
	j.balances(w.Name, w.Balances)
}

// balances notes the sums of a workload, or of the sink, that do not come out even.
func (j *judge) balances(of string, sums []Balance) {
	for _, b := range sums {
		if !b.Even() {
			j.reasons = append(j.reasons, Reason{
				State: Invalid, Check: "balance",
				Detail: fmt.Sprintf("%s: %s does not add up: %d against %d", of, b.Name, b.Left, b.Right),
				Remedy: "do not use these numbers; please report it with the result file",
			})
		}
	}
}

// measuredNothing notes a workload without a single sample of what it is about.
// Where the scenario has a condition on it, that says what was to come of it.
func (j *judge) measuredNothing(w Workload, expected bool) {
	if w.Headline == "" || w.samples(w.Headline) > 0 || expected {
		return
	}
	detail, remedy := "no arrival came due in the measured part", "raise the rate or run longer"
	if offered := w.counter("offered"); offered > 0 {
		detail = fmt.Sprintf("%s arrivals", One.Format(offered))
		remedy = "see that the target runs and answers; where this is what is wanted, say so by a threshold on the workload"
		if len(w.Errors) > 0 {
			e := w.Errors[0]
			detail += fmt.Sprintf(", most often failed by %s: %s", e.Class, e.Example)
		}
	}
	j.reasons = append(j.reasons, Reason{
		State: Invalid, Check: "no data",
		Detail: fmt.Sprintf("%s: nothing was measured, no %s: %s", w.Name, w.Headline, detail), Remedy: remedy,
	})
}

// expected reports whether a scenario has a threshold on a workload.
func expected(sc *scenario.Scenario, workload string) bool {
	if sc == nil {
		return false
	}
	for metric, conditions := range sc.Thresholds {
		if strings.HasPrefix(metric, workload+".") && len(conditions) > 0 {
			return true
		}
	}
	return false
}

// localLimits is how often the generator ran into a limit of its own.
func localLimits(r *Result) int64 {
	var n int64
	for _, w := range r.Workloads {
		for _, e := range w.Errors {
			if e.Class == LocalLimit {
				n += e.Count
			}
		}
	}
	return n
}

// samples is how many samples a workload has of a metric.
func (w Workload) samples(metric string) int64 {
	for i := range w.Metrics {
		if w.Metrics[i].Name == metric {
			return w.Metrics[i].Samples()
		}
	}
	return 0
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
