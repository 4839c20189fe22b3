package driver

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

func response(code int) *http.Response {
	return &http.Response{Status: http.StatusText(code), StatusCode: code, ProtoMajor: 1, Header: http.Header{"Content-Type": {"application/json"}}}
}

// A ready transport answers at once, from memory.
type ready struct {
	clock  engine.Clock
	answer *http.Response
	body   []byte
}

func (r *ready) start(_ context.Context, _ *http.Request, _ time.Duration, x exchange) {
	now := r.clock.Now()
	at := receipt{at: now, returned: now, after: now, kernel: true, read: 1}
	x.opened(connection{reused: true, ready: now})
	x.sent(departure{at: now, kernel: true})
	x.head(r.answer, now, at)
	x.body(r.body, at)
	x.end(nil)
}

func (*ready) close() {}

// readyDriver is a driver on a transport that answers at once.
func readyDriver(tb testing.TB, w *scenario.Workload) (*httpDriver, *engine.Recorder) {
	tb.Helper()
	opened, err := newHTTP(opening{scenario: &scenario.Scenario{Target: "http://127.0.0.1:1", Seed: 1}, name: "api", workload: w})
	if err != nil {
		tb.Fatal(err)
	}
	d, _ := opened.(*httpDriver)
	run := engine.Run{ID: "r1", Workload: "api", Clock: engine.NewClock()}
	if err := d.Begin(run); err != nil {
		tb.Fatal(err)
	}
	rec := engine.NewRecorder(httpMetrics(), 0)
	tb.Cleanup(func() { d.End(rec) })
	d.transport.close()
	d.transport = &ready{run.Clock, response(200), []byte(`{"status":"ok","items":[{"id":1},{"id":2}]}`)}
	return d, rec
}

// workloads are those whose cost a request is measured.
func workloads(tb testing.TB) map[string]*scenario.Workload {
	path, err := scenario.ParseJSONPath("$.items[*].id")
	if err != nil {
		tb.Fatal(err)
	}
	return map[string]*scenario.Workload{
		"get": {Request: &scenario.Request{Path: "/healthz"}},
		"checks": {Request: &scenario.Request{Path: "/healthz"}, Checks: []scenario.Check{
			{Status: scenario.Statuses{{First: 200, Last: 299}}},
			{Header: &scenario.HeaderCheck{Name: "Content-Type", Contains: "json"}},
			{JSON: &scenario.JSONCheck{Path: path, Equals: lit("2")}},
			{Body: &scenario.BodyCheck{Matches: `"status":"ok"`}},
		}},
		"post":     {Request: &scenario.Request{Path: "/items", Body: "order"}},
		"template": {Request: &scenario.Request{Path: "/items?n={{ .Seq }}"}},
	}
}

// What the driver itself adds to the transport's cost of a request.
func BenchmarkHTTPDriver(b *testing.B) {
	for name, w := range workloads(b) {
		b.Run(name, func(b *testing.B) {
			d, rec := readyDriver(b, w)
			over := func(bool) {}
			b.ReportAllocs()
			for seq := uint64(0); b.Loop(); seq++ {
				now := d.run.Clock.Now()
				d.Do(b.Context(), engine.Arrival{Seq: seq, Intended: now, Started: now}, rec, over)
			}
		})
	}
}
