package chart

import (
	"math"
	"strconv"

	"gonum.org/v1/plot"

	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// nines places quantiles so that every nine takes the same room.
type nines struct{}

// Normalize implements plot.Normalizer.
func (nines) Normalize(low, high, q float64) float64 {
	return (nine(q) - nine(low)) / (nine(high) - nine(low))
}

// nine is −log10(1−q): 0 at 0 %, 1 at 90 %, 2 at 99 %.
func nine(q float64) float64 { return -math.Log10(1 - min(q, 1-1e-12)) }

// nineTicks marks 0, 50, 90, 99, 99.9 … per cent up to high.
func nineTicks(high float64) []plot.Tick {
	ticks := []plot.Tick{{Value: 0, Label: "0"}}
	if nine(high) <= 5 {
		ticks = append(ticks, plot.Tick{Value: 0.5, Label: "50"})
	}
	for k := 1; float64(k) <= nine(high)+1e-9; k++ {
		q := 1 - math.Pow(10, -float64(k))
		ticks = append(ticks, plot.Tick{Value: q, Label: strconv.FormatFloat(100*q, 'f', max(0, k-2), 64)})
	}
	return ticks
}

// A timeUnit is what durations along an axis are shown in.
type timeUnit struct {
	name string
	ns   float64
}

// unitFor suits an axis that runs from 0 to high nanoseconds.
func unitFor(high float64) timeUnit {
	switch {
	case high >= 600e9:
		return timeUnit{"min", 60e9}
	case high >= 2e9:
		return timeUnit{"s", 1e9}
	case high >= 2e6:
		return timeUnit{"ms", 1e6}
	default:
		return timeUnit{"µs", 1e3}
	}
}

// linearTicks marks multiples of 1, 2 or 5 times a power of ten from 0 to the
// first one at or above high, about count of them.
func linearTicks(high float64, count int) []plot.Tick {
	if high <= 0 {
		high = 1
	}
	raw := high / float64(count)
	power := math.Pow(10, math.Floor(math.Log10(raw)))
	step := 10 * power
	for _, m := range []float64{1, 2, 5} {
		if m*power >= raw*(1-1e-9) {
			step = m * power
			break
		}
	}
	var ticks []plot.Tick
	for i := 0; ; i++ {
		v := float64(i) * step
		ticks = append(ticks, plot.Tick{Value: v, Label: result.One.Format(math.Round(v*1e9) / 1e9)})
		if v >= high*(1-1e-9) {
			return ticks
		}
	}
}

// logTicks marks powers of ten between low and high, both exponents of ten, and
// 2 and 5 times them where there are few. It stands in for plot.LogTicks, which
// loses what lies below 1. Durations carry their unit.
func logTicks(low, high float64, duration bool) []plot.Tick {
	marks := []float64{1}
	switch {
	case high-low <= 0.7:
		marks = []float64{1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9}
	case high-low <= 2.2:
		marks = []float64{1, 2, 5}
	}
	var ticks []plot.Tick
	for e := math.Floor(low); e <= high; e++ {
		for _, m := range marks {
			at := e + math.Log10(m)
			if at < low-1e-9 || at > high+1e-9 {
				continue
			}
			v := math.Round(m*math.Pow(10, e)*1e6) / 1e6
			label := result.One.Format(v)
			if duration {
				label = result.Nanoseconds.Format(v)
			}
			ticks = append(ticks, plot.Tick{Value: at, Label: label})
		}
	}
	if len(ticks) < 2 && high > low {
		return narrowTicks(low, high, duration)
	}
	return ticks
}

// narrowTicks labels the ends of a logarithmic axis too short to hold a round
// number.
func narrowTicks(low, high float64, duration bool) []plot.Tick {
	unit := result.One
	if duration {
		unit = result.Nanoseconds
	}
	var ticks []plot.Tick
	for _, share := range []float64{0.1, 0.5, 0.9} {
		at := low + share*(high-low)
		ticks = append(ticks, plot.Tick{Value: at, Label: unit.Format(math.Pow(10, at))})
	}
	return ticks
}
