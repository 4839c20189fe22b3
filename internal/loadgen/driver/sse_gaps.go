package driver

import (
	"math"
	"slices"
	"time"
)

// Limits of what is called a stall: a gap above both the floor and so many
// times the median gap of its stream.
const (
	stallFloor  = 500 * time.Millisecond
	stallFactor = 5
)

// maxGaps bounds the gaps kept of one stream.
const maxGaps = 4096

// gaps keeps the gaps between a stream's content chunks until its end, when
// their median is known. Past maxGaps it thins out evenly: every second gap,
// then every fourth, and so on. Gaps that may be stalls are all kept; a
// stream's timeout bounds how many of those there can be.
type gaps struct {
	kept   []uint32 // microseconds
	stride int      // keep one in so many; a power of two
	skip   int      // until the next that is kept
	long   []time.Duration
}

func (g *gaps) reset() {
	g.kept, g.stride, g.skip, g.long = g.kept[:0], 1, 0, g.long[:0]
}

// add takes the next gap.
func (g *gaps) add(gap time.Duration) {
	if gap > stallFloor {
		g.long = append(g.long, gap)
	}
	if g.skip > 0 {
		g.skip--
		return
	}
	if len(g.kept) == maxGaps {
		half := g.kept[:0]
		for i := 0; i < maxGaps; i += 2 {
			half = append(half, g.kept[i])
		}
		g.kept = half
		g.stride *= 2
	}
	g.kept = append(g.kept, uint32(min(gap/time.Microsecond, math.MaxUint32)))
	g.skip = g.stride - 1
}

// stalls returns the stalls, in the order they came. It is called once, after
// the last add.
func (g *gaps) stalls() []time.Duration {
	if len(g.long) == 0 {
		return nil
	}
	limit := max(stallFloor, stallFactor*median(g.kept))
	return slices.DeleteFunc(g.long, func(gap time.Duration) bool { return gap <= limit })
}

// median sorts s, which is not empty, and returns its middle.
func median(s []uint32) time.Duration {
	slices.Sort(s)
	mid := len(s) / 2
	if len(s)%2 == 1 {
		return time.Duration(s[mid]) * time.Microsecond
	}
	return (time.Duration(s[mid-1]) + time.Duration(s[mid])) * time.Microsecond / 2
}
