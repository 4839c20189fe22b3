package chart

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// InstrumentError shows p50 and p99 of the instrument's error against events a
// second for one protocol, with and without busy loops beside it. Levels with no
// samples leave no point.
func InstrumentError(title string, p scenario.Protocol, bound time.Duration, levels []result.CalibrationLevel) Chart {
	c := Chart{
		Title: title,
		X:     Axis{Label: "events/s, log scale", Scale: Log},
		Y:     Axis{Label: "error, log scale", Scale: Log, Duration: true},
	}
	at := make(map[int][]result.CalibrationLevel) // by busy loops
	var busy []int
	var samples int64
	for _, l := range levels {
		if l.Protocol != p || l.Samples == 0 {
			continue
		}
		if at[l.Busy] == nil {
			busy = append(busy, l.Busy)
		}
		at[l.Busy] = append(at[l.Busy], l)
		samples += l.Samples
	}
	slices.Sort(busy)
	for _, n := range busy {
		p50 := Series{Name: "p50", Sparse: math.Inf(1)}
		p99 := Series{Name: "p99", Sparse: math.Inf(1)}
		if n > 0 {
			p50.Name, p99.Name = "p50 busy", "p99 busy"
		}
		slices.SortFunc(at[n], func(a, b result.CalibrationLevel) int {
			return cmp.Compare(a.EventsPerSecond, b.EventsPerSecond)
		})
		for _, l := range at[n] {
			p50.Points = append(p50.Points, Point{l.EventsPerSecond, float64(max(l.ErrorP50NS, smallestLatency))})
			p99.Points = append(p99.Points, Point{l.EventsPerSecond, float64(max(l.ErrorP99NS, smallestLatency))})
		}
		c.Series = append(c.Series, p50, p99)
	}
	c.Note = fmt.Sprintf("Samples: %s. The bound of the error's p99 is %v.", result.One.Format(float64(samples)), bound)
	return c
}
