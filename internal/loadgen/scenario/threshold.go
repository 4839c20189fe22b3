package scenario

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// A Threshold is a condition on one metric, written as an aggregate, a
// comparison and a bound: "p(95) < 800ms".
//
// Which aggregates a metric has depends on its kind:
//
//	histogram  p(0–100], min, max, avg (or mean), med; bound in the metric's unit
//	           count (samples);                        bound a plain number
//	counter    count or value;                         bound in the metric's unit
//	           rate (a second of the measured part);   bound 50/s or a plain number
//	ratio      value or rate;                          bound 1% or 0.01
//
// A metric with no samples has no aggregate and fails every threshold.
type Threshold struct {
	// Text is the condition as written.
	Text      string
	Aggregate Aggregate
	// Quantile of an AggregateQuantile, 0–1.
	Quantile float64
	Op       Op
	// Bound in BoundUnit: nanoseconds, bytes, events a second or a plain number
	// (1% is 0.01).
	Bound     float64
	BoundUnit BoundUnit
}

// Aggregate is what a metric is reduced to.
type Aggregate string

// Aggregates.
const (
	AggregateQuantile Aggregate = "p"
	AggregateMin      Aggregate = "min"
	AggregateMax      Aggregate = "max"
	AggregateMean     Aggregate = "mean"
	AggregateCount    Aggregate = "count"
	AggregateRate     Aggregate = "rate"
	AggregateValue    Aggregate = "value"
)

// Op is a comparison.
type Op string

// Comparisons.
const (
	Less         Op = "<"
	LessEqual    Op = "<="
	Greater      Op = ">"
	GreaterEqual Op = ">="
	Equal        Op = "=="
	NotEqual     Op = "!="
)

// BoundUnit is what a bound was written in.
type BoundUnit string

// Units of a bound.
const (
	BoundNumber  BoundUnit = "1"  // 100
	BoundPercent BoundUnit = "%"  // 1%, held as 0.01
	BoundTime    BoundUnit = "ns" // 800ms
	BoundSize    BoundUnit = "B"  // 4KiB
	BoundRate    BoundUnit = "/s" // 50/s
)

// consistent reports what no kind of metric could satisfy.
func (t Threshold) consistent() error {
	allowed := []BoundUnit{BoundNumber, BoundTime, BoundSize}
	switch t.Aggregate {
	case AggregateRate:
		allowed = []BoundUnit{BoundNumber, BoundPercent, BoundRate}
	case AggregateValue:
		allowed = []BoundUnit{BoundNumber, BoundPercent, BoundSize, BoundTime}
	case AggregateCount:
		allowed = []BoundUnit{BoundNumber, BoundSize, BoundTime}
	}
	return t.boundIn(string(t.Aggregate), allowed)
}

// Fits reports whether the threshold makes sense for a metric of the given kind
// ("histogram", "counter", "ratio" or "scalar") and unit ("ns", "B" or "1"): the
// aggregate exists and the bound is in a unit that compares with it. A plain 0
// compares with everything.
func (t Threshold) Fits(kind, unit string) error {
	inUnit := []BoundUnit{BoundNumber}
	switch unit {
	case "ns":
		inUnit = []BoundUnit{BoundTime}
	case "B":
		inUnit = []BoundUnit{BoundSize, BoundNumber}
	}
	var allowed map[Aggregate][]BoundUnit
	switch kind {
	case "histogram":
		allowed = map[Aggregate][]BoundUnit{
			AggregateQuantile: inUnit, AggregateMin: inUnit, AggregateMax: inUnit, AggregateMean: inUnit,
			AggregateCount: {BoundNumber},
		}
	case "counter":
		allowed = map[Aggregate][]BoundUnit{
			AggregateCount: inUnit, AggregateValue: inUnit,
			AggregateRate: {BoundRate, BoundNumber},
		}
	case "scalar":
		allowed = map[Aggregate][]BoundUnit{AggregateValue: inUnit}
	case "ratio":
		share := []BoundUnit{BoundPercent, BoundNumber}
		allowed = map[Aggregate][]BoundUnit{AggregateValue: share, AggregateRate: share}
	default:
		return fmt.Errorf("%q: unknown kind of metric %q", t.Text, kind)
	}
	units, ok := allowed[t.Aggregate]
	if !ok {
		return fmt.Errorf("%q: a %s has no %s", t.Text, kind, t.Aggregate)
	}
	if err := t.boundIn(string(t.Aggregate)+" of a "+kind+" in "+unit, units); err != nil {
		return fmt.Errorf("%q: %w", t.Text, err)
	}
	return nil
}

func (t Threshold) boundIn(what string, allowed []BoundUnit) error {
	if slices.Contains(allowed, t.BoundUnit) || t.BoundUnit == BoundNumber && t.Bound == 0 {
		return nil
	}
	var names []string
	for _, u := range allowed {
		names = append(names, u.example())
	}
	return fmt.Errorf("%s cannot be compared with %s; want %s", what, t.BoundUnit.example(), strings.Join(names, " or "))
}

// example names a unit of a bound with one value.
func (u BoundUnit) example() string {
	switch u {
	case BoundPercent:
		return "a share (1%)"
	case BoundTime:
		return "a time (800ms)"
	case BoundSize:
		return "a size (4KiB)"
	case BoundRate:
		return "a rate (50/s)"
	}
	return "a plain number (100)"
}

// Holds reports whether the condition is met by what was observed, in the
// bound's own unit; never by NaN.
func (t Threshold) Holds(observed float64) bool {
	if math.IsNaN(observed) {
		return false
	}
	switch t.Op {
	case Less:
		return observed < t.Bound
	case LessEqual:
		return observed <= t.Bound
	case Greater:
		return observed > t.Bound
	case GreaterEqual:
		return observed >= t.Bound
	case Equal:
		return observed == t.Bound
	case NotEqual:
		return observed != t.Bound
	}
	return false
}

// String is the condition as written.
func (t Threshold) String() string { return t.Text }

// MarshalText writes the condition as written, in YAML and JSON.
func (t Threshold) MarshalText() ([]byte, error) { return []byte(t.Text), nil }

// UnmarshalText reads the notation of Threshold.
func (t *Threshold) UnmarshalText(text []byte) (err error) {
	*t, err = ParseThreshold(string(text))
	return err
}
