package pace

import (
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

func TestReplay(t *testing.T) {
	trace, err := scenario.OpenTrace("../scenario/testdata/traces", &scenario.Trace{File: "small.csv", Speed: 1})
	if err != nil {
		t.Fatal(err)
	}
	const ms = time.Millisecond
	for _, c := range []struct {
		duration time.Duration
		want     []time.Duration
		peak     float64
	}{
		{time.Minute, []time.Duration{5000 * ms, 6000 * ms, 6500*ms + 100, 8000 * ms}, 2},
		{3000 * ms, []time.Duration{5000 * ms, 6000 * ms, 6500*ms + 100}, 2},
		{ms, []time.Duration{5000 * ms}, 1},
	} {
		r := NewReplay(trace, 5*time.Second, c.duration)
		for i, want := range c.want {
			if at, ok := r.Next(); !ok || at != want {
				t.Errorf("%v: arrival %d at %v, %v; want %v", c.duration, i, at, ok, want)
			}
		}
		if at, ok := r.Next(); ok {
			t.Errorf("%v: one more arrival at %v", c.duration, at)
		}
		if n, exact := r.Count(); n != uint64(len(c.want)) || !exact || r.Peak() != c.peak {
			t.Errorf("%v: count %d, peak %v", c.duration, n, r.Peak())
		}
	}
}
