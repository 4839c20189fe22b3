// Package chart draws what a result holds: latency by percentile and over time,
// rates, work in flight and distributions, each as one SVG. It is the only user
// of gonum/plot.
//
// It works in two steps. The functions that return a Chart compute the points,
// are pure, and merge histograms rather than average percentiles; SVG draws
// them. A picture is transparent, its text and axes have the colour of the text
// around it (currentColor) and its lines the page's --chart-1 … --chart-4 where
// the page sets them, so that one picture serves light, dark and paper. Lines
// differ in dash as well as in colour.
//
// It knows nothing of reports or workloads: which charts a result deserves is
// decided by who calls it. Everything here may be called from any goroutine.
package chart

import "math"

// A Chart is a picture in numbers.
type Chart struct {
	Title  string
	X, Y   Axis
	Series []Series
	// Warmup ends at this X: the part before it is shaded. 0 for none.
	Warmup float64
	// Note says what the points stand on: sample counts, what a dotted line means.
	Note string
}

// Empty reports whether the chart has nothing to show.
func (c Chart) Empty() bool {
	for _, s := range c.Series {
		for _, p := range s.Points {
			if !math.IsNaN(p.Y) {
				return false
			}
		}
	}
	return true
}

// An Axis says what the numbers along one side are.
type Axis struct {
	Label string
	Scale Scale
	// Duration says that values are nanoseconds, shown in the unit that suits them.
	Duration bool
}

// Scale is how values are spread along an axis.
type Scale int

// Scales.
const (
	Linear Scale = iota // from 0
	Log                 // logarithmic; values are above 0
	Nines               // quantiles 0–1, spread as −log10(1−q): every nine takes the same room
)

// A Series is one line of a chart.
type Series struct {
	Name   string
	Points []Point // ascending in X
	// Sparse is the X from which points stand on fewer than TailSamples samples
	// and are drawn dotted; +Inf for never.
	Sparse float64
	// Step draws Y as constant up to the next X, and fills the area beneath.
	Step bool
}

// A Point of a series; Y is NaN where there is no data, which breaks the line.
type Point struct{ X, Y float64 }

// TailSamples is how many samples must lie beyond a quantile for it to be taken
// at its word: a quantile q of n samples is sparse when n·(1−q) < TailSamples.
const TailSamples = 10
