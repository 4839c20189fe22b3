package chart

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// Calibration shows p50 and p99 of one figure of a calibration against events a
// second for one kind of load, with and without busy loops beside it. Levels with
// no samples leave no point.
func Calibration(title string, kind result.LoadKind, figure func(result.CalibrationLevel) result.Spread, levels []result.CalibrationLevel) Chart {
	c := Chart{
		Title: title,
		X:     Axis{Label: "events/s, log scale", Scale: Log},
		Y:     Axis{Label: "log scale", Scale: Log, Duration: true},
	}
	at := make(map[int][]result.CalibrationLevel) // by busy loops
	var busy []int
	var samples int64
	for _, l := range levels {
		s := figure(l)
		if l.Kind != kind || s.Samples == 0 {
			continue
		}
		if at[l.Busy] == nil {
			busy = append(busy, l.Busy)
		}
		at[l.Busy] = append(at[l.Busy], l)
		samples += s.Samples
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
			p50.Points = append(p50.Points, Point{l.EventsPerSecond, float64(max(figure(l).P50NS, smallestLatency))})
			p99.Points = append(p99.Points, Point{l.EventsPerSecond, float64(max(figure(l).P99NS, smallestLatency))})
		}
		c.Series = append(c.Series, p50, p99)
	}
	c.Note = fmt.Sprintf("Samples: %s.", result.One.Format(float64(samples)))
	return c
}
