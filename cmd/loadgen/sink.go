package main

import (
	"slices"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
	"github.com/edgeload/edgeload/internal/loadgen/sink"
)

// openSink opens the endpoint that the target of sc calls; nil where nothing in sc has
// it called.
func openSink(sc *scenario.Scenario) (*sink.Sink, error) {
	called := sc.Sink != nil
	for _, w := range sc.Workloads {
		called = called || slices.Contains([]scenario.Protocol{scenario.Background, scenario.Cron, scenario.Retry}, w.Protocol)
	}
	if !called {
		return nil, nil
	}
	var o sink.Options
	if sc.Sink != nil {
		o.Listen, o.URL = sc.Sink.Listen, sc.Sink.URL
	}
	return sink.Open(o)
}
