// Package driver holds what touches the net: one file a protocol, and the one
// map that says which driver does which.
//
// It turns a scenario into an engine.Plan; it knows nothing of what is later
// made of the figures.
package driver

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/pace"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// A protocol makes drivers of one kind.
type protocol struct {
	metrics  func() []engine.Metric
	headline engine.MetricID
	// open makes the driver for workload w, named name, of sc; it dials nothing.
	open func(sc *scenario.Scenario, name string, w *scenario.Workload) (engine.Driver, error)
	// once says that an arrival lasts the whole run.
	once bool
}

// protocols is every protocol loadgen speaks.
func protocols() map[scenario.Protocol]protocol {
	return map[scenario.Protocol]protocol{
		scenario.SSE:       {metrics: sseMetrics, headline: sseTTFT, open: newSSE},
		scenario.HTTP:      {metrics: httpMetrics, headline: httpLatency, open: newHTTP},
		scenario.WebSocket: {metrics: wsMetrics, headline: wsFanout, open: newWebSocket, once: true},
	}
}

// Metrics returns, for each protocol, what a threshold may be held against: the
// engine's own metrics and the driver's.
func Metrics() map[scenario.Protocol][]scenario.Metric {
	all := make(map[scenario.Protocol][]scenario.Metric)
	for p, proto := range protocols() {
		for _, m := range slices.Concat(engine.OwnMetrics(), proto.metrics()) {
			all[p] = append(all[p], scenario.Metric{Name: m.Name, Kind: string(m.Kind), Unit: string(m.Unit)})
		}
	}
	return all
}

// Plan makes a checked scenario ready to run.
func Plan(sc *scenario.Scenario) (engine.Plan, error) {
	plan := engine.Plan{Scenario: sc}
	for i, name := range slices.Sorted(maps.Keys(sc.Workloads)) {
		w, err := plannedWorkload(sc, name, uint64(i))
		if err != nil {
			return engine.Plan{}, fmt.Errorf("workload %s: %w", name, err)
		}
		plan.Workloads = append(plan.Workloads, w)
	}
	return plan, nil
}

func plannedWorkload(sc *scenario.Scenario, name string, index uint64) (engine.Workload, error) {
	w := sc.Workloads[name]
	proto, ok := protocols()[w.Protocol]
	if !ok {
		return engine.Workload{}, fmt.Errorf("no driver for protocol %q", w.Protocol)
	}
	d, err := proto.open(sc, name, w)
	if err != nil {
		return engine.Workload{}, err
	}
	out := engine.Workload{
		Name: name, Protocol: w.Protocol, Driver: d, Metrics: proto.metrics(), Headline: proto.headline, Once: proto.once,
	}
	if users := w.Load.Users; users > 0 {
		out.Users, out.Think = users, time.Duration(w.Load.Think)
		out.Begins = func(u int) time.Duration { return pace.Ramp(users, time.Duration(w.Load.Ramp), u) }
		return out, nil
	}
	out.MaxInFlight = w.Load.MaxInFlight
	// Each workload draws its own arrivals from the one seed.
	schedule, err := pace.New(w.Load, time.Duration(sc.Warmup), time.Duration(sc.Duration), sc.Seed+index)
	if err != nil {
		return engine.Workload{}, err
	}
	out.Schedule = schedule
	return out, nil
}
