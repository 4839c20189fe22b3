package chart

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

func TestInstrumentError(t *testing.T) {
	level := func(p scenario.Protocol, busy int, rate float64, p50, p99 time.Duration) result.CalibrationLevel {
		return result.CalibrationLevel{Protocol: p, Busy: busy, EventsPerSecond: rate, Samples: 500, ErrorP50NS: p50, ErrorP99NS: p99}
	}
	unknown := level(scenario.SSE, 0, 9000, 0, 0)
	unknown.Samples = 0
	c := InstrumentError("error", scenario.SSE, time.Millisecond, []result.CalibrationLevel{
		level(scenario.SSE, 2, 1000, 7000, 60_000), level(scenario.SSE, 0, 4000, 5000, 40_000), level(scenario.SSE, 0, 1000, 0, 50_000),
		level(scenario.WebSocket, 0, 500, 1, 2), unknown,
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
	if !strings.Contains(c.Note, "1,500") || !strings.Contains(c.Note, "1ms") {
		t.Errorf("note %q", c.Note)
	}
	if _, err := c.SVG(); err != nil {
		t.Error(err)
	}
	if !InstrumentError("", scenario.SSE, 1, nil).Empty() {
		t.Error("a chart of nothing is not empty")
	}
}
