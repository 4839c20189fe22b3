package hist

import (
	"math/bits"
	"sync/atomic"
)

// A Counter takes samples. Any number of goroutines may call Record at once:
// it takes no lock and allocates nothing. Drain may run beside them, so an
// interval is read without stopping anyone; each sample is in exactly one drain.
//
// The counts lie in HdrHistogram's own order (one array of sub-buckets for each
// power of two), so that a drain is a copy and not a translation.
type Counter struct {
	r                  Range
	unitMagnitude      int
	subBucketMask      int64
	halfCountMagnitude int
	counts             []atomic.Int64
	blocks             []atomic.Bool // one for each blockSize counts: touched since the last drain
	outOfRange         atomic.Int64
}

// blockSize is how many counts share a mark, so that a drain reads only what
// was touched.
const blockSize = 512

// NewCounter returns an empty counter.
func NewCounter(r Range) *Counter {
	subBucketCount := 1 << bits.Len64(uint64(2*pow10(r.Digits)-1))
	unit := bits.Len64(uint64(r.Lowest)) - 1
	c := &Counter{
		r:                  r,
		unitMagnitude:      unit,
		subBucketMask:      int64(subBucketCount-1) << unit,
		halfCountMagnitude: bits.Len(uint(subBucketCount)) - 2,
	}
	// One half of sub-buckets for each bucket up to the highest value's, and the
	// first bucket's lower half.
	n := (c.bucket(r.Highest) + 2) << c.halfCountMagnitude
	c.counts = make([]atomic.Int64, n)
	c.blocks = make([]atomic.Bool, (n+blockSize-1)/blockSize)
	return c
}

// Record adds one sample; a value below 0 or above the range is counted as out
// of range.
func (c *Counter) Record(v int64) {
	if v < 0 || v > c.r.Highest {
		c.outOfRange.Add(1)
		return
	}
	i := c.index(v)
	c.counts[i].Add(1)
	// After the count: a drain that clears the mark first and reads second
	// either sees this count or leaves the mark for the next drain.
	if b := &c.blocks[i/blockSize]; !b.Load() {
		b.Store(true)
	}
}

// index is the place of v in HdrHistogram's order: the power of two gives the
// bucket, the bits beneath it the sub-bucket.
func (c *Counter) index(v int64) int {
	bucket := c.bucket(v)
	sub := int(v >> (bucket + c.unitMagnitude))
	return (bucket+1)<<c.halfCountMagnitude + sub - 1<<c.halfCountMagnitude
}

func (c *Counter) bucket(v int64) int {
	return bits.Len64(uint64(v|c.subBucketMask)) - c.unitMagnitude - c.halfCountMagnitude - 1
}

// Drain takes what was recorded since the last Drain: it calls take for each
// occupied bar, in ascending order, with the bar's lowest value and its count,
// and returns how many samples were out of range. One goroutine at a time may
// drain.
func (c *Counter) Drain(take func(value, count int64)) (outOfRange int64) {
	for b := range c.blocks {
		if !c.blocks[b].Load() {
			continue
		}
		c.blocks[b].Store(false)
		for i := b * blockSize; i < min((b+1)*blockSize, len(c.counts)); i++ {
			if c.counts[i].Load() != 0 {
				take(c.value(i), c.counts[i].Swap(0))
			}
		}
	}
	return c.outOfRange.Swap(0)
}

// value is the lowest value whose place is i.
func (c *Counter) value(i int) int64 {
	half := 1 << c.halfCountMagnitude
	bucket, sub := i/half-1, i%half+half
	if bucket < 0 {
		bucket, sub = 0, sub-half
	}
	return int64(sub) << (bucket + c.unitMagnitude)
}

func pow10(n int) int64 {
	p := int64(1)
	for range n {
		p *= 10
	}
	return p
}
