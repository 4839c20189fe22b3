//go:build !race

package driver

import (
	"testing"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
)

// The race detector has pools drop things at random, so this is not for it.

// A request that is the same for every arrival, and has no body of its own, costs
// no allocation, whatever is checked.
func TestHTTPSamplePathAllocates(t *testing.T) {
	for name, w := range workloads(t) {
		d, rec := readyDriver(t, w)
		over := func(bool) {}
		ctx := t.Context()
		do := func() {
			now := d.run.Clock.Now()
			d.Do(ctx, engine.Arrival{Intended: now, Started: now}, rec, over)
		}
		do()
		if n := testing.AllocsPerRun(200, do); (name == "get" || name == "checks") && n != 0 {
			t.Errorf("%s: %v allocations a request", name, n)
		}
	}
}
