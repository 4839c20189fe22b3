// Package hist keeps distributions: the only user of hdrhistogram-go.
//
// Counter takes samples from any number of goroutines without a lock and
// without an allocation; Histogram is what a Counter is drained into, merged,
// asked for quantiles and written out. Both keep three significant digits and
// count, never drop, what lies outside their range. Quantiles are 0–1.
//
// It knows nothing of metrics, workloads or results.
package hist

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Range fixes what a distribution can hold. Two distributions merge only when
// their ranges are equal.
type Range struct {
	Lowest  int64 // smallest difference told apart near zero, at least 1
	Highest int64 // largest value held
	Digits  int   // significant decimal digits, 1–5
}

// Durations holds nanoseconds from 1 µs to 1 h at three significant digits.
var Durations = Range{Lowest: int64(time.Microsecond), Highest: int64(time.Hour), Digits: 3}

// Counts holds whole numbers up to a billion at three significant digits.
var Counts = Range{Lowest: 1, Highest: 1_000_000_000, Digits: 3}

// A Histogram is a distribution at rest. One goroutine at a time may use it.
type Histogram struct {
	h          *hdrhistogram.Histogram
	r          Range
	outOfRange int64
}

// New returns an empty distribution.
func New(r Range) *Histogram {
	return &Histogram{h: hdrhistogram.New(r.Lowest, r.Highest, r.Digits), r: r}
}

// Record adds n samples of value v; a value below 0 or above the range is
// counted as out of range and leaves the distribution as it was.
func (h *Histogram) Record(v, n int64) {
	if v < 0 || v > h.r.Highest || h.h.RecordValues(v, n) != nil {
		h.outOfRange += n
	}
}

// Merge adds all samples of o, which stays as it was.
func (h *Histogram) Merge(o *Histogram) error {
	if h.r != o.r {
		return fmt.Errorf("merge distributions of different ranges: %+v and %+v", h.r, o.r)
	}
	h.outOfRange += o.outOfRange + h.h.Merge(o.h)
	return nil
}

// Count is the number of samples within range.
func (h *Histogram) Count() int64 { return h.h.TotalCount() }

// OutOfRange is the number of samples that could not be held.
func (h *Histogram) OutOfRange() int64 { return h.outOfRange }

// AddOutOfRange counts n samples that could not be held and were met elsewhere.
func (h *Histogram) AddOutOfRange(n int64) { h.outOfRange += n }

// Quantile returns the value at or below which the share q (0–1) of samples
// lies, to the resolution of the range; 0 when there are none.
func (h *Histogram) Quantile(q float64) int64 {
	if h.Count() == 0 {
		return 0
	}
	return h.h.ValueAtQuantile(100 * min(max(q, 0), 1))
}

// Min returns the smallest sample, to the resolution of the range.
func (h *Histogram) Min() int64 {
	if h.Count() == 0 {
		return 0
	}
	return h.h.Min()
}

// Max returns the largest sample, to the resolution of the range.
func (h *Histogram) Max() int64 {
	if h.Count() == 0 {
		return 0
	}
	return h.h.Max()
}

// Mean returns the arithmetic mean of the samples, 0 when there are none.
func (h *Histogram) Mean() float64 {
	if h.Count() == 0 {
		return 0
	}
	return h.h.Mean()
}

// StdDev returns the standard deviation of the samples, 0 when there are none.
func (h *Histogram) StdDev() float64 {
	if h.Count() == 0 {
		return 0
	}
	return h.h.StdDev()
}

// A Bar is a run of neighbouring values the histogram cannot tell apart.
type Bar struct {
	From, To int64
	Count    int64
}

// Bars returns the occupied bars in ascending order.
func (h *Histogram) Bars() []Bar {
	var bars []Bar
	for _, b := range h.h.Distribution() {
		if b.Count > 0 {
			bars = append(bars, Bar{From: b.From, To: b.To, Count: b.Count})
		}
	}
	slices.SortFunc(bars, func(a, b Bar) int { return cmp.Compare(a.From, b.From) })
	return bars
}

// Encode returns the distribution in HdrHistogram's V2 compressed form, base64.
func (h *Histogram) Encode() (string, error) {
	b, err := h.h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return "", fmt.Errorf("encode histogram: %w", err)
	}
	return string(b), nil
}

// Decode reads what Encode wrote, or any HdrHistogram V2 compressed base64 of
// the same range, and is told how many samples were out of range.
func Decode(s string, r Range, outOfRange int64) (*Histogram, error) {
	d, err := hdrhistogram.Decode([]byte(s))
	if err != nil {
		return nil, fmt.Errorf("decode histogram: %w", err)
	}
	if d.LowestTrackableValue() != r.Lowest || d.HighestTrackableValue() != r.Highest || d.SignificantFigures() != int64(r.Digits) {
		return nil, fmt.Errorf("decode histogram: range is %d–%d at %d digits, expected %d–%d at %d",
			d.LowestTrackableValue(), d.HighestTrackableValue(), d.SignificantFigures(), r.Lowest, r.Highest, r.Digits)
	}
	return &Histogram{h: d, r: r, outOfRange: outOfRange}, nil
}
