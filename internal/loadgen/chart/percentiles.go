package chart

import (
	"fmt"
	"math"
	"strings"

	"github.com/edgeload/edgeload/internal/loadgen/hist"
	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// A Line is a metric and the name it goes by in a picture.
type Line struct {
	Name   string
	Metric result.Metric
}

// pointsPerNine is how finely a curve by percentile is sampled.
const pointsPerNine = 20

// ByPercentile shows the values of each histogram at every quantile, on an axis
// where 90 %, 99 %, 99.9 % … are equally far apart. Metrics with no samples are
// left out.
func ByPercentile(title string, lines ...Line) (Chart, error) {
	c := Chart{
		Title: title,
		X:     Axis{Label: "percentile (%)", Scale: Nines},
		Y:     Axis{Duration: true},
	}
	var notes []string
	var low, high float64 // the smallest median and the largest value
	sparse := false
	for _, l := range lines {
		h, err := decode(l.Metric)
		if err != nil {
			return Chart{}, err
		}
		if h == nil || h.Count() == 0 {
			continue
		}
		n := float64(h.Count())
		s := Series{Name: l.Name, Points: quantiles(h), Sparse: math.Inf(1)}
		if last := s.Points[len(s.Points)-1].X; n*(1-last) < TailSamples {
			s.Sparse, sparse = math.Max(0, 1-TailSamples/n), true
		}
		if median := float64(h.Quantile(0.5)); low == 0 || median < low {
			low = median
		}
		high = max(high, float64(h.Max()))
		c.Series = append(c.Series, s)
		notes = append(notes, fmt.Sprintf("%s %s", l.Name, result.One.Format(n)))
	}
	c.Y = latencyAxis(low, high)
	c.Note = note("Samples", notes)
	if sparse {
		c.Note += fmt.Sprintf(" Dotted: fewer than %d samples beyond.", TailSamples)
	}
	return c, nil
}

// quantiles samples h from its minimum to the last quantile its count can tell,
// 1−1/n, and leaves out points in the middle of a flat stretch.
func quantiles(h *hist.Histogram) []Point {
	nines := max(1, math.Log10(float64(h.Count())))
	steps := int(math.Ceil(nines * pointsPerNine))
	points := make([]Point, 0, steps+1)
	for i := range steps + 1 {
		q := 1 - math.Pow(10, -nines*float64(i)/float64(steps))
		points = append(points, Point{X: q, Y: float64(h.Quantile(q))})
	}
	points[len(points)-1].Y = float64(h.Max())
	return thin(points)
}

// thin leaves out every point whose neighbours have the same Y.
func thin(points []Point) []Point {
	kept := points[:0:0]
	for i, p := range points {
		if i > 0 && i < len(points)-1 && points[i-1].Y == p.Y && points[i+1].Y == p.Y {
			continue
		}
		kept = append(kept, p)
	}
	return kept
}

// logarithmicFrom is the ratio of the largest value to the smallest median from
// which a linear axis would press what is usual flat against its foot.
const logarithmicFrom = 20

// latencyAxis is linear from 0 unless the values lie too far apart for it.
func latencyAxis(low, high float64) Axis {
	if low > 0 && high/low > logarithmicFrom {
		return Axis{Label: "latency, log scale", Scale: Log, Duration: true}
	}
	return Axis{Label: "latency", Scale: Linear, Duration: true}
}

// note lists what the points stand on.
func note(what string, counts []string) string {
	if len(counts) == 0 {
		return ""
	}
	return what + ": " + strings.Join(counts, ", ") + "."
}

// decode unpacks a metric's histogram; nil when it has none.
func decode(m result.Metric) (*hist.Histogram, error) {
	h, err := m.Histogram()
	if err != nil {
		return nil, fmt.Errorf("chart of %s: %w", m.Name, err)
	}
	return h, nil
}
