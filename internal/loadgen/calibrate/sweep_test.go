package calibrate

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// instrument is a machine whose error and verdict depend on the load alone.
type instrument struct {
	perEvent time.Duration // of error p99 for each 1,000 events a second
	invalid  float64       // from so many events a second on
	runs     []string
}

func (m *instrument) run(_ context.Context, l Level) (*result.Result, error) {
	m.runs = append(m.runs, l.String())
	lag := time.Duration(l.EventsPerSecond()/1000) * m.perEvent * time.Duration(1+l.Busy)
	histogram := func(name string, n float64, p99 time.Duration) result.Metric {
		return result.Metric{Name: name, Kind: result.Histogram, Distribution: &result.Distribution{
			Count: int64(n), P50: int64(p99 / 2), P99: int64(p99), P999: int64(p99), Max: int64(2 * p99),
		}}
	}
	metrics := []result.Metric{
		{Name: "chunks", Kind: result.Counter, Value: 9},
		histogram("delivery_lag", l.EventsPerSecond(), lag), // of streams it is the other two together
		histogram("send_lag", 1, 4),
	}
	if l.Kind.Protocol == scenario.SSE {
		metrics = append(metrics, histogram("ttft_error", l.EventsPerSecond()/10, lag), histogram("itl_error", l.EventsPerSecond()*9/10, lag/2))
	}
	r := &result.Result{
		Health:    result.Health{LatenessP99NS: 3, CPUCores: .5, ReceiveSource: "kernel"},
		Validity:  result.Validity{State: result.Valid},
		Workloads: []result.Workload{{Protocol: l.Kind.Protocol, Metrics: metrics}},
	}
	if m.invalid > 0 && l.EventsPerSecond() >= m.invalid {
		r.Validity.State = result.Invalid
	}
	return r, nil
}

var (
	streams = result.LoadKind{Protocol: scenario.SSE, Over: result.Plain}
	inRooms = result.LoadKind{Protocol: scenario.WebSocket, Over: result.Plain}
	overTLS = result.LoadKind{Protocol: scenario.SSE, Over: result.TLS}
)

func sse(n, busy int) Level {
	return Level{Kind: streams, InFlight: n, PerSecond: 20, Busy: busy, Measured: time.Second}
}

func rooms(n, busy int) Level {
	return Level{Kind: inRooms, InFlight: n, PerSecond: 10, Members: 50, Busy: busy, Measured: time.Second}
}

func secure(n int) Level {
	l := sse(n, 0)
	l.Kind = overTLS
	return l
}

func TestSweep(t *testing.T) {
	m := &instrument{perEvent: 100 * time.Microsecond, invalid: 30_000}
	var seen int
	e, err := Sweep(t.Context(), Options{
		Levels: []Level{
			sse(50, 0), sse(500, 0), sse(1000, 0), rooms(100, 0), rooms(1000, 0),
			sse(50, 2), sse(500, 2), sse(1000, 2), rooms(5000, 2), secure(50),
		},
		Bound:   time.Millisecond,
		Run:     m.run,
		Observe: func(result.CalibrationLevel) { seen++ },
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []result.EnvelopeLimit{
		{Kind: streams, InFlight: 500, EventsPerSecond: 10_000},       // 20,000/s err by 2 ms
		{Kind: inRooms, InFlight: 1000, EventsPerSecond: 9_800},       // .9 ms
		{Kind: streams, Busy: 2, InFlight: 50, EventsPerSecond: 1000}, // 500 err by 3 ms
		{Kind: inRooms, Busy: 2},                                      // INVALID from the start
		{Kind: overTLS, InFlight: 50, EventsPerSecond: 1000},
	}
	if diff := cmp.Diff(want, e.Limits); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
	if seen != 10 || len(m.runs) != 10 || len(e.Levels) != 10 {
		t.Errorf("%d levels observed, %d run, %d kept", seen, len(m.runs), len(e.Levels))
	}
	spread := func(n int64, p99 time.Duration) result.Spread {
		return result.Spread{Samples: n, P50NS: p99 / 2, P99NS: p99, P999NS: p99, MaxNS: 2 * p99}
	}
	first := result.CalibrationLevel{
		Kind: streams, InFlight: 50, EventsPerSecond: 1000,
		TTFT: spread(100, 100*time.Microsecond), ITL: spread(900, 50*time.Microsecond), SendLag: spread(1, 4),
		LatenessP99NS: 3, CPUCores: .5, ReceiveSource: "kernel", Validity: result.Validity{State: result.Valid},
	}
	if diff := cmp.Diff(first, e.Levels[0]); diff != "" {
		t.Errorf("first level (-want +got):\n%s", diff)
	}
	if got, want := e.Levels[3].Fanout, spread(980, 0); got != want || e.Levels[3].TTFT.Samples != 0 {
		t.Errorf("fanout of the first rooms %+v, want %+v and nothing of streams", got, want)
	}
	if e.Version != result.EnvelopeVersion || e.BoundNS != time.Millisecond || e.ReceiveSource != "kernel" ||
		e.Machine.Fingerprint != result.ThisMachine().Fingerprint || e.Written.IsZero() {
		t.Errorf("%+v", e)
	}

	var b strings.Builder
	if err := WriteText(&b, e); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`receive instants by "kernel"`,
		"streams: errors' p99 within 1ms and VALID up to 500 at once, 10,000 events/s\n",
		"streams over TLS: errors' p99 within 1ms and VALID up to 50 at once, 1,000 events/s\n",
		"50 µs / 100 µs / 200 µs", "25 µs / 50 µs / 100 µs", "ttft error", "itl error", "fanout error", "send lag",
		"rooms beside 2 busy loops: no level was VALID",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the text does not say %q:\n%s", want, b.String())
		}
	}
}

// A level that held above one that did not says nothing.
func TestLimitStopsAtTheFirstThatDidNotHold(t *testing.T) {
	good := result.CalibrationLevel{Kind: streams, ITL: result.Spread{Samples: 1}, Validity: result.Validity{State: result.Valid}}
	at := func(n int, spoil func(*result.CalibrationLevel)) result.CalibrationLevel {
		l := good
		l.InFlight, l.EventsPerSecond = n, float64(n)
		spoil(&l)
		return l
	}
	for name, spoil := range map[string]func(*result.CalibrationLevel){
		"degraded":   func(l *result.CalibrationLevel) { l.Validity.State = result.Degraded },
		"failed":     func(l *result.CalibrationLevel) { l.Failure = "1 × timeout" },
		"no samples": func(l *result.CalibrationLevel) { l.ITL.Samples = 0 },
		"tight":      func(l *result.CalibrationLevel) { l.Tight = "lateness 8ms" },
		"off":        func(l *result.CalibrationLevel) { l.ITL.P99NS = time.Millisecond + 1 },
		"begins off": func(l *result.CalibrationLevel) { l.TTFT.P99NS = time.Millisecond + 1 },
	} {
		none := func(*result.CalibrationLevel) {}
		got := limits([]result.CalibrationLevel{at(3, none), at(1, none), at(2, spoil)}, time.Millisecond)
		if want := []result.EnvelopeLimit{{Kind: streams, InFlight: 1, EventsPerSecond: 1}}; !cmp.Equal(got, want) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestSweepEnds(t *testing.T) {
	boom := errors.New("boom")
	for name, tc := range map[string]struct {
		run  func(context.Context, Level) (*result.Result, error)
		want string
	}{
		"not run":     {func(context.Context, Level) (*result.Result, error) { return nil, boom }, "50 streams × 20 events/s: boom"},
		"interrupted": {func(context.Context, Level) (*result.Result, error) { return &result.Result{Interrupted: true}, nil }, "interrupted"},
		"no truth": {func(context.Context, Level) (*result.Result, error) {
			return &result.Result{Workloads: []result.Workload{{Errors: []result.ErrorClass{{Class: "connection refused", Count: 3, Example: "dial"}}}}}, nil
		}, "3 × connection refused: dial"},
		"nothing came": {func(context.Context, Level) (*result.Result, error) { return new(result.Result), nil }, "0 events came of the 1000"},
	} {
		if _, err := Sweep(t.Context(), Options{Levels: []Level{sse(50, 0)}, Run: tc.run}); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

func TestLevelScenario(t *testing.T) {
	paths := Paths{Stream: "/s", Room: "/r"}
	sc, err := sse(50, 0).Scenario("http://127.0.0.1:1", paths)
	if err != nil {
		t.Fatal(err)
	}
	w := sc.Workloads[workload]
	if w.Load.Rate != 25 || w.Request.Path != "/s?events=40&ttft=50ms&gap=50ms" || sc.Warmup != scenario.Duration(2*time.Second) {
		t.Errorf("%+v %+v", w.Load, w.Request)
	}
	sc, err = rooms(100, 0).Scenario("http://127.0.0.1:1", paths)
	if err != nil {
		t.Fatal(err)
	}
	w = sc.Workloads[workload]
	if w.Load.Users != 100 || sc.Warmup != scenario.Duration(1250*time.Millisecond) || sc.Duration != scenario.Duration(time.Second) ||
		w.Room.Path != "/r?room={{ .Room }}" || !w.InsecureSkipVerify || w.Room.Members != 50 || w.Room.Publish != 10 {
		t.Errorf("%+v %+v", w.Load, w.Room)
	}
	// A stream that speaks less than once in its length speaks once.
	l := sse(10, 0)
	l.PerSecond = .4
	if sc, err = l.Scenario("http://127.0.0.1:1", paths); err != nil || sc.Workloads[workload].Load.Rate != 4 {
		t.Errorf("%+v, %v", sc, err)
	}
}

func TestEventsPerSecond(t *testing.T) {
	for want, l := range map[float64]Level{1000: sse(50, 0), 980: rooms(100, 0), 490: rooms(51, 0), 580: rooms(60, 0)} {
		if got := l.EventsPerSecond(); got != want {
			t.Errorf("%v: %v events a second, want %v", l, got, want)
		}
	}
}
