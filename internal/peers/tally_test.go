package peers_test

import (
	"math/bits"
	"sync/atomic"
	"testing"
)

// A tally counts durations in bars at most 1/512 wide. It is all the statistics
// that the clients of this package keep. Methods may be called concurrently.
type tally struct {
	bars [(64 - barBits) * 1 << barBits]uint32
}

// barBits says how many bars a power of two has: 2 to this.
const barBits = 9

// add counts one duration in nanoseconds; below 0 counts as 0.
func (t *tally) add(ns int64) { atomic.AddUint32(&t.bars[bar(max(ns, 0))], 1) }

// quantile is the lower edge of the bar that holds quantile q, 0 without samples.
func (t *tally) quantile(q float64) int64 {
	var n uint64
	for i := range t.bars {
		n += uint64(atomic.LoadUint32(&t.bars[i]))
	}
	want, seen := uint64(q*float64(n)), uint64(0)
	for i := range t.bars {
		if seen += uint64(atomic.LoadUint32(&t.bars[i])); seen > want || seen == n && n > 0 {
			return edge(i)
		}
	}
	return 0
}

func (t *tally) pair() [2]int64 { return [2]int64{t.quantile(.5), t.quantile(.99)} }

func (t *tally) triple() [3]int64 { return [3]int64{t.quantile(.5), t.quantile(.95), t.quantile(.99)} }

// bar is the place of v ≥ 0; below 1024 bars hold one value each.
func bar(v int64) int {
	e := max(bits.Len64(uint64(v))-barBits-1, 0)
	return e<<barBits + int(v>>e)
}

// edge is the lowest value of bar i.
func edge(i int) int64 {
	e := max(i>>barBits-1, 0)
	return int64(i-e<<barBits) << e
}

func TestTally(t *testing.T) {
	for _, v := range []int64{0, 1, 511, 512, 1023, 1024, 1025, 999_999, 1 << 40, 1<<62 - 1} {
		lo, hi := edge(bar(v)), edge(bar(v)+1)
		if v < lo || v >= hi || hi-lo > max(v>>barBits, 1) {
			t.Errorf("%d falls into [%d, %d)", v, lo, hi)
		}
	}
	var counts tally
	if got := counts.quantile(.5); got != 0 {
		t.Errorf("median of nothing = %d", got)
	}
	for v := range int64(100) {
		counts.add(v)
	}
	counts.add(-5)
	if got := counts.pair(); got != [2]int64{49, 98} {
		t.Errorf("p50 and p99 of 0, 0…99 = %v, want 49 and 98", got)
	}
}
