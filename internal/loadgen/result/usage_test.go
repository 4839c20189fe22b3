package result

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

func TestUsageBetween(t *testing.T) {
	const s, ms = time.Second, time.Millisecond
	samples := []ResourceSample{
		{AtNS: -1 * s, CPUNS: 100 * ms, RSSBytes: 10, FDs: 4, Threads: 2, Processes: 1},
		{AtNS: 0, CPUNS: 110 * ms, RSSBytes: 20, FDs: 4, Threads: 2, Processes: 1},
		{AtNS: 1 * s, CPUNS: 610 * ms, CPUErrorNS: 20 * ms, RSSBytes: 40, FDs: 8, Threads: 6, Processes: 2},
		{AtNS: 2 * s, CPUNS: 1610 * ms, CPUErrorNS: 20 * ms, RSSBytes: 30, FDs: 6, Threads: 4, Processes: 1},
	}
	got, ok := UsageBetween(samples, 0, 2*s)
	want := Usage{
		ToNS: 2 * s, CPUNS: 1500 * ms, CPUErrorNS: 20 * ms, Cores: .75, Samples: 3,
		RSSMeanBytes: 30, RSSSpreadBytes: 10, RSSPeakBytes: 40, FDsMean: 6, FDsPeak: 8, ThreadsMean: 4, ThreadsPeak: 6, ProcessesPeak: 2,
	}
	if d := cmp.Diff(want, got, cmpopts.EquateApprox(1e-9, 0)); !ok || d != "" {
		t.Errorf("%t (-want +got):\n%s", ok, d)
	}
	// Between two samples CPU is taken to be even: 1 core from 1 s on.
	got, ok = UsageBetween(samples, 500*ms, 1750*ms)
	if want := 250*ms + 750*ms; !ok || got.CPUNS != want || got.CPUErrorNS != 20*ms+250*ms+20*ms+250*ms {
		t.Errorf("%t, %v ± %v, want %v ± 540ms", ok, got.CPUNS, got.CPUErrorNS, want)
	}
	for _, span := range [][2]time.Duration{{-2 * s, s}, {0, 3 * s}, {s, s}, {1100 * ms, 1900 * ms}} {
		if got, ok := UsageBetween(samples, span[0], span[1]); ok {
			t.Errorf("%v: %+v", span, got)
		}
	}
	if _, ok := UsageBetween(nil, 0, s); ok {
		t.Error("usage without samples")
	}
}

// Parts add up to the whole.
func TestUsageAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var samples []ResourceSample
		var at, cpu time.Duration
		for range rapid.IntRange(3, 30).Draw(t, "samples") {
			samples = append(samples, ResourceSample{AtNS: at, CPUNS: cpu})
			at += time.Duration(rapid.IntRange(1, 1e9).Draw(t, "step"))
			cpu += time.Duration(rapid.IntRange(0, 4e9).Draw(t, "used"))
		}
		last := samples[len(samples)-1]
		cut := time.Duration(rapid.Int64Range(1, int64(last.AtNS)-1).Draw(t, "cut"))
		a, aOK := UsageBetween(samples, 0, cut)
		b, bOK := UsageBetween(samples, cut, last.AtNS)
		if !aOK || !bOK || (a.CPUNS+b.CPUNS-last.CPUNS).Abs() > 2 {
			t.Fatalf("%t %v + %t %v, want %v", aOK, a.CPUNS, bOK, b.CPUNS, last.CPUNS)
		}
	})
}

// worked is a run of one workload from 5 s to 15 s with 100 in flight, whose server
// used 2 s of CPU and gained 40 MiB and 101 descriptors.
func worked(protocol scenario.Protocol, counters map[string]float64) (*Result, *Resources, Usage) {
	w := Workload{Name: "w", Protocol: protocol}
	for name, v := range counters {
		w.Metrics = append(w.Metrics, Metric{Name: name, Kind: Counter, Value: v})
	}
	for i := range 16 {
		iv := Interval{EndNS: time.Duration(i+1)*time.Second + 3*time.Millisecond, InFlight: 100}
		if i >= 14 { // the members leave at the end
			iv.InFlight = 90
		}
		w.Intervals = append(w.Intervals, iv)
	}
	r := &Resources{
		Idle:     &Usage{FromNS: -time.Second, Cores: .01, RSSMeanBytes: 50 << 20, RSSSpreadBytes: 3 << 20, FDsMean: 9, Samples: 4},
		Measured: &Usage{FromNS: 5 * time.Second, ToNS: 15 * time.Second, CPUNS: 2 * time.Second, CPUErrorNS: 20 * time.Millisecond},
	}
	plateau := Usage{FromNS: 10 * time.Second, ToNS: 15 * time.Second, RSSMeanBytes: 90 << 20, RSSSpreadBytes: 4 << 20, FDsMean: 110, Samples: 20}
	return &Result{Workloads: []Workload{w}}, r, plateau
}

func TestPerWork(t *testing.T) {
	approx := cmpopts.EquateApprox(1e-9, 0)
	res, r, plateau := worked(scenario.SSE, map[string]float64{"finished": 1000, "chunks": 50_000, "bytes_in": 7e6})
	r.SetPerWork(res, plateau)
	// 2 s ÷ 1000; the error is 20 ms ÷ 1000 and 10 of the 1000 streams; idle 1 % of 10 s.
	want := []PerOperation{
		{Workload: "w", Operation: "arrival", Count: 1000, CPUNS: 2e6, ErrorNS: 20e3 + 20e3, IdleNS: 100e3},
		{Workload: "w", Operation: "token", Count: 50_000, CPUNS: 40e3, ErrorNS: 400 + 400, IdleNS: 2e3},
	}
	if d := cmp.Diff(want, r.PerOperation, approx); d != "" {
		t.Errorf("an operation (-want +got):\n%s", d)
	}
	connection := &PerConnection{
		Bytes: 40 << 20 / 100., ErrorBytes: 5 << 20 / 100., Connections: 100, FDs: 101, BeforeBytes: 50 << 20, PlateauBytes: 90 << 20,
	}
	if d := cmp.Diff(connection, r.PerConnection, approx); d != "" {
		t.Errorf("a connection (-want +got):\n%s", d)
	}
	if len(r.Unknown) > 0 || r.BytesOut != 7e6 {
		t.Errorf("unknown %q, %d bytes out", r.Unknown, r.BytesOut)
	}

	res, r, plateau = worked(scenario.WebSocket, map[string]float64{"finished": 100, "received": 4000})
	r.SetPerWork(res, plateau)
	if len(r.PerOperation) != 1 || r.PerOperation[0].Operation != "delivery" || r.PerOperation[0].CPUNS != 5e5 {
		t.Errorf("rooms: %+v", r.PerOperation)
	}

	res, r, plateau = worked(scenario.SSE, map[string]float64{"finished": 1000})
	res.Workloads = append(res.Workloads, Workload{Name: "v", Protocol: scenario.WebSocket, Metrics: []Metric{{Name: "finished", Kind: Counter, Value: 1000}}})
	r.SetPerWork(res, plateau)
	if len(r.PerOperation) != 1 || r.PerOperation[0].Workload != "" || r.PerOperation[0].Count != 2000 {
		t.Errorf("mix: %+v", r.PerOperation)
	}
}

// What cannot be known is said, not guessed.
func TestPerWorkUnknown(t *testing.T) {
	for want, c := range map[string]struct {
		protocol scenario.Protocol
		change   func(*Resources, *Usage)
	}{
		"the server ended":    {scenario.SSE, func(r *Resources, _ *Usage) { r.Ended = new(ServerEnd) }},
		"closes or shares":    {scenario.SSE, func(_ *Resources, p *Usage) { p.FDsMean = 20 }},
		"keep connections op": {scenario.HTTP, func(*Resources, *Usage) {}},
		"less than one":       {scenario.SSE, func(_ *Resources, p *Usage) { p.FromNS, p.ToNS = 20*time.Second, 30*time.Second }},
	} {
		res, r, plateau := worked(c.protocol, map[string]float64{"finished": 1000})
		c.change(r, &plateau)
		r.SetPerWork(res, plateau)
		if r.PerConnection != nil || len(r.Unknown) != 1 || !strings.Contains(r.Unknown[0], want) {
			t.Errorf("%q: %+v, %q", want, r.PerConnection, r.Unknown)
		}
	}
}
