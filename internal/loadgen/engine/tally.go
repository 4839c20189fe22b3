package engine

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/hist"
	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// A tally is one set of metrics: a recorder for each worker, and the intervals
// drained from them. Only the goroutine that drains touches the intervals.
type tally struct {
	metrics   []Metric
	workers   []*Recorder
	intervals []interval
}

// An interval is what all workers recorded between two drains.
type interval struct {
	end      time.Duration
	inFlight int64
	counts   []int64  // by MetricID; counters only
	samples  []sparse // by MetricID; histograms only
}

// sparse is a small distribution: its occupied bars in ascending order.
type sparse struct {
	bars       []bar
	n          int64
	outOfRange int64
}

type bar struct{ value, count int64 }

func newTally(metrics []Metric, warmup time.Duration) *tally {
	t := &tally{metrics: metrics, workers: make([]*Recorder, runtime.GOMAXPROCS(0))}
	for i := range t.workers {
		t.workers[i] = NewRecorder(metrics, warmup)
	}
	return t
}

// worker is the recorder of arrival seq.
func (t *tally) worker(seq uint64) *Recorder { return t.workers[seq%uint64(len(t.workers))] }

// drain closes an interval at end.
func (t *tally) drain(end time.Duration, inFlight int64) *interval {
	iv := interval{end: end, inFlight: inFlight, counts: make([]int64, len(t.metrics)), samples: make([]sparse, len(t.metrics))}
	for id, m := range t.metrics {
		switch m.Kind {
		case result.Histogram:
			iv.samples[id] = t.drainSamples(id)
		case result.Counter:
			for _, w := range t.workers {
				iv.counts[id] += w.cells[id].count.Swap(0)
			}
		}
	}
	t.intervals = append(t.intervals, iv)
	return &t.intervals[len(t.intervals)-1]
}

func (t *tally) drainSamples(id int) sparse {
	var s sparse
	for _, w := range t.workers {
		s.outOfRange += w.cells[id].samples.Drain(func(v, n int64) {
			s.bars = append(s.bars, bar{v, n})
			s.n += n
		})
	}
	slices.SortFunc(s.bars, func(a, b bar) int { return cmp.Compare(a.value, b.value) })
	s.bars = slices.Clip(s.bars)
	return s
}

// quantile is the value at or below which the share q of samples lies.
func (s sparse) quantile(q float64) int64 {
	rank := min(int64(q*float64(s.n)), s.n-1)
	for _, b := range s.bars {
		if rank -= b.count; rank < 0 {
			return b.value
		}
	}
	return 0
}

func (s sparse) addTo(h *hist.Histogram) {
	for _, b := range s.bars {
		h.Record(b.value, b.count)
	}
	h.AddOutOfRange(s.outOfRange)
}

// merged is histogram id over all intervals.
func (t *tally) merged(id MetricID) *hist.Histogram {
	h := hist.New(result.RangeOf(t.metrics[id].Unit))
	for i := range t.intervals {
		t.intervals[i].samples[id].addTo(h)
	}
	return h
}

// total is counter id over all intervals.
func (t *tally) total(id MetricID) int64 {
	var n int64
	for i := range t.intervals {
		n += t.intervals[i].counts[id]
	}
	return n
}

// results turns the tally into the result's metrics, in the order declared.
func (t *tally) results() ([]result.Metric, error) {
	out := make([]result.Metric, len(t.metrics))
	for id, m := range t.metrics {
		out[id] = result.Metric{Name: m.Name, Kind: m.Kind, Unit: m.Unit, Help: m.Help}
		switch m.Kind {
		case result.Histogram:
			d, err := result.NewDistribution(t.merged(MetricID(id)))
			if err != nil {
				return nil, fmt.Errorf("metric %s: %w", m.Name, err)
			}
			out[id].Distribution = d
		case result.Counter:
			out[id].Value = float64(t.total(MetricID(id)))
		case result.Scalar:
			for _, w := range t.workers {
				if v := w.cells[id].value.Load(); v != nil {
					out[id].Value, out[id].Known = *v, true
				}
			}
		case result.Ratio:
			out[id].Num, out[id].Den = t.total(m.Num), t.total(m.Den)
			out[id].Of = []string{t.metrics[m.Num].Name, t.metrics[m.Den].Name}
			if out[id].Den != 0 {
				out[id].Value = float64(out[id].Num) / float64(out[id].Den)
			}
		}
	}
	return out, nil
}

// addIntervals writes the tally's intervals into those of the result, which
// have the same ends.
func (t *tally) addIntervals(into []result.Interval) error {
	for i, iv := range t.intervals {
		for id, m := range t.metrics {
			switch {
			case m.Kind == result.Counter && iv.counts[id] != 0:
				into[i].Counters[m.Name] = iv.counts[id]
			case m.Kind == result.Histogram && iv.samples[id].n > 0:
				h := hist.New(result.RangeOf(m.Unit))
				iv.samples[id].addTo(h)
				s, err := h.Encode()
				if err != nil {
					return fmt.Errorf("metric %s: %w", m.Name, err)
				}
				into[i].Histograms[m.Name] = s
			}
		}
	}
	return nil
}

// errors merges the workers' error classes, most frequent first.
func (t *tally) errors() []result.ErrorClass {
	var all failures
	for _, w := range t.workers {
		w.failures.each(func(c result.ErrorClass) { all.add(c.Class, c.Count, c.Example) })
	}
	var out []result.ErrorClass
	all.each(func(c result.ErrorClass) { out = append(out, c) })
	slices.SortFunc(out, func(a, b result.ErrorClass) int {
		return cmp.Or(-cmp.Compare(a.Count, b.Count), cmp.Compare(a.Class, b.Class))
	})
	return out
}

// failed is how many errors the workers have counted so far.
func (t *tally) failed() int64 {
	var n int64
	for _, w := range t.workers {
		w.failures.each(func(c result.ErrorClass) { n += c.Count })
	}
	return n
}

// sums gathers the workers' balances.
func (t *tally) sums() []result.Balance {
	var out []result.Balance
	for _, w := range t.workers {
		w.balances.mu.Lock()
		out = append(out, w.balances.all...)
		w.balances.mu.Unlock()
	}
	return out
}
