package report

import (
	"fmt"
	"math"
	"strings"

	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// A healthRow is one gauge of the generator's own state.
type healthRow struct {
	Name, Value string
	Limits      string       // "10 ms / 50 ms": DEGRADED and INVALID beyond them; empty for none
	State       result.State // Valid, or what the gauge made the run
	Words       string
}

// health shows the generator's gauges beside the limits they are judged by; one
// that the verdict has a reason for is marked.
func health(r *result.Result) []healthRow {
	h := r.Health
	ns, one := result.Nanoseconds.Format, result.One.Format
	rows := []healthRow{
		gauge(r, "lateness", "", "lateness p99", ns(float64(h.LatenessP99NS)), "actual − intended start or publish, worst workload"),
		gauge(r, "connect wait", "", "connect wait p99", ns(float64(h.ConnectWaitP99NS)), "for a connection's turn to be opened, of all arrivals"),
		gauge(r, "read delay", "", "read delay p99", ns(float64(h.ReadDelayP99NS)), "return of the read − the kernel's stamp; in no other figure"),
		gauge(r, "dropped", "", "dropped", whole(h.Dropped)+of(float64(h.Offered)), "arrivals due but never begun"),
		gauge(r, "cpu", "", "CPU", one(h.CPUCores)+of(h.CPUQuota)+" cores", "mean use by loadgen"),
		gauge(r, "steal", "", "steal", result.One.Format(100*h.StealShare)+" %", "CPU time the hypervisor gave to other guests"),
		gauge(r, "scheduler", "", "scheduler p99", ns(float64(h.SchedP99NS)), "time goroutines waited for a CPU"),
		gauge(r, "gc pause", "", "GC pause", ns(float64(h.GCPauseMaxNS)), "longest stop of the world"),
		gauge(r, "descriptors", "", "descriptors", whole(int64(h.FDsPeak))+of(float64(h.FDLimit)), "open at once, peak"),
		gauge(r, "range", "", "out of range", whole(h.OutOfRange)+of(float64(h.OutOfRange+h.Samples)), "samples no histogram could hold"),
		gauge(r, "clock", "", "clock step", ns(float64(h.ClockStepNS)), "wall clock against monotonic clock over the run"),
	}
	for _, w := range r.Workloads {
		if l := w.InFlight; l.Looked > 0 {
			rows = append(rows, gauge(r, "little's law", w.Name+":", "in flight, "+clean(w.Name),
				one(l.Looked)+" against "+one(l.Added), "as sampled against as added up, by Little's law"))
		}
	}
	if h.RSSPeakBytes > 0 {
		rows = append(rows, healthRow{Name: "memory", Value: result.Bytes.Format(float64(h.RSSPeakBytes)), State: result.Valid, Words: "resident, peak"})
	}
	if h.ReceiveSource != "" {
		rows = append(rows, healthRow{Name: "receive instants", Value: receiveWords(h), State: result.Valid, Words: "where they are taken"})
	}
	if h.Spin {
		rows = append(rows, healthRow{Name: "waits", Value: "end in spinning", State: result.Valid, Words: "more punctual, for CPU"})
	}
	return rows
}

// gauge makes a row, marked where the verdict has a reason from that check whose
// detail begins with about.
func gauge(r *result.Result, check, about, name, value, words string) healthRow {
	row := healthRow{Name: name, Value: value, Words: words, State: result.Valid}
	if l, ok := result.HealthLimits()[check]; ok {
		row.Limits = bound(l.Degraded, l.Share) + " / " + bound(l.Invalid, l.Share)
	}
	for _, reason := range r.Validity.Reasons {
		if reason.Check == check && strings.HasPrefix(reason.Detail, about) && row.State != result.Invalid {
			row.State = reason.State
		}
	}
	return row
}

func bound(v float64, share bool) string {
	switch {
	case math.IsInf(v, 1):
		return "–"
	case share:
		return result.One.Format(100*v) + " %"
	default:
		return result.Nanoseconds.Format(v)
	}
}

// of is the whole that a gauge is a part of; empty where it is unknown.
func of(total float64) string {
	if total <= 0 {
		return ""
	}
	return " of " + result.One.Format(total)
}

func receiveWords(h result.Health) string {
	switch h.ReceiveSource {
	case "kernel":
		return "the kernel's stamps"
	case "mixed":
		return "the kernel's stamps, but for " + whole(h.Unstamped) + " reads without one"
	case "read":
		return "return of the read"
	}
	return fmt.Sprintf("%q", clean(h.ReceiveSource))
}
