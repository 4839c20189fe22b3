package engine

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/hist"
	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

const (
	latency MetricID = iota
	bytesIn
)

// A fakeDriver's arrivals take a fixed time, unless cut before.
type fakeDriver struct {
	takes    time.Duration
	fails    bool
	beginErr error
	run      Run
	did, cut atomic.Int64
	ended    int
}

func fakeMetrics() []Metric {
	return []Metric{
		latency: {Name: "latency", Kind: result.Histogram, Unit: result.Nanoseconds},
		bytesIn: {Name: "bytes_in", Kind: result.Counter, Unit: result.Bytes},
	}
}

func (d *fakeDriver) Begin(r Run) error { d.run = r; return d.beginErr }

func (d *fakeDriver) Do(ctx context.Context, a Arrival, rec *Recorder, over func(bool)) {
	go func() { over(d.do(ctx, a, rec)) }()
}

func (d *fakeDriver) do(ctx context.Context, a Arrival, rec *Recorder) bool {
	d.did.Add(1)
	timer := time.NewTimer(d.takes)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		d.cut.Add(1)
		rec.Error("unfinished", "cut")
		return false
	}
	if d.fails {
		rec.Error("refused", "always")
		return false
	}
	rec.Record(latency, int64(d.run.Clock.Now()-a.Intended))
	rec.Add(bytesIn, 10)
	return true
}

func (d *fakeDriver) End(rec *Recorder) { d.ended++; rec.Balance("one = one", 1, 1) }

// every is an open schedule: an arrival each gap until end.
type every struct {
	gap, end time.Duration
	n        int
}

func (e *every) Next() (time.Duration, bool) {
	t := time.Duration(e.n) * e.gap
	e.n++
	return t, t < e.end
}

func planOf(warmup, duration, drain time.Duration, ws ...Workload) Plan {
	for i := range ws {
		ws[i].Name = string(rune('a' + i))
		ws[i].Metrics = fakeMetrics()
	}
	return Plan{
		coarse: true,
		Scenario: &scenario.Scenario{
			Version: 1, Name: "test",
			Warmup: scenario.Duration(warmup), Duration: scenario.Duration(duration), Drain: scenario.Duration(drain),
		},
		Workloads: ws,
	}
}

func metric(t *testing.T, w result.Workload, name string) result.Metric {
	t.Helper()
	i := slices.IndexFunc(w.Metrics, func(m result.Metric) bool { return m.Name == name })
	if i < 0 {
		t.Fatalf("workload %s has no metric %s", w.Name, name)
	}
	return w.Metrics[i]
}

func wantCounts(t *testing.T, w result.Workload, want map[string]float64) {
	t.Helper()
	for name, v := range want {
		if got := metric(t, w, name).Value; got != v {
			t.Errorf("workload %s: %s = %v, want %v", w.Name, name, got, v)
		}
	}
	for _, b := range w.Balances {
		if !b.Even() {
			t.Errorf("workload %s: %s: %d against %d", w.Name, b.Name, b.Left, b.Right)
		}
	}
}

func TestOpenModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDriver{takes: 50 * time.Millisecond}
		var snaps []Snapshot
		plan := planOf(time.Second, 4*time.Second, time.Second,
			Workload{Driver: d, Schedule: &every{gap: time.Millisecond, end: 5 * time.Second}, MaxInFlight: 1000})
		plan.Observe = func(s Snapshot) { snaps = append(snaps, s) }
		res, err := plan.Run(t.Context(), "id")
		if err != nil {
			t.Fatal(err)
		}
		w := res.Workloads[0]
		wantCounts(t, w, map[string]float64{"offered": 4000, "started": 4000, "finished": 4000, "dropped": 0, "late": 0, "bytes_in": 40000})
		if d.did.Load() != 5000 || d.ended != 1 {
			t.Errorf("driver did %d arrivals and ended %d times, want 5000 and 1", d.did.Load(), d.ended)
		}
		lat := metric(t, w, "latency")
		if lat.Distribution.Count != 4000 || math.Abs(float64(lat.Distribution.P99)-50e6) > 0.001*50e6 {
			t.Errorf("latency: %d samples, p99 %v; want 4000 at 50 ms", lat.Distribution.Count, time.Duration(lat.Distribution.P99))
		}
		if w.InFlight.Added < 49 || w.InFlight.Added > 51 || math.Abs(w.InFlight.Looked-w.InFlight.Added) > 2.5 {
			t.Errorf("in flight %+v, want 50 = 1000/s × 50 ms both ways", w.InFlight)
		}
		if got := res.Validity; got.State != result.Valid {
			t.Errorf("validity %+v", got)
		}
		if len(snaps) != 5 || snaps[0].Workloads[0].Samples != 0 || math.Abs(float64(snaps[3].Workloads[0].Samples)-1000) > 2 {
			t.Errorf("snapshots %+v", snaps)
		}
		checkIntervals(t, w)
	})
}

// checkIntervals checks that the intervals follow each other and add up to the totals.
func checkIntervals(t *testing.T, w result.Workload) {
	t.Helper()
	var at time.Duration
	var n, b int64
	for _, iv := range w.Intervals {
		if iv.StartNS != at {
			t.Errorf("interval begins at %v, the one before ended at %v", iv.StartNS, at)
		}
		at = iv.EndNS
		b += iv.Counters["bytes_in"]
		if s := iv.Histograms["latency"]; s != "" {
			h, err := hist.Decode(s, hist.Durations, 0)
			if err != nil {
				t.Fatal(err)
			}
			n += h.Count()
		}
	}
	if n != metric(t, w, "latency").Distribution.Count || b != int64(metric(t, w, "bytes_in").Value) {
		t.Errorf("intervals hold %d samples and %d bytes, not the totals", n, b)
	}
}

// A waitDriver's arrivals say how long their connections waited, those that
// opened one.
type waitDriver struct {
	fakeDriver
	every int // one of so many arrivals opens a connection
	waits time.Duration
}

func waitMetrics() []Metric {
	return []Metric{{Name: "connect_wait", Kind: result.Histogram, Unit: result.Nanoseconds, Gauge: ConnectWait}}
}

func (d *waitDriver) Do(_ context.Context, a Arrival, rec *Recorder, over func(bool)) {
	if a.Seq%uint64(d.every) == 0 {
		rec.Record(0, int64(d.waits))
	}
	over(true)
}

// The wait for a turn to connect is judged by the share of arrivals that had it,
// and where no latency holds it, is a warning.
func TestConnectWait(t *testing.T) {
	for _, tt := range []struct {
		name    string
		every   int
		once    bool
		state   result.State
		warning bool
	}{
		{"each arrival waits", 1, false, result.Invalid, false},
		{"one of 50 waits", 50, false, result.Invalid, false},
		{"one of 200 waits", 200, false, result.Valid, false},
		{"who stays waits", 1, true, result.Valid, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := Workload{Driver: &waitDriver{every: tt.every, waits: 200 * time.Millisecond}, Schedule: &every{gap: time.Millisecond, end: time.Second}, MaxInFlight: 10}
				if tt.once {
					w.Schedule, w.Once, w.Users, w.Begins = nil, true, 100, func(int) time.Duration { return 0 }
				}
				plan := planOf(0, time.Second, time.Second, w)
				plan.Workloads[0].Metrics = waitMetrics()
				res, err := plan.Run(t.Context(), "id")
				if err != nil {
					t.Fatal(err)
				}
				if res.Validity.State != tt.state || tt.state == result.Invalid && res.Validity.Reasons[0].Check != "connect wait" {
					t.Errorf("wait %v: %+v", res.Health.ConnectWaitP99NS, res.Validity)
				}
				if got := len(res.Warnings) == 1 && strings.Contains(res.Warnings[0], "p99 200ms for their turn"); got != tt.warning {
					t.Errorf("warnings %q", res.Warnings)
				}
			})
		})
	}
}

// What cannot begin is dropped and counted, never skipped.
func TestDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDriver{takes: 95 * time.Millisecond}
		plan := planOf(0, time.Second, time.Second,
			Workload{Driver: d, Schedule: &every{gap: 10 * time.Millisecond, end: time.Second}, MaxInFlight: 5})
		res, err := plan.Run(t.Context(), "id")
		if err != nil {
			t.Fatal(err)
		}
		wantCounts(t, res.Workloads[0], map[string]float64{"offered": 100, "started": 50, "finished": 50, "dropped": 50})
		if res.Validity.State != result.Invalid || res.Validity.Reasons[0].Check != "dropped" {
			t.Errorf("validity %+v, want INVALID for the dropped half", res.Validity)
		}
	})
}

// Arrivals in flight at the end of the drain are cut, and the run ends on time.
func TestDrainCuts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDriver{takes: time.Hour}
		plan := planOf(0, time.Second, 2*time.Second,
			Workload{Driver: d, Schedule: &every{gap: 100 * time.Millisecond, end: time.Second}, MaxInFlight: 100})
		start := time.Now()
		res, err := plan.Run(t.Context(), "id")
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("run took %v, want duration + drain = 3 s", took)
		}
		w := res.Workloads[0]
		wantCounts(t, w, map[string]float64{"offered": 10, "finished": 10})
		if len(w.Errors) != 1 || w.Errors[0].Class != "unfinished" || w.Errors[0].Count != 10 {
			t.Errorf("errors %+v, want 10 unfinished", w.Errors)
		}
	})
}

func TestInterrupt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDriver{takes: 200 * time.Millisecond}
		ctx, interrupt := context.WithTimeout(t.Context(), 1050*time.Millisecond)
		defer interrupt()
		plan := planOf(0, time.Hour, time.Minute,
			Workload{Driver: d, Schedule: &every{gap: 100 * time.Millisecond, end: time.Hour}, MaxInFlight: 100})
		start := time.Now()
		res, err := plan.Run(ctx, "id")
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > 1300*time.Millisecond {
			t.Errorf("run went on for %v after an interrupt at 1.05 s", took)
		}
		if !res.Interrupted || len(res.Warnings) != 1 {
			t.Errorf("interrupted %v, warnings %q", res.Interrupted, res.Warnings)
		}
		wantCounts(t, res.Workloads[0], map[string]float64{"offered": 11, "finished": 11, "dropped": 0})
		if d.cut.Load() != 0 {
			t.Errorf("%d arrivals were cut, want all drained", d.cut.Load())
		}
	})
}

// An interrupt in the drain shortens it, and the run is marked.
func TestInterruptWhileDraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, interrupt := context.WithTimeout(t.Context(), 2*time.Second)
		defer interrupt()
		plan := planOf(0, time.Second, time.Minute,
			Workload{Driver: &fakeDriver{takes: time.Hour}, Schedule: &every{gap: 100 * time.Millisecond, end: time.Second}, MaxInFlight: 100})
		start := time.Now()
		res, err := plan.Run(ctx, "id")
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 2*time.Second+interruptDrain || !res.Interrupted {
			t.Errorf("took %v, interrupted %v; want 2 s + %v and marked", took, res.Interrupted, interruptDrain)
		}
	})
}

// A run of a minute interrupted early is no less valid for it: its books cover
// what there was.
func TestInterruptedRunIsJudgedByWhatThereWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, interrupt := context.WithTimeout(t.Context(), 10*time.Second)
		defer interrupt()
		plan := planOf(0, time.Minute, time.Minute,
			Workload{Driver: &fakeDriver{takes: time.Second}, Schedule: &every{gap: 50 * time.Millisecond, end: time.Minute}, MaxInFlight: 100})
		res, err := plan.Run(ctx, "id")
		if err != nil {
			t.Fatal(err)
		}
		if l := res.Workloads[0].InFlight; l.Looked < 15 || math.Abs(l.Looked-l.Added) > .05*l.Looked || res.Validity.State != result.Valid {
			t.Errorf("in flight %+v, validity %+v", l, res.Validity)
		}
	})
}

// A leaver spends CPU time once the run is stopping, as members of rooms do that
// say goodbye all at once.
type leaver struct {
	fakeDriver
	spends time.Duration
}

func (d *leaver) Do(_ context.Context, _ Arrival, _ *Recorder, over func(bool)) {
	go func() {
		<-d.run.Stopping
		for began := cpuTime(); cpuTime()-began < d.spends; {
			continue
		}
		over(true)
	}()
}

// What is spent after the measured part is not the generator's state while it
// measured.
func TestHealthEndsWithTheMeasuredPart(t *testing.T) {
	ctx, interrupt := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer interrupt()
	plan := planOf(0, time.Minute, time.Minute,
		Workload{Driver: &leaver{spends: 300 * time.Millisecond}, Users: 1, Begins: func(int) time.Duration { return 0 }, Once: true})
	res, err := plan.Run(ctx, "id")
	if err != nil {
		t.Fatal(err)
	}
	if cpu := time.Duration(res.Health.CPUCores * float64(200*time.Millisecond)); cpu > 100*time.Millisecond {
		t.Errorf("%v of CPU time in the measured part, at %.2f cores; 300ms were spent after it", cpu, res.Health.CPUCores)
	}
}

func TestInterruptedBeforeItBegan(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	for range 50 {
		plan := planOf(0, time.Hour, 0, Workload{Driver: &fakeDriver{}, Schedule: &every{gap: time.Second, end: time.Hour}, MaxInFlight: 1})
		res, err := plan.Run(ctx, "id")
		if err != nil || !res.Interrupted {
			t.Fatalf("interrupted %v, error %v", res.Interrupted, err)
		}
	}
}

func TestClosedModel(t *testing.T) {
	begins := func(u int) time.Duration { return time.Duration(u) * 100 * time.Millisecond }
	for _, tc := range []struct {
		name string
		w    Workload
		d    *fakeDriver
		did  int64
	}{
		// 2 users, 100 ms of work and 100 ms of thought: arrivals at 0, 200, … 800 and 100, 300, … 900.
		{"think", Workload{Think: 100 * time.Millisecond}, &fakeDriver{takes: 100 * time.Millisecond}, 10},
		// Failing at once, a user pauses 100 ms: 10 and 9 arrivals in a second.
		{"failing", Workload{}, &fakeDriver{fails: true}, 19},
		{"once", Workload{Once: true}, &fakeDriver{takes: time.Millisecond}, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc.w.Driver, tc.w.Users, tc.w.Begins = tc.d, 2, begins
				res, err := planOf(0, time.Second, time.Second, tc.w).Run(t.Context(), "id")
				if err != nil {
					t.Fatal(err)
				}
				if did := tc.d.did.Load(); did != tc.did {
					t.Errorf("driver did %d arrivals, want %d", did, tc.did)
				}
				wantCounts(t, res.Workloads[0], map[string]float64{"offered": float64(tc.did), "finished": float64(tc.did)})
			})
		})
	}
}

// Users that arrive once overlap; who would begin after an interrupt, or after the
// end, never does.
func TestUsersThatArriveOnce(t *testing.T) {
	begins := func(u int) time.Duration { return time.Duration(u) * 100 * time.Millisecond }
	for _, tc := range []struct {
		interrupt time.Duration
		did       int64
	}{{250 * time.Millisecond, 3}, {time.Hour, 10}} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), tc.interrupt)
			defer cancel()
			d := &fakeDriver{takes: 2 * time.Second}
			res, err := planOf(0, time.Second, 5*time.Second, Workload{Driver: d, Users: 20, Begins: begins, Once: true}).Run(ctx, "id")
			if err != nil {
				t.Fatal(err)
			}
			wantCounts(t, res.Workloads[0], map[string]float64{"offered": float64(tc.did), "finished": float64(tc.did)})
			if cut := d.cut.Load(); d.did.Load() != tc.did || cut != 0 {
				t.Errorf("interrupted at %v: %d arrivals, %d cut", tc.interrupt, d.did.Load(), cut)
			}
		})
	}
}

// A driver that cannot begin fails the run before any load, and those that had
// begun are ended.
func TestBeginFails(t *testing.T) {
	good, bad := &fakeDriver{}, &fakeDriver{beginErr: errors.New("no such feed")}
	plan := planOf(0, time.Second, 0,
		Workload{Driver: good, Schedule: &every{gap: time.Second, end: time.Second}},
		Workload{Driver: bad, Schedule: &every{gap: time.Second, end: time.Second}})
	_, err := plan.Run(t.Context(), "id")
	if err == nil || !strings.Contains(err.Error(), "workload b: no such feed") {
		t.Fatalf("error %v", err)
	}
	if good.ended != 1 || good.did.Load() != 0 {
		t.Errorf("first driver ended %d times after %d arrivals, want 1 and 0", good.ended, good.did.Load())
	}
}

// A million arrivals a second on one pacer must end on time, every one accounted for.
func TestExtremeRate(t *testing.T) {
	d := &fakeDriver{takes: time.Hour}
	plan := planOf(0, 500*time.Millisecond, 100*time.Millisecond,
		Workload{Driver: d, Schedule: &every{gap: time.Microsecond, end: 500 * time.Millisecond}, MaxInFlight: 10})
	start := time.Now()
	res, err := plan.Run(t.Context(), "id")
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("run of 0.6 s took %v", took)
	}
	wantCounts(t, res.Workloads[0], map[string]float64{"offered": 500_000, "started": 10, "dropped": 499_990})
}
