package chart

import (
	"fmt"
	"math"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/hist"
	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// maxTimePoints bounds the points of a line over time: intervals beyond it are
// put together in groups.
const maxTimePoints = 120

// LatencyOverTime shows p50, p95 and p99 of one histogram in each interval.
// Intervals with no samples leave a gap. Where there are more than 120
// intervals, neighbours are merged, so a long run stays one picture and no
// percentile is averaged.
func LatencyOverTime(title string, l Line, intervals []result.Interval, warmup time.Duration) (Chart, error) {
	c := Chart{Title: title, X: elapsedAxis(), Warmup: float64(warmup)}
	qs := []struct {
		name string
		q    float64
	}{{"p50", 0.50}, {"p95", 0.95}, {"p99", 0.99}}
	for _, q := range qs {
		c.Series = append(c.Series, Series{Name: q.name, Sparse: math.Inf(1)})
	}
	var low, high float64
	var samples, points int64
	for _, g := range groups(intervals) {
		h, err := merged(g, l.Metric)
		if err != nil {
			return Chart{}, err
		}
		x := middle(g)
		for i, q := range qs {
			p := Point{X: x, Y: math.NaN()}
			if h.Count() > 0 {
				p.Y = float64(h.Quantile(q.q))
				high = max(high, p.Y)
				if low == 0 || p.Y < low {
					low = p.Y
				}
			}
			c.Series[i].Points = append(c.Series[i].Points, p)
		}
		samples += h.Count()
		if h.Count() > 0 {
			points++
		}
	}
	c.Y = latencyAxis(low, high)
	c.Note = fmt.Sprintf("Samples: %s %s", l.Name, result.One.Format(float64(samples)))
	if points > 0 {
		c.Note += fmt.Sprintf(", about %s a point; a percentile of few samples is close to their largest", result.One.Format(math.Round(float64(samples)/float64(points))))
	}
	c.Note += "."
	return c, nil
}

// A Count is one or more counters added up, and the name they go by.
type Count struct {
	Name     string
	Counters []string
}

// RatesOverTime shows counters as events a second in each interval.
func RatesOverTime(title, label string, counts []Count, intervals []result.Interval, warmup time.Duration) Chart {
	c := Chart{Title: title, X: elapsedAxis(), Y: Axis{Label: label}, Warmup: float64(warmup)}
	var totals []string
	for _, count := range counts {
		s := Series{Name: count.Name, Sparse: math.Inf(1)}
		var total int64
		for _, g := range groups(intervals) {
			var n int64
			for _, iv := range g {
				for _, name := range count.Counters {
					n += iv.Counters[name]
				}
			}
			total += n
			p := Point{X: middle(g), Y: math.NaN()}
			if span := g[len(g)-1].EndNS - g[0].StartNS; span > 0 && g[len(g)-1].EndNS > warmup {
				p.Y = float64(n) / span.Seconds()
			}
			s.Points = append(s.Points, p)
		}
		c.Series = append(c.Series, s)
		totals = append(totals, fmt.Sprintf("%s %s", count.Name, result.One.Format(float64(total))))
	}
	c.Note = note("Counted", totals)
	return c
}

// InFlightOverTime shows the work under way at the end of each interval, warm-up
// included; in a group of intervals, the most.
func InFlightOverTime(title, name string, intervals []result.Interval, warmup time.Duration) Chart {
	s := Series{Name: name, Sparse: math.Inf(1)}
	var peak int64
	for _, g := range groups(intervals) {
		most := g[0]
		for _, iv := range g {
			if iv.InFlight > most.InFlight {
				most = iv
			}
		}
		peak = max(peak, most.InFlight)
		s.Points = append(s.Points, Point{X: float64(most.EndNS), Y: float64(most.InFlight)})
	}
	return Chart{
		Title:  title,
		X:      elapsedAxis(),
		Y:      Axis{Label: name + " in flight"},
		Warmup: float64(warmup),
		Series: []Series{s},
		Note:   fmt.Sprintf("Peak %s at the end of an interval; %d intervals.", result.One.Format(float64(peak)), len(intervals)),
	}
}

func elapsedAxis() Axis { return Axis{Label: "time since the start", Duration: true} }

// groups cuts intervals into at most maxTimePoints runs of neighbours.
func groups(intervals []result.Interval) [][]result.Interval {
	size := max(1, (len(intervals)+maxTimePoints-1)/maxTimePoints)
	var all [][]result.Interval
	for i := 0; i < len(intervals); i += size {
		all = append(all, intervals[i:min(i+size, len(intervals))])
	}
	return all
}

// middle is the instant halfway through a group.
func middle(g []result.Interval) float64 {
	return float64(g[0].StartNS+g[len(g)-1].EndNS) / 2
}

// merged adds up one metric's histograms over a group.
func merged(g []result.Interval, m result.Metric) (*hist.Histogram, error) {
	r := result.RangeOf(m.Unit)
	total := hist.New(r)
	for _, iv := range g {
		encoded := iv.Histograms[m.Name]
		if encoded == "" {
			continue
		}
		h, err := hist.Decode(encoded, r, 0)
		if err == nil {
			err = total.Merge(h)
		}
		if err != nil {
			return nil, fmt.Errorf("chart of %s at %s: %w", m.Name, iv.StartNS, err)
		}
	}
	return total, nil
}
