package driver

import (
	"math"
	"sync/atomic"
	"time"
)

const (
	// retryBin is the length of the bins in which retries are counted.
	retryBin = 100 * time.Millisecond
	// binsPerSecond make a second, for what is looked at in seconds.
	binsPerSecond = int(time.Second / retryBin)
	// mostBins is how many there are at most: 27 hours of them.
	mostBins = 1_000_000
)

// A timeline is what happened when in the measured part of a run: by the intended
// start of a request, or the arrival of an attempt. Any number of goroutines may add
// to one, without a lock.
type timeline struct {
	offered, succeeded, attempts, retries []atomic.Int32
	beyond                                atomic.Int64 // retries behind the last bin
}

// newTimeline returns a timeline for so long.
func newTimeline(length time.Duration) *timeline {
	n := min(max(int(length/retryBin)+1, 1), mostBins)
	bins := make([]atomic.Int32, 4*n)
	return &timeline{offered: bins[:n:n], succeeded: bins[n : 2*n : 2*n], attempts: bins[2*n : 3*n : 3*n], retries: bins[3*n:]}
}

// add counts one in a bin and reports whether there is one for that instant, which is
// from the start of the measured part.
func (t *timeline) add(bins []atomic.Int32, at time.Duration) bool {
	i := max(at, 0) / retryBin
	if int(i) >= len(bins) {
		return false
	}
	bins[i].Add(1)
	return true
}

// retry counts a retry.
func (t *timeline) retry(at time.Duration) {
	if !t.add(t.retries, at) {
		t.beyond.Add(1)
	}
}

// sum is what bins from i to before j hold.
func sum(bins []atomic.Int32, i, j int) (n int64) {
	for b := max(i, 0); b < min(j, len(bins)); b++ {
		n += int64(bins[b].Load())
	}
	return n
}

// A herd is how retries bunch: how many there are, in how many bins from the first to
// the last, and how many are in the fullest.
type herd struct{ retries, bins, peak int64 }

// herd looks at all retries.
func (t *timeline) herd() (h herd) {
	first, last := -1, -1
	for i := range t.retries {
		n := int64(t.retries[i].Load())
		if n == 0 {
			continue
		}
		if first < 0 {
			first = i
		}
		last = i
		h.retries += n
		h.peak = max(h.peak, n)
	}
	if first >= 0 {
		h.bins = int64(last - first + 1)
	}
	return h
}

// random is how many the fullest bin would have on average if the retries came at
// random: the expected maximum of as many Poisson counts of the same mean.
func (h herd) random() float64 {
	if h.retries == 0 {
		return 0
	}
	mean := float64(h.retries) / float64(h.bins)
	expected, below := 0., 0. // P(a count is at most k)
	for k := 0.; ; k++ {
		lg, _ := math.Lgamma(k + 1)
		below += math.Exp(k*math.Log(mean) - mean - lg)
		if below >= 1 || k > mean+100+100*math.Sqrt(mean) {
			return expected
		}
		more := -math.Expm1(float64(h.bins) * math.Log(below)) // P(the fullest has more than k)
		if k > mean && more < 1e-9 {
			return expected
		}
		expected += more
	}
}

// recovered is how long after the end of an outage the first second begins of whose
// requests 99 % succeeded, looked for up to an instant; false where there is none.
func (t *timeline) recovered(end, until time.Duration) (time.Duration, bool) {
	for i := int((end + retryBin - 1) / retryBin); time.Duration(i+binsPerSecond)*retryBin <= until; i++ {
		offered := sum(t.offered, i, i+binsPerSecond)
		if offered > 0 && 100*sum(t.succeeded, i, i+binsPerSecond) >= 99*offered {
			return max(0, time.Duration(i)*retryBin-end), true
		}
	}
	return 0, false
}

// busiest is how many attempts came in the fullest second that begins at or after an
// instant.
func (t *timeline) busiest(from time.Duration) (most int64) {
	for i := int((from + retryBin - 1) / retryBin); i < len(t.attempts); i++ {
		most = max(most, sum(t.attempts, i, i+binsPerSecond))
	}
	return most
}
