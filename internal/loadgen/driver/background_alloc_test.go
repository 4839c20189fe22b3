//go:build !race

package driver

import (
	"testing"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
	"github.com/edgeload/edgeload/internal/loadgen/sink"
)

// A job costs no allocation from its request to its completion, but for what the sink
// makes of a call.
func TestBackgroundSamplePathAllocates(t *testing.T) {
	endpoint, err := sink.Open(sink.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = endpoint.Close() }()
	for name, by := range correlationsByID(t) {
		d, rec := readyBackground(t, endpoint, name, by)
		over := func(bool) {}
		calls := make([]*sink.Call, 4000)
		for seq := range calls {
			calls[seq] = allPlaces("User ada triggered " + scenario.ArrivalID(d.mark, uint64(seq)))
		}
		seq := 0
		do := func() {
			now := d.run.Clock.Now()
			d.Do(t.Context(), engine.Arrival{Seq: uint64(seq), Intended: now, Started: now}, rec, over)
			calls[seq].First = d.run.Clock.Time(d.run.Clock.Now())
			d.Serve(calls[seq])
			seq++
		}
		for range 2000 {
			do()
		}
		if n := testing.AllocsPerRun(1000, do); n != 0 {
			t.Errorf("%s: %v allocations a job", name, n)
		}
		if got := d.books.completed.Load(); got != int64(seq) {
			t.Errorf("%s: %d of %d jobs completed", name, got, seq)
		}
	}
}
