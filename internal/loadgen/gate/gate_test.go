package gate

import (
	"maps"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/edgeload/edgeload/internal/loadgen/hist"
	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

func histogram(t *testing.T, name string, unit result.Unit, samples ...int64) result.Metric {
	t.Helper()
	h := hist.New(result.RangeOf(unit))
	for _, v := range samples {
		h.Record(v, 1)
	}
	d, err := result.NewDistribution(h)
	if err != nil {
		t.Fatal(err)
	}
	return result.Metric{Name: name, Kind: result.Histogram, Unit: unit, Distribution: d}
}

// sample is a run of 10 s: ttft of 1 to 100 ms, 50 arrivals.
func sample(t *testing.T) *result.Result {
	t.Helper()
	var ttft []int64
	for ms := range int64(100) {
		ttft = append(ttft, (ms+1)*int64(time.Millisecond))
	}
	return &result.Result{
		ID:        "run",
		ElapsedNS: 13 * time.Second,
		Scenario:  &scenario.Scenario{Warmup: scenario.Duration(2 * time.Second), Duration: scenario.Duration(10 * time.Second)},
		Workloads: []result.Workload{
			{Name: "chat", Metrics: []result.Metric{
				{Name: "finished", Kind: result.Counter, Unit: result.One, Value: 50},
				{Name: "failed", Kind: result.Counter, Unit: result.One},
				{Name: "bytes", Kind: result.Counter, Unit: result.Bytes, Value: 20480},
				histogram(t, "ttft", result.Nanoseconds, ttft...),
				histogram(t, "ttft{conn=new}", result.Nanoseconds, int64(time.Second)),
				histogram(t, "tokens", result.One, 3, 5, 1000),
				histogram(t, "stall", result.Nanoseconds),
				{Name: "missing", Kind: result.Histogram, Unit: result.Nanoseconds},
			}},
			{Name: "rooms", Metrics: []result.Metric{
				{Name: "delivery_ratio", Kind: result.Ratio, Unit: result.One, Value: 1, Num: 300, Den: 300},
				{Name: "loss_ratio", Kind: result.Ratio, Unit: result.One, Value: 1. / 300, Num: 1, Den: 300},
				{Name: "nothing", Kind: result.Ratio, Unit: result.One},
			}},
		},
	}
}

// with returns r with more thresholds; r stays as it was.
func with(t *testing.T, r *result.Result, metric string, conditions ...string) *result.Result {
	t.Helper()
	out, sc := *r, *r.Scenario
	out.Scenario, sc.Thresholds = &sc, make(map[string][]scenario.Threshold)
	maps.Copy(sc.Thresholds, r.Scenario.Thresholds)
	for _, text := range conditions {
		c, err := scenario.ParseThreshold(text)
		if err != nil {
			t.Fatal(err)
		}
		sc.Thresholds[metric] = append(sc.Thresholds[metric], c)
	}
	return &out
}

func TestEvaluate(t *testing.T) {
	const ms = 1e6
	run := sample(t)
	for _, c := range []struct {
		metric, condition string
		outcome           result.Outcome
		observed          float64
		unit              result.Unit
		samples           int64
	}{
		{"chat.ttft", "p(95) < 96ms", result.Pass, 95 * ms, result.Nanoseconds, 100},
		{"chat.ttft", "p(95) < 95ms", result.Fail, 95 * ms, result.Nanoseconds, 100},
		{"chat.ttft", "p(100) <= 101ms", result.Pass, 100 * ms, result.Nanoseconds, 100},
		{"chat.ttft", "med < 51ms", result.Pass, 50 * ms, result.Nanoseconds, 100},
		{"chat.ttft", "avg > 50ms", result.Pass, 50.5 * ms, result.Nanoseconds, 100},
		{"chat.ttft", "min >= 990us", result.Pass, ms, result.Nanoseconds, 100},
		{"chat.ttft", "max < 100ms", result.Fail, 100 * ms, result.Nanoseconds, 100},
		{"chat.ttft", "count == 100", result.Pass, 100, result.One, 100},
		{"chat.ttft{conn=new}", "p(50) > 990ms", result.Pass, 1000 * ms, result.Nanoseconds, 1},
		{"chat.tokens", "p(50) == 5", result.Pass, 5, result.One, 3},
		{"chat.tokens", "mean < 337", result.Pass, 336, result.One, 3},
		{"chat.stall", "p(99) < 1s", result.NoData, 0, result.Nanoseconds, 0},
		{"chat.stall", "count < 1", result.NoData, 0, result.One, 0},
		{"chat.stall", "count == 0", result.NoData, 0, result.One, 0},
		{"chat.missing", "p(99) < 1s", result.NoData, 0, result.Nanoseconds, 0},
		{"chat.finished", "count >= 50", result.Pass, 50, result.One, 50},
		{"chat.finished", "value != 50", result.Fail, 50, result.One, 50},
		{"chat.finished", "rate == 5/s", result.Pass, 5, result.One, 50},
		{"chat.finished", "rate > 300/m", result.Fail, 5, result.One, 50},
		{"chat.failed", "count == 0", result.Pass, 0, result.One, 0},
		{"chat.failed", "count > 0", result.Fail, 0, result.One, 0},
		{"chat.bytes", "value >= 20KiB", result.Pass, 20480, result.Bytes, 20480},
		{"rooms.delivery_ratio", "value == 1", result.Pass, 1, result.One, 300},
		{"rooms.loss_ratio", "rate < 1%", result.Pass, 1. / 300, result.One, 300},
		{"rooms.loss_ratio", "value == 0", result.Fail, 1. / 300, result.One, 300},
		{"rooms.nothing", "value == 1", result.NoData, 0, result.One, 0},
		{"rooms.nothing", "rate < 1%", result.NoData, 0, result.One, 0},
	} {
		t.Run(c.metric+" "+c.condition, func(t *testing.T) {
			got, err := Evaluate(with(t, run, c.metric, c.condition))
			if err != nil {
				t.Fatal(err)
			}
			want := []result.Threshold{{Metric: c.metric, Condition: c.condition, Outcome: c.outcome, Observed: c.observed, Unit: c.unit, Samples: c.samples}}
			if d := cmp.Diff(want, got, cmpopts.EquateApprox(1.5e-3, 0)); d != "" { // three digits of the histogram
				t.Errorf("(-want +got):\n%s", d)
			}
			if Failed(got) != (c.outcome != result.Pass) {
				t.Errorf("Failed is %t", Failed(got))
			}
		})
	}
}

func TestWhatCannotBeJudgedIsAnErrorAndNoPass(t *testing.T) {
	run, broken := sample(t), sample(t)
	broken.Workloads[0].Metrics[3].Distribution.HDR = "HISTFAAA"
	odd := sample(t)
	odd.Workloads[0].Metrics[0].Kind = "gauge"
	for _, c := range []struct {
		r                       *result.Result
		metric, condition, want string
	}{
		{run, "chat.tfft", "p(95) < 1s", `workload chat has no metric "tfft"`},
		{run, "talk.ttft", "p(95) < 1s", `no workload "talk"`},
		{run, "chat", "p(95) < 1s", `no metric ""`},
		{run, "chat.ttft", "rate < 1%", "a histogram has no rate"},
		{run, "chat.ttft", "p(95) < 800", "cannot be compared"},
		{run, "chat.finished", "p(95) < 1s", "a counter has no p"},
		{run, "rooms.delivery_ratio", "count == 1", "a ratio has no count"},
		{broken, "chat.ttft", "p(95) < 1s", "decode histogram"},
		{odd, "chat.finished", "count > 0", "unknown kind"},
	} {
		got, err := Evaluate(with(t, c.r, c.metric, c.condition))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "threshold "+c.metric) {
			t.Errorf("%s: %s: error %v, want %q", c.metric, c.condition, err, c.want)
		}
		if len(got) != 1 || got[0].Outcome != result.NoData || !Failed(got) {
			t.Errorf("%s: %s: %+v", c.metric, c.condition, got)
		}
	}
	if _, err := Evaluate(&result.Result{ID: "bare"}); err == nil {
		t.Error("no error without a scenario")
	}
}

func TestAllErrorsAtOnceAndSorted(t *testing.T) {
	r := with(t, sample(t), "rooms.delivery_ratio", "value == 1")
	r = with(t, r, "chat.ttft", "p(99) < 1s", "p(50) < 1ms")
	r = with(t, r, "chat.x", "value == 1")
	r = with(t, r, "talk.y", "value == 1")
	got, err := Evaluate(r)
	if err == nil || !strings.Contains(err.Error(), "chat.x") || !strings.Contains(err.Error(), "talk.y") {
		t.Errorf("error %v", err)
	}
	var order []string
	for _, th := range got {
		order = append(order, th.Metric+" "+th.Condition+" "+string(th.Outcome))
	}
	want := []string{
		"chat.ttft p(99) < 1s pass", "chat.ttft p(50) < 1ms fail", "chat.x value == 1 no data",
		"rooms.delivery_ratio value == 1 pass", "talk.y value == 1 no data",
	}
	if d := cmp.Diff(want, order); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestRateOfAnInterruptedRun(t *testing.T) {
	for elapsed, want := range map[time.Duration]float64{
		7 * time.Second:  10, // 2 s of warm-up, 5 s measured
		13 * time.Second: 5,  // the drain does not count beyond the duration
		1 * time.Second:  math.NaN(),
	} {
		r := with(t, sample(t), "chat.finished", "rate > 0/s")
		r.Interrupted, r.ElapsedNS = true, elapsed
		got, err := Evaluate(r)
		if err != nil {
			t.Fatal(err)
		}
		if noData := got[0].Outcome == result.NoData; noData != math.IsNaN(want) || !noData && got[0].Observed != want {
			t.Errorf("after %v: %+v, want %v/s", elapsed, got[0], want)
		}
	}
}

func TestNoThresholds(t *testing.T) {
	got, err := Evaluate(sample(t))
	if err != nil || len(got) != 0 || Failed(got) {
		t.Errorf("%v, %v", got, err)
	}
}

// A condition and its contrary never both pass, and both fail only for want of data.
func TestContraries(t *testing.T) {
	contrary := map[string]string{"<": ">=", "<=": ">", "==": "!="}
	run := sample(t)
	rapid.Check(t, func(rt *rapid.T) {
		metric := rapid.SampledFrom([]string{"chat.ttft", "chat.stall"}).Draw(rt, "metric")
		op := rapid.SampledFrom([]string{"<", "<=", "=="}).Draw(rt, "op")
		aggregate := rapid.SampledFrom([]string{"p(50)", "p(99.9)", "min", "max", "mean"}).Draw(rt, "aggregate")
		bound := time.Duration(rapid.Int64Range(0, int64(200*time.Millisecond)).Draw(rt, "bound")).String()
		got, err := Evaluate(with(t, run, metric, aggregate+" "+op+" "+bound, aggregate+" "+contrary[op]+" "+bound))
		if err != nil {
			rt.Fatal(err)
		}
		a, b := got[0].Outcome, got[1].Outcome
		if noData := a == result.NoData && b == result.NoData; noData != (metric == "chat.stall") || !noData && a == b {
			rt.Fatalf("%+v", got)
		}
	})
}
