package driver

import (
	"testing"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
	"github.com/edgeload/edgeload/internal/loadgen/sink"
)

// correlationsByID are the places where a call may name an arrival by its ID.
func correlationsByID(tb testing.TB) map[string]*scenario.Correlation {
	return map[string]*scenario.Correlation{
		"path": {}, "header": {Header: "x-job"}, "query": {Query: "job"}, "json": {JSON: pathOf(tb, "$.attachments[0].text")},
	}
}

// readyBackground is a driver whose requests are answered at once.
func readyBackground(tb testing.TB, endpoint *sink.Sink, name string, by *scenario.Correlation) (*background, *engine.Recorder) {
	tb.Helper()
	w := &scenario.Workload{Request: &scenario.Request{Path: "/healthz"}, Job: &scenario.Job{
		Callback: by, Failed: &scenario.Check{JSON: &scenario.JSONCheck{Path: pathOf(tb, "$.error")}},
	}}
	opened, err := newBackground(opening{scenario: &scenario.Scenario{Target: "http://127.0.0.1:1", Seed: 1}, name: name, workload: w, sink: endpoint})
	if err != nil {
		tb.Fatal(err)
	}
	d, _ := opened.(*background)
	run := engine.Run{ID: "r1", Workload: name, Clock: engine.NewClock()}
	if err := d.Begin(run); err != nil {
		tb.Fatal(err)
	}
	rec := engine.NewRecorder(backgroundMetrics(), 0)
	tb.Cleanup(func() { d.End(rec) })
	d.transport.close()
	d.transport = &ready{run.Clock, response(200), []byte(`{"queued":true}`)}
	return d, rec
}

// What a job costs, its request included, beside the sink's own work, with 10,000
// pending. The allocations are those of the call.
func BenchmarkBackgroundCompletion(b *testing.B) {
	endpoint, err := sink.Open(sink.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = endpoint.Close() }()
	d, rec := readyBackground(b, endpoint, "jobs", nil)
	const pending = 10_000
	done := []byte("{}")
	over := func(bool) {}
	begin := func(seq uint64) {
		now := d.run.Clock.Now()
		d.Do(b.Context(), engine.Arrival{Seq: seq, Intended: now, Started: now}, rec, over)
	}
	for seq := range uint64(pending) {
		begin(seq)
	}
	b.ReportAllocs()
	for seq := uint64(pending); b.Loop(); seq++ {
		begin(seq)
		c := sink.Call{Body: done, Rest: scenario.ArrivalID(d.mark, seq-pending), First: d.run.Clock.Time(d.run.Clock.Now())}
		d.Serve(&c)
	}
	b.StopTimer()
	if got := d.jobs.pending.Load(); got != pending {
		b.Errorf("%d jobs are pending", got)
	}
}
