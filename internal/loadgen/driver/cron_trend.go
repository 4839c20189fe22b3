package driver

import (
	"math"
	"time"
)

// A trend is the straight line of least squares through points that come one by one,
// by Welford's way of updating means, which does not cancel.
type trend struct {
	n            float64
	meanX, meanY float64
	sxx, sxy     float64
	first, last  time.Duration // the least and greatest x
}

// add takes a point.
func (t *trend) add(x, y time.Duration) {
	if t.n == 0 {
		t.first, t.last = x, x
	}
	t.first, t.last = min(t.first, x), max(t.last, x)
	t.n++
	dx, dy := float64(x)-t.meanX, float64(y)-t.meanY
	t.meanX += dx / t.n
	t.meanY += dy / t.n
	t.sxx += dx * (float64(x) - t.meanX)
	t.sxy += dx * (float64(y) - t.meanY)
}

// gained is by how much the line rises over its span, from the first to the last x;
// both are 0 with fewer than two points.
func (t *trend) gained() (rise, span time.Duration) {
	if t.sxx == 0 {
		return 0, 0
	}
	span = t.last - t.first
	return time.Duration(math.Round(t.sxy / t.sxx * float64(span))), span
}
