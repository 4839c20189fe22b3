package driver

import (
	"strings"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
)

// An httpFollower goes on with an arrival where its request leaves off: with the work
// that it left behind, or the attempts that were made of it upstream. Its methods are
// called from many goroutines at once.
type httpFollower interface {
	// before is told of an arrival before its request is made, and so before anyone
	// can hear of it.
	before(a engine.Arrival, rec *engine.Recorder)
	// after is told how the request of an arrival ended, which has been recorded. It
	// calls over exactly once, now or later, when all of the arrival has ended, and
	// uses x no more after its return. x.ctx ends when the drain time is over.
	after(x *httpExchange, end httpEnding, over func(done bool))
}

// followedMetrics are the metrics of an http workload, with another name for latency,
// and room for so many more behind them.
func followedMetrics(latency string, more engine.MetricID) []engine.Metric {
	m := make([]engine.Metric, httpMetricCount+more)
	copy(m, httpMetrics())
	for i := range m[:httpMetricCount] {
		if rest, ok := strings.CutPrefix(m[i].Name, "latency"); ok {
			m[i].Name = latency + rest
		}
	}
	return m
}
