package result

import (
	"github.com/edgeload/edgeload/internal/loadgen/hist"
)

// NewDistribution writes a histogram down.
func NewDistribution(h *hist.Histogram) (*Distribution, error) {
	hdr, err := h.Encode()
	if err != nil {
		return nil, err
	}
	return &Distribution{
		Count: h.Count(), OutOfRange: h.OutOfRange(),
		Min: h.Min(), Mean: h.Mean(), StdDev: h.StdDev(), Max: h.Max(),
		P50: h.Quantile(.50), P90: h.Quantile(.90), P95: h.Quantile(.95), P99: h.Quantile(.99), P999: h.Quantile(.999),
		HDR: hdr,
	}, nil
}

// RangeOf is the range of a histogram of unit u.
func RangeOf(u Unit) hist.Range {
	if u == Nanoseconds {
		return hist.Durations
	}
	return hist.Counts
}

// Histogram reads the metric's distribution back. It is nil, without an error,
// for a metric that is no histogram or has no samples.
func (m *Metric) Histogram() (*hist.Histogram, error) {
	if m.Distribution == nil || m.Distribution.Count == 0 {
		return nil, nil
	}
	return hist.Decode(m.Distribution.HDR, RangeOf(m.Unit), m.Distribution.OutOfRange)
}

// Samples is what the metric's figures stand on: the samples of a histogram,
// the denominator of a ratio, the count itself of a counter, and 1 for a scalar that
// has a value.
func (m *Metric) Samples() int64 {
	switch {
	case m.Kind == Histogram && m.Distribution != nil:
		return m.Distribution.Count
	case m.Kind == Ratio:
		return m.Den
	case m.Kind == Counter:
		return int64(m.Value)
	case m.Kind == Scalar && m.Known:
		return 1
	}
	return 0
}
