package chart

import (
	"math"
	"strings"
	"testing"

	"gonum.org/v1/plot"
	"pgregory.net/rapid"
)

func labels(ticks []plot.Tick) string {
	var all []string
	for _, t := range ticks {
		all = append(all, t.Label)
	}
	return strings.Join(all, " ")
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		name  string
		ticks []plot.Tick
		want  string
	}{
		{"nines of 1,500", nineTicks(1 - 1/1500.0), "0 50 90 99 99.9"},
		{"nines of a million", nineTicks(1 - 1e-6), "0 90 99 99.9 99.99 99.999 99.9999"},
		{"linear to 1.9", linearTicks(1.9, 4), "0 0.5 1 1.5 2"},
		{"linear to 1,950", linearTicks(1950, 4), "0 500 1,000 1,500 2,000"},
		{"linear to nothing", linearTicks(0, 4), "0 0.5 1"},
		{"log below a millisecond", logTicks(4, 6, true), "10 µs 20 µs 50 µs 100 µs 200 µs 500 µs 1 ms"},
		{"log of many decades", logTicks(3, 9.2, true), "1 µs 10 µs 100 µs 1 ms 10 ms 100 ms 1 s"},
		{"log of a sliver", logTicks(8.457, 8.498, true), "289 ms 300 ms 312 ms"},
	} {
		if got := labels(c.ticks); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestUnitFor(t *testing.T) {
	for high, want := range map[float64]string{1e5: "µs", 1.9e6: "µs", 2e6: "ms", 1.9e9: "ms", 2e9: "s", 35e9: "s", 3600e9: "min"} {
		if got := unitFor(high).name; got != want {
			t.Errorf("unitFor(%g) = %s, want %s", high, got, want)
		}
	}
}

// Every nine takes the same room.
func TestNines(t *testing.T) {
	high := 0.9999
	for k, q := range []float64{0, 0.9, 0.99, 0.999, 0.9999} {
		if got, want := (nines{}).Normalize(0, high, q), float64(k)/4; math.Abs(got-want) > 1e-9 {
			t.Errorf("%v stands at %v, want %v", q, got, want)
		}
	}
}

// Whatever an axis is to hold, its marks are few, ascending and reach the end.
func TestLinearTicksProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		high := rapid.Float64Range(1e-6, 1e12).Draw(t, "high")
		count := rapid.IntRange(3, 8).Draw(t, "count")
		ticks := linearTicks(high, count)
		if len(ticks) < 2 || len(ticks) > count+2 || ticks[len(ticks)-1].Value < high*(1-1e-6) {
			t.Fatalf("%d ticks up to %v", len(ticks), ticks[len(ticks)-1].Value)
		}
		for i := 1; i < len(ticks); i++ {
			if ticks[i].Value <= ticks[i-1].Value {
				t.Fatalf("ticks do not ascend: %v", ticks)
			}
		}
	})
}

// No value and no range makes a log axis fail or swell.
func TestLogTicksProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		low := rapid.Float64Range(-3, 12).Draw(t, "low")
		high := low + rapid.Float64Range(0.01, 12).Draw(t, "span")
		ticks := logTicks(low, high, rapid.Bool().Draw(t, "duration"))
		if len(ticks) < 1 || len(ticks) > 16 {
			t.Fatalf("%d ticks from %v to %v", len(ticks), low, high)
		}
		for _, tick := range ticks {
			if tick.Value < low-1e-6 || tick.Value > high+1e-6 {
				t.Fatalf("tick at %v outside %v to %v", tick.Value, low, high)
			}
		}
	})
}
