package chart

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

func TestCalibration(t *testing.T) {
	streams := result.LoadKind{Protocol: scenario.SSE, Over: result.Plain}
	level := func(k result.LoadKind, busy int, rate float64, p50, p99 time.Duration) result.CalibrationLevel {
		return result.CalibrationLevel{Kind: k, Busy: busy, EventsPerSecond: rate, ITL: result.Spread{Samples: 500, P50NS: p50, P99NS: p99}}
	}
	itl := func(l result.CalibrationLevel) result.Spread { return l.ITL }
	unknown := level(streams, 0, 9000, 0, 0)
	unknown.ITL.Samples = 0
	c := Calibration("error of itl", streams, itl, []result.CalibrationLevel{
		level(streams, 2, 1000, 7000, 60_000), level(streams, 0, 4000, 5000, 40_000), level(streams, 0, 1000, 0, 50_000),
		level(result.LoadKind{Protocol: scenario.WebSocket, Over: result.Plain}, 0, 500, 1, 2),
		level(result.LoadKind{Protocol: scenario.SSE, Over: result.TLS}, 0, 500, 1, 2), unknown,
	})
	got := map[string][]Point{}
	for _, s := range c.Series {
		got[s.Name] = s.Points
	}
	want := map[string][]Point{
		"p50": {{1000, 1000}, {4000, 5000}}, "p99": {{1000, 50_000}, {4000, 40_000}},
		"p50 busy": {{1000, 7000}}, "p99 busy": {{1000, 60_000}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("points (-want +got):\n%s", diff)
	}
	if !strings.Contains(c.Note, "1,500") {
		t.Errorf("note %q", c.Note)
	}
	if _, err := c.SVG(); err != nil {
		t.Error(err)
	}
	if !Calibration("", streams, itl, nil).Empty() {
		t.Error("a chart of nothing is not empty")
	}
}
