package engine

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/hist"
	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// A Recorder takes what a driver measures. Each worker has its own; the engine
// drains them all once a second and merges them after the run.
//
// Any number of goroutines may use one at once. Record, Add, At and Whole take no
// lock and allocate nothing. Error is for the path of failures and may do
// both.
type Recorder struct {
	cells    []cell // none in a recorder that throws everything away
	failures failures
	balances balances

	metrics       []Metric
	warmup        time.Duration
	live, discard *Recorder
}

// A cell is the storage of one metric: samples for a histogram, count for a counter,
// value for a scalar.
type cell struct {
	samples *hist.Counter
	count   atomic.Int64
	value   atomic.Pointer[float64]
}

// NewRecorder returns an empty recorder of metrics whose samples count from
// warmup on.
func NewRecorder(metrics []Metric, warmup time.Duration) *Recorder {
	live, discard := &Recorder{cells: make([]cell, len(metrics))}, &Recorder{}
	for _, r := range []*Recorder{live, discard} {
		r.metrics, r.warmup, r.live, r.discard = metrics, warmup, live, discard
	}
	for i, m := range metrics {
		if m.Kind == result.Histogram {
			live.cells[i].samples = hist.NewCounter(result.RangeOf(m.Unit))
		}
	}
	return live
}

// Collect returns what r alone has recorded since it was made or last
// collected: for the tests of drivers. It panics where a histogram cannot be
// encoded, which no recorded value can bring about.
func (r *Recorder) Collect() ([]result.Metric, []result.ErrorClass, []result.Balance) {
	t := &tally{metrics: r.metrics, workers: []*Recorder{r.live}}
	t.drain(0, 0)
	m, err := t.results()
	if err != nil {
		panic(err)
	}
	return m, t.errors(), t.sums()
}

// At returns the recorder for work intended at t: one that keeps, or one that
// throws everything away when t lies in the warm-up. The engine has done this
// for the recorder it hands to Do, by the arrival's intended start.
func (r *Recorder) At(t time.Duration) *Recorder {
	if t < r.warmup {
		return r.discard
	}
	return r.live
}

// Whole returns the recorder that keeps whatever it is given: for what belongs
// to the run as a whole, warm-up or not.
func (r *Recorder) Whole() *Recorder { return r.live }

// Record adds one sample of histogram m, in the metric's unit.
func (r *Recorder) Record(m MetricID, v int64) {
	if r.cells != nil {
		r.cells[m].samples.Record(v)
	}
}

// Add adds n to counter m.
func (r *Recorder) Add(m MetricID, n int64) {
	if r.cells != nil {
		r.cells[m].count.Add(n)
	}
}

// Set gives scalar m its value: for End, since it is of the whole run.
func (r *Recorder) Set(m MetricID, v float64) {
	if r.cells != nil {
		r.cells[m].value.Store(&v)
	}
}

// Error counts a failure of a class ("connection refused", "http 500",
// "truncated") and keeps the first example of each. Classes are few: an example
// belongs in the example.
func (r *Recorder) Error(class, example string) {
	if r.cells != nil {
		r.failures.add(class, 1, example)
	}
}

// Errors counts n failures of a class at once, by Error's rules.
func (r *Recorder) Errors(class string, n int64, example string) {
	if r.cells != nil {
		r.failures.add(class, n, example)
	}
}

// Balance notes a sum that must come out even, counted in two ways.
func (r *Recorder) Balance(name string, left, right int64) {
	if r.cells != nil {
		r.balances.add(result.Balance{Name: name, Left: left, Right: right})
	}
}

// failures counts errors by class.
type failures struct {
	mu      sync.Mutex
	byClass map[string]*result.ErrorClass
}

func (f *failures) add(class string, n int64, example string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byClass == nil {
		f.byClass = make(map[string]*result.ErrorClass)
	}
	c := f.byClass[class]
	if c == nil {
		c = &result.ErrorClass{Class: class, Example: example}
		f.byClass[class] = c
	}
	c.Count += n
}

func (f *failures) each(do func(result.ErrorClass)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.byClass {
		do(*c)
	}
}

// balances keeps the sums a driver notes at its end.
type balances struct {
	mu  sync.Mutex
	all []result.Balance
}

func (b *balances) add(x result.Balance) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = append(b.all, x)
}
