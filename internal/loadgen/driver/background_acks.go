package driver

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
)

const (
	// maxAcks is how many acknowledgements are kept to be compared; of more, every one
	// is as likely to be kept.
	maxAcks = 1 << 17
	// tookBits are those of a kept acknowledgement's time in nanoseconds: 18 minutes.
	tookBits = 40
)

// ackSamples compares the acknowledgements that came while few jobs were pending with
// those that came while many were. What is few is only known at the end: so it keeps
// them, or a fair sample. Any number of goroutines may add at once.
type ackSamples struct {
	seen atomic.Int64
	kept []atomic.Uint64 // jobs pending, and the time in the lowest tookBits
}

func (s *ackSamples) open() { s.kept = make([]atomic.Uint64, maxAcks) }

// add notes that a request which was begun when so many jobs were pending took so long
// to be acknowledged. It takes no lock and allocates nothing.
func (s *ackSamples) add(pending int64, took time.Duration) {
	at := uint64(s.seen.Add(1) - 1)
	if at >= maxAcks {
		if at = scatter(at) % (at + 1); at >= maxAcks {
			return
		}
	}
	const most = 1<<tookBits - 1
	s.kept[at].Store(uint64(min(pending, 1<<(63-tookBits)))<<tookBits | uint64(min(max(took, 0), most)))
}

// scatter is a number that looks drawn at random, the same for the same n (the
// finalizer of SplitMix64).
func scatter(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

// split records the third of the acknowledgements that met the fewest jobs pending and
// the third that met the most, with those that met as many as the last of a third. Where
// these numbers lie within a tenth of each other there is nothing to compare, and nothing
// is recorded.
func (s *ackSamples) split(rec *engine.Recorder) {
	n := int(min(s.seen.Load(), maxAcks))
	if n == 0 {
		return
	}
	all := make([]uint64, n)
	for i := range all {
		all[i] = s.kept[i].Load()
	}
	slices.SortFunc(all, func(a, b uint64) int { return cmp.Compare(a>>tookBits, b>>tookBits) })
	few, many := all[(n-1)/3]>>tookBits, all[n-1-(n-1)/3]>>tookBits
	if few == many || 10*(many-few) < many {
		return
	}
	for _, v := range all {
		took := int64(v & (1<<tookBits - 1))
		switch pending := v >> tookBits; {
		case pending <= few:
			rec.Record(backgroundAckFew, took)
		case pending >= many:
			rec.Record(backgroundAckMany, took)
		}
	}
}
