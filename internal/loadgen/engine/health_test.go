package engine

import (
	"math"
	"runtime/metrics"
	"testing"
	"time"
)

// What a histogram of the runtime gained between two readings: three values of at
// most 1 ms and one of at most 4 ms.
func TestBetweenReadings(t *testing.T) {
	edges := []float64{0, .001, .004, math.Inf(1)}
	a := &metrics.Float64Histogram{Counts: []uint64{5, 1, 0}, Buckets: edges}
	b := &metrics.Float64Histogram{Counts: []uint64{8, 2, 0}, Buckets: edges}
	if got := sumBetween(a, b); got != 7*time.Millisecond {
		t.Errorf("sum %v, want 7ms", got)
	}
	for q, want := range map[float64]time.Duration{.5: time.Millisecond, .75: time.Millisecond, .99: 4 * time.Millisecond, 1: 4 * time.Millisecond} {
		if got := quantileBetween(a, b, q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	b.Counts[2] = 1 // beyond the last edge counts as that
	if got := sumBetween(a, b); got != 11*time.Millisecond {
		t.Errorf("sum %v, want 11ms", got)
	}
	for _, none := range []*metrics.Float64Histogram{nil, {Counts: []uint64{1}, Buckets: []float64{0, 1}}} {
		if sumBetween(none, b) != 0 || quantileBetween(none, b, .5) != 0 {
			t.Error("readings that do not compare have a difference")
		}
	}
}
