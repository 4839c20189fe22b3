package report

import (
	"fmt"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/chart"
	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// A workload as it is shown.
type workload struct {
	Name, Protocol, Load string
	Headlines            []headline
	Integrity            []finding
	Distributions        []distributionRow
	None                 []string // names of the findings that were not made
	Empty                []string // histograms with no samples
	Counters             []pair
	Ratios               []ratioRow
	Scalars              []pair // figures of the whole run
	Errors               []errorRow
	Balances             []balanceRow
	Definitions          []pair // name and help of every metric
	Sparse               bool   // a quantile is marked
}

// columns of a table of distributions, after the name and the count.
func columns() []string { return []string{"mean", "p50", "p90", "p95", "p99", "p99.9", "max"} }

// A distributionRow is one histogram: its values in the order of columns.
type distributionRow struct {
	Name, Count string
	Values      []quantity
	OutOfRange  string // empty when none
}

// A quantity is a value with its unit; Sparse when it rests on too few samples.
type quantity struct {
	Text   string
	Sparse bool
}

// String marks a sparse quantity with "~".
func (q quantity) String() string {
	if q.Sparse {
		return "~" + q.Text
	}
	return q.Text
}

type ratioRow struct{ Name, Value, Num, Den string }

type errorRow struct{ Class, Count, Example string }

type balanceRow struct {
	Name, Left, Right string
	Even              bool
}

// sparseNote explains the mark.
func sparseNote() string {
	return fmt.Sprintf("~ rests on too few samples: fewer than %d lie beyond the quantile", chart.TailSamples)
}

func newWorkload(r *result.Result, w *result.Workload) workload {
	shown := workload{
		Name: clean(w.Name), Protocol: clean(string(w.Protocol)),
		Load:      load(r.Scenario.Workloads[w.Name]),
		Headlines: headlines(w, measured(r)),
		Integrity: integrity(w),
	}
	for _, f := range shown.Integrity {
		if f.None {
			shown.None = append(shown.None, f.Name)
		}
	}
	for i := range w.Metrics {
		m := &w.Metrics[i]
		name := clean(m.Name)
		if m.Help != "" {
			shown.Definitions = append(shown.Definitions, pair{name, clean(m.Help)})
		}
		switch {
		case m.Kind == result.Histogram && m.Samples() == 0:
			shown.Empty = append(shown.Empty, name)
		case m.Kind == result.Histogram:
			row := newDistributionRow(m)
			for _, q := range row.Values {
				shown.Sparse = shown.Sparse || q.Sparse
			}
			shown.Distributions = append(shown.Distributions, row)
		case m.Kind == result.Ratio:
			shown.Ratios = append(shown.Ratios, newRatioRow(w, m))
		case m.Kind == result.Scalar:
			shown.Scalars = append(shown.Scalars, newScalarRow(m))
		default:
			shown.Counters = append(shown.Counters, pair{name, m.Unit.Format(m.Value)})
		}
	}
	for _, e := range w.Errors {
		shown.Errors = append(shown.Errors, errorRow{clean(e.Class), whole(e.Count), clean(e.Example)})
	}
	for _, b := range w.Balances {
		shown.Balances = append(shown.Balances, balanceRow{clean(b.Name), whole(b.Left), whole(b.Right), b.Even()})
	}
	return shown
}

// newRatioRow writes both sides of the ratio in the units of the counters they
// come from.
func newRatioRow(w *result.Workload, m *result.Metric) ratioRow {
	side := func(i int, v int64) string {
		if i < len(m.Of) {
			if of := find(w, m.Of[i]); of != nil {
				return of.Unit.Format(float64(v))
			}
		}
		return whole(v)
	}
	row := ratioRow{Name: clean(m.Name), Value: "no data", Num: side(0, m.Num), Den: side(1, m.Den)}
	if m.Den != 0 {
		row.Value = m.Unit.Format(m.Value)
	}
	return row
}

// newScalarRow writes a figure of the whole run.
func newScalarRow(m *result.Metric) pair {
	if !m.Known {
		return pair{clean(m.Name), "no data"}
	}
	return pair{clean(m.Name), m.Unit.Format(m.Value)}
}

func newDistributionRow(m *result.Metric) distributionRow {
	d := m.Distribution
	quantile := func(q float64, v int64) quantity {
		return quantity{m.Unit.Format(float64(v)), sparse(d.Count, q)}
	}
	row := distributionRow{
		Name: clean(m.Name), Count: whole(d.Count),
		Values: []quantity{
			{Text: m.Unit.Format(d.Mean)},
			quantile(0.5, d.P50), quantile(0.9, d.P90), quantile(0.95, d.P95), quantile(0.99, d.P99), quantile(0.999, d.P999),
			{Text: m.Unit.Format(float64(d.Max))},
		},
	}
	if d.OutOfRange > 0 {
		row.OutOfRange = whole(d.OutOfRange)
	}
	return row
}

// sparse reports whether fewer than chart.TailSamples of n samples lie beyond
// the quantile q.
func sparse(n int64, q float64) bool {
	return float64(n)*(1-q) < chart.TailSamples-1e-6
}

// find returns a workload's metric by name, nil when it has none or the metric
// has no data.
func find(w *result.Workload, name string) *result.Metric {
	for i := range w.Metrics {
		m := &w.Metrics[i]
		if m.Name == name && (m.Kind == result.Counter || m.Samples() > 0) {
			return m
		}
	}
	return nil
}

// count is a counter's value, and whether there is one.
func count(w *result.Workload, name string) (int64, bool) {
	m := find(w, name)
	if m == nil || m.Kind != result.Counter {
		return 0, false
	}
	return int64(m.Value), true
}

// rate is n a second over d, in words.
func rate(n int64, d time.Duration) string {
	if d <= 0 {
		return "no data"
	}
	return result.One.Format(float64(n)/d.Seconds()) + "/s"
}
