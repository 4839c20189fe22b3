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
	"github.com/edgeload/edgeload/internal/loadgen/sink"
)

// A protocol makes drivers of one kind.
type protocol struct {
	metrics  func() []engine.Metric
	headline engine.MetricID
	// open makes the driver for a workload; it dials nothing.
	open func(of opening) (engine.Driver, error)
	// once says that an arrival lasts the whole run.
	once bool
}

// An opening is what a driver is made for.
type opening struct {
	scenario *scenario.Scenario
	name     string // of the workload
	workload *scenario.Workload
	sink     *sink.Sink // nil where a scenario is only looked at
	// lengths are the tokens of its arrivals; nil without a shape or trace.
	lengths *scenario.Lengths
}

// sinkURL is the sink's address, "" without one.
func (o opening) sinkURL() string {
	if o.sink == nil {
		return ""
	}
	return o.sink.URL()
}

// Options are what the workloads of a run have in common beside their scenario.
type Options struct {
	// Sink is loadgen's own endpoint; nil where the scenario needs none, or is not to
	// be run.
	Sink *sink.Sink
}

// protocols is every protocol loadgen speaks.
func protocols() map[scenario.Protocol]protocol {
	return map[scenario.Protocol]protocol{
		scenario.SSE:        {metrics: sseMetrics, headline: sseTTFT, open: newSSE},
		scenario.HTTP:       {metrics: httpMetrics, headline: httpLatency, open: newHTTP},
		scenario.Background: {metrics: backgroundMetrics, headline: backgroundCompletion, open: newBackground},
		scenario.Cron:       {metrics: cronMetrics, headline: cronDrift, open: newCron},
		scenario.WebSocket:  {metrics: wsMetrics, headline: wsFanout, open: newWebSocket, once: true},
		scenario.Retry:      {metrics: retryMetrics, headline: httpLatency, open: newRetry},
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
func Plan(sc *scenario.Scenario, o Options) (engine.Plan, error) {
	plan := engine.Plan{Scenario: sc}
	if o.Sink != nil && sc.NeedsSink() {
		plan.Side = newSinkSide(sc, o.Sink)
	}
	for i, name := range slices.Sorted(maps.Keys(sc.Workloads)) {
		w, err := plannedWorkload(sc, name, uint64(i), o)
		if err != nil {
			return engine.Plan{}, fmt.Errorf("workload %s: %w", name, err)
		}
		plan.Workloads = append(plan.Workloads, w)
	}
	return plan, nil
}

func plannedWorkload(sc *scenario.Scenario, name string, index uint64, o Options) (engine.Workload, error) {
	w := sc.Workloads[name]
	proto, ok := protocols()[w.Protocol]
	if !ok {
		return engine.Workload{}, fmt.Errorf("no driver for protocol %q", w.Protocol)
	}
	var trace *scenario.TraceRows
	if w.Load.Trace != nil {
		var err error
		if trace, err = scenario.OpenTrace(sc.Dir, w.Load.Trace); err != nil {
			return engine.Workload{}, err
		}
	}
	of := opening{scenario: sc, name: name, workload: w, sink: o.Sink}
	if trace != nil || w.Load.Shape != "" {
		of.lengths = scenario.NewLengths(w.Load.Shape, trace, name, sc.Seed)
	}
	d, err := proto.open(of)
	if err != nil {
		return engine.Workload{}, err
	}
	out := engine.Workload{
		Name: name, Protocol: w.Protocol, Driver: d, Metrics: append(proto.metrics(), stepMetrics(w)...), Headline: proto.headline, Once: proto.once,
	}
	if n := len(w.Steps); n > 0 {
		out.Sessions = &engine.Sessions{
			Turns: func(uint64) int { return n },
			Think: func(session uint64, turn int) time.Duration {
				return w.Steps[turn].ThinkBefore(sc.Seed, name, session, turn)
			},
		}
	}
	if s := w.Load.Session; s != nil {
		out.Sessions = &engine.Sessions{
			Turns: func(n uint64) int { return s.TurnsOf(sc.Seed, name, n) },
			Think: func(n uint64, turn int) time.Duration { return s.ThinkBefore(sc.Seed, name, n, turn) },
		}
	}
	if users := w.Load.Users; users > 0 {
		out.Users, out.Think = users, time.Duration(w.Load.Think)
		out.Begins = func(u int) time.Duration { return pace.Ramp(users, time.Duration(w.Load.Ramp), u) }
		return out, nil
	}
	out.MaxInFlight = w.Load.MaxInFlight
	if _, ok := d.(engine.Timetable); ok {
		return out, nil
	}
	if trace != nil {
		out.Schedule = pace.NewReplay(trace, time.Duration(sc.Warmup), time.Duration(sc.Duration))
		return out, nil
	}
	// Each workload draws its own arrivals from the one seed.
	schedule, err := pace.New(w.Load, time.Duration(sc.Warmup), time.Duration(sc.Duration), sc.Seed+index)
	if err != nil {
		return engine.Workload{}, err
	}
	out.Schedule = schedule
	return out, nil
}
