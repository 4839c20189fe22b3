// Package gate draws conclusions from results: which of the scenario's
// thresholds a run has met.
//
// The manner is k6's: each condition stands alone and one that is not met fails
// the run, whatever the rest says. Unlike there, a metric without samples fails
// its conditions (outcome "no data"): a test that measured nothing has proved
// nothing.
//
// It works from the result alone, and knows nothing of the net or of how a
// result is shown. Whether the instrument can be trusted at all is not its
// question but result.Judge's.
package gate

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// Evaluate holds the thresholds of r's scenario against its metrics, and returns
// what became of each: sorted by metric, the conditions of one in the order of
// the scenario. It changes nothing in r.
//
// Of a histogram a condition sees quantile, min, max, mean and count; of a
// counter its count (or value) and its rate a second of the measured part; of a
// ratio its value (or rate). A histogram without samples, a ratio over nothing,
// and a rate over no time have no data; a counter at 0 is an observation.
//
// The error joins all conditions that cannot be judged: on an unknown metric, or
// with an aggregate or unit that its kind does not have. They are in the list
// too, as no data, so that they are no pass even where the error is not looked at.
func Evaluate(r *result.Result) ([]result.Threshold, error) {
	if r.Scenario == nil {
		return nil, fmt.Errorf("thresholds of result %s: it holds no scenario", r.ID)
	}
	var out []result.Threshold
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(r.Scenario.Thresholds)) {
		m, err := find(r, name)
		if err != nil {
			errs = append(errs, err)
		}
		for _, condition := range r.Scenario.Thresholds[name] {
			t := result.Threshold{Metric: name, Condition: condition.Text, Outcome: result.NoData, Unit: result.One}
			if m != nil {
				if t, err = judge(t, condition, m, measured(r)); err != nil {
					errs = append(errs, fmt.Errorf("threshold %s: %w", name, err))
				}
			}
			out = append(out, t)
		}
	}
	return out, errors.Join(errs...)
}

// Failed reports whether any threshold was not met, for want of data too.
func Failed(thresholds []result.Threshold) bool {
	return slices.ContainsFunc(thresholds, func(t result.Threshold) bool { return t.Outcome != result.Pass })
}

// find returns the metric of a threshold's name, "<workload>.<metric>".
func find(r *result.Result, name string) (*result.Metric, error) {
	workload, metric, _ := strings.Cut(name, ".")
	for i := range r.Workloads {
		w := &r.Workloads[i]
		if w.Name != workload {
			continue
		}
		for j := range w.Metrics {
			if w.Metrics[j].Name == metric {
				return &w.Metrics[j], nil
			}
		}
		return nil, fmt.Errorf("threshold %s: workload %s has no metric %q", name, workload, metric)
	}
	return nil, fmt.Errorf("threshold %s: the result has no workload %q", name, workload)
}

// measured is how long samples were taken: the scenario's duration, or in an
// interrupted run what there was of it, drain included.
func measured(r *result.Result) time.Duration {
	d := time.Duration(r.Scenario.Duration)
	if r.Interrupted {
		d = min(d, r.ElapsedNS-time.Duration(r.Scenario.Warmup))
	}
	return max(d, 0)
}

// judge completes t, what became of condition c on metric m.
func judge(t result.Threshold, c scenario.Threshold, m *result.Metric, measured time.Duration) (result.Threshold, error) {
	if err := c.Fits(string(m.Kind), string(m.Unit)); err != nil {
		return t, err
	}
	o, err := observe(c, m, measured)
	if err != nil {
		return t, fmt.Errorf("%q: %w", c.Text, err)
	}
	t.Unit = o.unit
	if !o.known {
		return t, nil
	}
	t.Observed, t.Samples, t.Outcome = o.value, m.Samples(), result.Fail
	if c.Holds(o.value) {
		t.Outcome = result.Pass
	}
	return t, nil
}

// An observation is what a metric is reduced to.
type observation struct {
	value float64
	unit  result.Unit
	known bool // there was data
}

func observe(c scenario.Threshold, m *result.Metric, measured time.Duration) (observation, error) {
	switch m.Kind {
	case result.Histogram:
		return observeHistogram(c, m)
	case result.Ratio:
		if m.Den == 0 {
			return observation{unit: result.One}, nil
		}
		return observation{float64(m.Num) / float64(m.Den), result.One, true}, nil
	case result.Scalar:
		return observation{m.Value, m.Unit, m.Known}, nil
	case result.Counter:
		if c.Aggregate != scenario.AggregateRate {
			return observation{m.Value, m.Unit, true}, nil
		}
		if measured == 0 {
			return observation{unit: m.Unit}, nil
		}
		return observation{m.Value / measured.Seconds(), m.Unit, true}, nil
	}
	return observation{}, fmt.Errorf("unknown kind of metric %q", m.Kind)
}

func observeHistogram(c scenario.Threshold, m *result.Metric) (observation, error) {
	h, err := m.Histogram()
	if err != nil {
		return observation{}, err
	}
	o := observation{unit: m.Unit, known: h != nil}
	if c.Aggregate == scenario.AggregateCount {
		o.unit = result.One
	}
	if h == nil {
		return o, nil
	}
	switch c.Aggregate {
	case scenario.AggregateQuantile:
		o.value = float64(h.Quantile(c.Quantile))
	case scenario.AggregateMin:
		o.value = float64(h.Min())
	case scenario.AggregateMax:
		o.value = float64(h.Max())
	case scenario.AggregateMean:
		o.value = h.Mean()
	case scenario.AggregateCount:
		o.value = float64(h.Count())
	default:
		return o, fmt.Errorf("a histogram has no %s", c.Aggregate)
	}
	return o, nil
}
