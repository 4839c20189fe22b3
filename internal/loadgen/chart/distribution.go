package chart

import (
	"fmt"
	"math"

	"github.com/edgeload/edgeload/internal/loadgen/hist"
	"github.com/edgeload/edgeload/internal/loadgen/result"
)

const (
	distributionBins = 72
	// finestBin, in decades, is about what three significant digits can tell apart.
	finestBin = 0.002
	// smallestLatency stands in for zero, which a logarithm cannot show: the
	// resolution of a latency histogram.
	smallestLatency = 1000
	// outer is the share of samples at either end that may lie beyond the axis,
	// so that one stray sample does not make its bins coarse.
	outer = 0.001
)

// Distribution shows the share of each histogram's samples in bins of equal
// width on a logarithmic axis.
func Distribution(title string, lines ...Line) (Chart, error) {
	c := Chart{
		Title: title,
		X:     Axis{Label: "latency, log scale", Scale: Log, Duration: true},
		Y:     Axis{Label: "share of samples (%)"},
	}
	var hs []*hist.Histogram
	var notes []string
	low, high := math.Inf(1), math.Inf(-1)
	for _, l := range lines {
		h, err := decode(l.Metric)
		if err != nil {
			return Chart{}, err
		}
		if h == nil || h.Count() == 0 {
			continue
		}
		low, high = min(low, exponent(h.Quantile(outer))), max(high, exponent(h.Quantile(1-outer)))
		hs = append(hs, h)
		c.Series = append(c.Series, Series{Name: l.Name, Step: true, Sparse: math.Inf(1)})
		notes = append(notes, fmt.Sprintf("%s %s", l.Name, result.One.Format(float64(h.Count()))))
	}
	if len(hs) == 0 {
		return c, nil
	}
	width := max((high-low)/distributionBins, finestBin)
	for i, h := range hs {
		c.Series[i].Points = density(h, low, width)
	}
	c.Note = note("Samples", notes) + fmt.Sprintf(" Up to %g %% at either end lie beyond the axis.", 100*outer)
	return c, nil
}

// density counts h into bins of the given width in decades from low on, and
// leaves out what lies beyond the outer quantiles. The result is a step line
// from the first occupied bin to the last, brought to zero at both ends.
func density(h *hist.Histogram, low, width float64) []Point {
	bins := make(map[int]int64)
	first, last := math.MaxInt, math.MinInt
	from, to := h.Quantile(outer), h.Quantile(1-outer)
	for _, b := range h.Bars() {
		if b.To < from || b.From > to {
			continue
		}
		i := int(math.Floor((exponent((b.From+b.To)/2) - low) / width))
		bins[i] += b.Count
		first, last = min(first, i), max(last, i)
	}
	edge := func(i int) float64 { return math.Pow(10, low+float64(i)*width) }
	points := []Point{{X: edge(first), Y: 0}}
	for i := first; i <= last; i++ {
		points = append(points, Point{X: edge(i), Y: 100 * float64(bins[i]) / float64(h.Count())})
	}
	return append(points, Point{X: edge(last + 1), Y: 0})
}

// exponent is log10 of a latency in nanoseconds.
func exponent(v int64) float64 { return math.Log10(float64(max(v, smallestLatency))) }
