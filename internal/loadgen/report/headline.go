package report

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// A headline is one of the few numbers a workload is about.
type headline struct{ Label, Value, Detail string }

// label is how a metric is called in headlines and pictures: its name, unless
// the field has a better one.
func label(name string) string {
	base, tag, tagged := strings.Cut(name, "{")
	known := map[string]string{
		"ttft": "TTFT", "ttft_service": "TTFT, service time", "truth_ttft": "TTFT, ground truth", "ttfb": "TTFB", "ttfo": "TTFO",
		"service_time": "service time", "latency_failed": "latency, failed",
		"itl": "ITL", "truth_itl": "ITL, ground truth", "tpot": "TPOT", "e2e": "end to end",
		"fanout": "fanout", "spread": "spread to all", "delivery_lag": "delivery lag", "first_event": "first event",
	}
	if better, ok := known[base]; ok {
		base = better
	}
	if tagged {
		base += " (" + strings.TrimSuffix(tag, "}") + ")"
	}
	return base
}

// headlines are the numbers that the workload's protocol is about.
func headlines(w *result.Workload, measured time.Duration) []headline {
	var all []headline
	latency := func(name string) {
		m := find(w, name)
		if m == nil || m.Kind != result.Histogram {
			return
		}
		d := m.Distribution
		p50 := quantity{m.Unit.Format(float64(d.P50)), sparse(d.Count, 0.5)}
		p95 := quantity{m.Unit.Format(float64(d.P95)), sparse(d.Count, 0.95)}
		p99 := quantity{m.Unit.Format(float64(d.P99)), sparse(d.Count, 0.99)}
		all = append(all, headline{
			Label: label(name) + " p95", Value: p95.String(),
			Detail: unbroken("p50 " + p50.String() + " · p99 " + p99.String() + " · n " + whole(d.Count)),
		})
	}
	ratio := func(name, words, num, den string) {
		if m := find(w, name); m != nil && m.Kind == result.Ratio {
			all = append(all, headline{words, percent(m.Num, m.Den), whole(m.Num) + " " + num + " of " + whole(m.Den) + " " + den})
		}
	}
	throughput := func(name, words string) {
		if n, ok := count(w, name); ok && measured > 0 {
			all = append(all, headline{words, rate(n, measured), whole(n) + " in " + result.Nanoseconds.Format(float64(measured))})
		}
	}
	v := viewOf(w)
	for _, name := range v.latencies {
		latency(name)
	}
	for _, r := range v.ratios {
		ratio(r.metric, r.words, r.num, r.den)
	}
	throughput(v.throughput.metric, v.throughput.words)
	return all
}

// unbroken lets a line end only around " · ".
func unbroken(detail string) string {
	const space = "\u00a0"
	return strings.ReplaceAll(strings.ReplaceAll(detail, " ", space), space+"·"+space, space+"· ")
}

// percent writes num ÷ den; near the whole it is cut, not rounded, so that only
// what is whole reads 100 %.
func percent(num, den int64) string {
	if den == 0 {
		return "no data"
	}
	if share := float64(num) / float64(den); share > 0.999 && share < 1 {
		return strconv.FormatFloat(math.Floor(float64(num)*1e6/float64(den))/1e4, 'f', -1, 64) + " %"
	}
	return result.One.Format(100*float64(num)/float64(den)) + " %"
}
