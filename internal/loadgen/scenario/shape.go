package scenario

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// Shape is a preset of real traffic: how many tokens go in and come out of each
// arrival, and by which process arrivals come.
type Shape string

// Shapes. The quantiles of the first three are those of the released traces: Azure's
// of LLM inference in 2023 (CC-BY, Splitwise, ISCA 2024), conversation and code, and
// Mooncake's (Apache-2.0, FAST 2025). The last one is the tokens of the first with
// the arrivals of ArrivalsBursty.
const (
	ShapeChat   Shape = "chat-azure23"
	ShapeCode   Shape = "code-azure23"
	ShapeRAG    Shape = "rag-long"
	ShapeBursty Shape = "bursty"
)

// shapeProbabilities are what the quantiles of a shape belong to.
var shapeProbabilities = [...]float64{0, .01, .05, .1, .2, .3, .4, .5, .6, .7, .8, .9, .95, .99, 1}

// quantiles are values at shapeProbabilities, ascending.
type quantiles [len(shapeProbabilities)]float64

var (
	chatIn  = quantiles{2, 29, 181, 207, 387, 403, 703, 1020, 1071, 1130, 1315, 2734, 4083, 4142, 14050}
	chatOut = quantiles{7, 16, 41, 54, 77, 91, 103, 129, 177, 384, 400, 424, 451, 601, 1000}
	codeIn  = quantiles{3, 17, 75, 147, 386, 770, 1075, 1469, 1909, 2433, 3192, 5188, 7303, 7436, 7437}
	codeOut = quantiles{6, 6, 6, 7, 8, 9, 11, 13, 16, 20, 29, 55, 90, 251, 1899}
	ragIn   = quantiles{891, 894, 901, 964, 1662, 3263, 4993, 6909, 9570, 13196, 17869, 27367, 39550, 85400, 126195}
	ragOut  = quantiles{1, 3, 10, 24, 100, 213, 291, 350, 399, 447, 504, 597, 698, 1119, 2000}
)

// at is the value that the share p, from 0 to 1, lies at or below: the inverse
// distribution function, in straight lines between the quantiles.
func (q *quantiles) at(p float64) float64 {
	for i := 1; i < len(q); i++ {
		if lo, hi := shapeProbabilities[i-1], shapeProbabilities[i]; p <= hi {
			return q[i-1] + (q[i]-q[i-1])*(p-lo)/(hi-lo)
		}
	}
	return q[len(q)-1]
}

// arrivals is the process that goes with a shape where a load names none.
func (s Shape) arrivals() (a Arrivals, cv float64) {
	switch s {
	case ShapeChat:
		return ArrivalsGamma, 1.1
	case ShapeCode:
		return ArrivalsGamma, 6
	case ShapeRAG:
		return ArrivalsPoisson, 0
	case ShapeBursty:
		return ArrivalsBursty, 0
	}
	return ArrivalsConstant, 0
}

// tables are the tokens of a shape.
func (s Shape) tables() (in, out *quantiles) {
	switch s {
	case ShapeCode:
		return &codeIn, &codeOut
	case ShapeRAG:
		return &ragIn, &ragOut
	}
	return &chatIn, &chatOut
}

// Lengths say how many tokens go into each arrival of a workload, and are to come
// out of it: drawn from a shape, or as a trace has them. Any number of goroutines
// may use them at once.
type Lengths struct {
	in, out       *quantiles
	seed, purpose uint64
	trace         *TraceRows // instead of the quantiles
}

// NewLengths are those of workload's shape, drawn from seed; or, where trace is not
// nil, those of its rows.
func NewLengths(shape Shape, trace *TraceRows, workload string, seed uint64) *Lengths {
	l := &Lengths{seed: seed, purpose: hashOf("tokens", workload), trace: trace}
	l.in, l.out = shape.tables()
	return l
}

// At is the tokens of arrival seq: the same for the same seed, workload and number.
// What goes in and what comes out of a shape's arrival are drawn independently.
func (l *Lengths) At(seq uint64) (in, out int) {
	if l.trace != nil {
		r := l.trace.rows[seq%uint64(len(l.trace.rows))]
		return int(r.in), int(r.out)
	}
	rng := rand.New(draws(l.seed, l.purpose, seq))
	in = int(math.Round(l.in.at(rng.Float64())))
	return in, int(math.Round(l.out.at(rng.Float64())))
}

// charactersPerToken is how long a prompt of so many tokens is made.
const charactersPerToken = 4

var errNoLengths = fmt.Errorf("no tokens: the workload's load has neither a shape nor a trace")

// InputTokens is how many tokens a shape or trace puts into the arrival.
func (d *Data) InputTokens() (int, error) {
	if d.Lengths == nil {
		return 0, errNoLengths
	}
	in, _ := d.Lengths.At(d.Seq)
	return in, nil
}

// OutputTokens is how many tokens a shape or trace wants out of the arrival.
func (d *Data) OutputTokens() (int, error) {
	if d.Lengths == nil {
		return 0, errNoLengths
	}
	_, out := d.Lengths.At(d.Seq)
	return out, nil
}
