package report

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/hist"
	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// JSON writes a summary for machines: the result file's own fields, in its
// units, but with no encoded histograms. Distributions keep their figures; an
// interval gives count, p50, p95, p99 and max of each histogram under
// "quantiles". It is marked by "summary": 1, has "result_version" for "version",
// and is no result file: commands that read results want result.json.
func JSON(w io.Writer, r *result.Result) error {
	s := summary{Summary: 1, ResultVersion: r.Version, Result: *r}
	if r.Scenario != nil {
		s.Scenario = r.Scenario.Redacted()
	}
	for i := range r.Workloads {
		short, err := summarize(&r.Workloads[i])
		if err != nil {
			return err
		}
		s.Workloads = append(s.Workloads, short)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(s)
}

type summary struct {
	Summary       int `json:"summary"`
	ResultVersion int `json:"result_version"`
	result.Result
	Version   *int              `json:"version,omitempty"` // hides Result's
	Workloads []summaryWorkload `json:"workloads"`
}

type summaryWorkload struct {
	result.Workload
	Metrics   []summaryMetric   `json:"metrics"`
	Intervals []summaryInterval `json:"intervals"`
}

type summaryMetric struct {
	result.Metric
	Distribution *summaryDistribution `json:"distribution,omitempty"`
}

// summaryDistribution takes the place of HDR by an empty field.
type summaryDistribution struct {
	result.Distribution
	HDR string `json:"hdr,omitempty"`
}

type summaryInterval struct {
	StartNS   time.Duration        `json:"start_ns"`
	EndNS     time.Duration        `json:"end_ns"`
	InFlight  int64                `json:"in_flight"`
	Counters  map[string]int64     `json:"counters,omitempty"`
	Quantiles map[string]quantiles `json:"quantiles,omitempty"`
}

// quantiles of one histogram in one interval, in the metric's unit.
type quantiles struct {
	Count int64 `json:"count"`
	P50   int64 `json:"p50"`
	P95   int64 `json:"p95"`
	P99   int64 `json:"p99"`
	Max   int64 `json:"max"`
}

func summarize(w *result.Workload) (summaryWorkload, error) {
	s := summaryWorkload{Workload: *w, Metrics: []summaryMetric{}, Intervals: []summaryInterval{}}
	ranges := make(map[string]hist.Range)
	for _, m := range w.Metrics {
		short := summaryMetric{Metric: m}
		if m.Distribution != nil {
			short.Distribution = &summaryDistribution{Distribution: *m.Distribution}
		}
		s.Metrics = append(s.Metrics, short)
		ranges[m.Name] = result.RangeOf(m.Unit)
	}
	for _, iv := range w.Intervals {
		short := summaryInterval{StartNS: iv.StartNS, EndNS: iv.EndNS, InFlight: iv.InFlight, Counters: iv.Counters}
		for name, encoded := range iv.Histograms {
			h, err := hist.Decode(encoded, ranges[name], 0)
			if err != nil {
				return s, fmt.Errorf("%s of %s at %s: %w", name, w.Name, iv.StartNS, err)
			}
			if short.Quantiles == nil {
				short.Quantiles = make(map[string]quantiles, len(iv.Histograms))
			}
			short.Quantiles[name] = quantiles{h.Count(), h.Quantile(.50), h.Quantile(.95), h.Quantile(.99), h.Max()}
		}
		s.Intervals = append(s.Intervals, short)
	}
	return s, nil
}
