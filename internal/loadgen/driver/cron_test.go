package driver

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
	"github.com/edgeload/edgeload/internal/loadgen/sink"
)

// cronRun is what a scheduler under test was found to do.
type cronRun struct {
	t        *testing.T
	metrics  []result.Metric
	errors   []result.ErrorClass
	balances []result.Balance
	overs    int
}

func (r cronRun) metric(name string) result.Metric {
	r.t.Helper()
	i := slices.IndexFunc(r.metrics, func(m result.Metric) bool { return m.Name == name })
	if i < 0 {
		r.t.Fatalf("no metric %s", name)
	}
	return r.metrics[i]
}

// wants compares counters; the others of calls must be 0.
func (r cronRun) wants(want map[string]int64) {
	r.t.Helper()
	for _, name := range []string{"instants", "called", "missed", "unfinished", "calls", "early", "doubled", "late_calls", "unexpected", "overlapped", "foreign", "unnamed"} {
		if got := int64(r.metric(name).Value); got != want[name] {
			r.t.Errorf("%s is %d, want %d; errors %+v", name, got, want[name], r.errors)
		}
	}
	r.even()
}

func (r cronRun) even() {
	r.t.Helper()
	if len(r.balances) != 2 {
		r.t.Errorf("balances %+v", r.balances)
	}
	for _, b := range r.balances {
		if !b.Even() {
			r.t.Errorf("%s: %d and %d", b.Name, b.Left, b.Right)
		}
	}
}

// spread is the least and the greatest sample, and how many there are.
func (r cronRun) spread(name string) (least, most time.Duration, n int64) {
	r.t.Helper()
	m := r.metric(name)
	h, err := m.Histogram()
	if err != nil {
		r.t.Fatal(err)
	}
	if h == nil {
		return 0, 0, 0
	}
	return time.Duration(h.Quantile(0)), time.Duration(h.Quantile(1)), h.Count()
}

func near(got, want time.Duration) bool {
	return math.Abs(float64(got-want)) <= float64(want)/500+float64(time.Microsecond)
}

// A scheduler under test, within a bubble of fake time.
type scheduler struct {
	driver *cronDriver
	start  time.Time // of the run
}

// call makes a call at an instant of the run, which need not be named.
func (s scheduler) call(at time.Duration, named ...time.Duration) sink.Answer {
	time.Sleep(time.Until(s.start.Add(at)))
	c := &sink.Call{Rest: scenario.ArrivalID(s.driver.mark, 0), First: time.Now(), Whole: time.Now(), Kernel: true, Header: http.Header{}}
	for _, n := range named {
		c.Header.Set("X-At", s.start.Add(n).Format(time.RFC3339Nano))
	}
	return s.driver.Serve(c)
}

// watchCron runs the driver for j, with 4 s of warm-up within total, while play plays
// the scheduler.
func watchCron(t *testing.T, j scenario.CronJob, total time.Duration, play func(s scheduler)) cronRun {
	t.Helper()
	run := cronRun{t: t}
	synctest.Test(t, func(t *testing.T) {
		if j.Missed == 0 {
			j.Missed = scenario.Duration(time.Second)
		}
		w := &scenario.Workload{Protocol: scenario.Cron, Cron: &j}
		sc := &scenario.Scenario{Target: "http://127.0.0.1:1", Drain: scenario.Duration(5 * time.Second), Workloads: map[string]*scenario.Workload{"w": w}}
		d, err := openCron(opening{scenario: sc, name: "w", workload: w})
		if err != nil {
			t.Fatal(err)
		}
		d.prepared, d.remove, d.mark = true, func() {}, scenario.RunMark("id", "w")
		of := engine.Run{ID: "id", Workload: "w", Clock: engine.NewClock(), Warmup: 4 * time.Second, End: total}
		if err := d.Begin(of); err != nil {
			t.Fatal(err)
		}
		rec := engine.NewRecorder(cronMetrics(), of.Warmup)
		ctx, cut := context.WithCancel(t.Context())
		played := make(chan struct{})
		go func() {
			defer close(played)
			play(scheduler{d, time.Now()})
		}()
		begun, overs := 0, make(chan bool, 1000)
		for schedule := d.Schedule(); ; begun++ {
			at, ok := schedule.Next()
			if !ok {
				break
			}
			time.Sleep(at - of.Clock.Now())
			d.Do(ctx, engine.Arrival{Seq: uint64(begun), Intended: at, Started: of.Clock.Now()}, rec.At(at), func(done bool) { overs <- done })
		}
		time.Sleep(total + 5*time.Second - of.Clock.Now())
		cut()
		synctest.Wait()
		<-played
		d.End(rec)
		if run.overs = len(overs); run.overs != begun {
			t.Errorf("%d arrivals, %d ended", begun, run.overs)
		}
		run.metrics, run.errors, run.balances = rec.Collect()
	})
	return run
}

// Two seconds over 24 s, of which four are warm-up: instants at 4, 6 … 22.
const (
	cronTotal    = 24 * time.Second
	cronMeasured = 10
)

func twoSeconds() scenario.CronJob { return scenario.CronJob{Schedule: "2 seconds"} }

func TestCronOnTime(t *testing.T) {
	r := watchCron(t, twoSeconds(), cronTotal, func(s scheduler) {
		for at := time.Duration(0); at < 28*time.Second; at += 2 * time.Second { // it goes on after the run
			s.call(at + 5*time.Millisecond)
		}
	})
	r.wants(map[string]int64{"instants": cronMeasured, "called": cronMeasured, "calls": cronMeasured})
	if least, most, n := r.spread("drift"); !near(least, 5*time.Millisecond) || !near(most, 5*time.Millisecond) || n != cronMeasured {
		t.Errorf("drift from %s to %s, %d samples", least, most, n)
	}
	if gap := time.Duration(r.metric("longest_gap").Value); gap != 2*time.Second {
		t.Errorf("longest gap %s", gap)
	}
	if trend := r.metric("drift_trend"); trend.Value != 0 || !trend.Known || len(r.errors) != 0 {
		t.Errorf("trend %+v, errors %+v", trend, r.errors)
	}
}

func TestCronThatFiresTwice(t *testing.T) {
	r := watchCron(t, twoSeconds(), cronTotal, func(s scheduler) {
		for at := time.Duration(0); at < cronTotal; at += 2 * time.Second {
			s.call(at + time.Millisecond)
			s.call(at + 300*time.Millisecond)
		}
	})
	r.wants(map[string]int64{"instants": cronMeasured, "called": cronMeasured, "calls": 2 * cronMeasured, "doubled": cronMeasured})
	if ratio := r.metric("doubled_ratio").Value; ratio != 1 {
		t.Errorf("doubled_ratio %v", ratio)
	}
	if r.errors[0].Class != "doubled" || r.errors[0].Example != "2000-01-01T00:00:04.000Z was called again 300ms after it" {
		t.Errorf("errors %+v", r.errors)
	}
}

func TestCronThatSkips(t *testing.T) {
	r := watchCron(t, twoSeconds(), cronTotal, func(s scheduler) {
		for i := range 12 {
			if i%5 != 0 {
				s.call(time.Duration(i) * 2 * time.Second)
			}
		}
	})
	r.wants(map[string]int64{"instants": cronMeasured, "called": 8, "missed": 2, "calls": 8})
	if gap := time.Duration(r.metric("longest_gap").Value); gap != 4*time.Second {
		t.Errorf("longest gap %s", gap)
	}
}

func TestCronThatNeverCalls(t *testing.T) {
	r := watchCron(t, twoSeconds(), cronTotal, func(scheduler) {})
	r.wants(map[string]int64{"instants": cronMeasured, "missed": cronMeasured})
	if gap := time.Duration(r.metric("longest_gap").Value); gap != 20*time.Second {
		t.Errorf("longest gap %s", gap)
	}
	if r.errors[0].Class != "missed" || r.errors[0].Example != "no call for 2000-01-01T00:00:04.000Z within 1s" {
		t.Errorf("errors %+v", r.errors)
	}
}

// A sleep of the period between calls, instead of until the next instant.
func TestCronThatDrifts(t *testing.T) {
	r := watchCron(t, twoSeconds(), cronTotal, func(s scheduler) {
		for i := range time.Duration(12) {
			s.call(i*2*time.Second + i*10*time.Millisecond)
		}
	})
	r.wants(map[string]int64{"instants": cronMeasured, "called": cronMeasured, "calls": cronMeasured})
	if trend := r.metric("drift_trend").Value; math.Abs(trend-0.005) > 1e-9 {
		t.Errorf("trend %v, want 10 ms in 2 s", trend)
	}
	if gained := time.Duration(r.metric("drift_gained").Value); gained != 90*time.Millisecond {
		t.Errorf("gained %s", gained)
	}
	if least, most, _ := r.spread("drift"); !near(least, 20*time.Millisecond) || !near(most, 110*time.Millisecond) {
		t.Errorf("drift from %s to %s", least, most)
	}
}

func TestCronThatOverlaps(t *testing.T) {
	j := twoSeconds()
	j.Takes = scenario.Duration(3 * time.Second)
	r := watchCron(t, j, cronTotal, func(s scheduler) {
		for i := range time.Duration(12) {
			if a := s.call(i * 2 * time.Second); a.After != 3*time.Second {
				t.Errorf("answer %+v", a)
			}
		}
	})
	r.wants(map[string]int64{"instants": cronMeasured, "called": cronMeasured, "calls": cronMeasured, "overlapped": cronMeasured})
}

// A scheduler that stood still from 7 s to 13.5 s, and makes up for what it missed.
func TestCronThatCatchesUpLate(t *testing.T) {
	j := twoSeconds()
	j.Scheduled = &scenario.Correlation{Header: "X-At"}
	r := watchCron(t, j, cronTotal, func(s scheduler) {
		for i := range time.Duration(12) {
			at := i * 2 * time.Second
			came := at
			if at > 7*time.Second && at < 13*time.Second {
				came = 13*time.Second + 500*time.Millisecond
			}
			s.call(came, at)
		}
	})
	r.wants(map[string]int64{"instants": cronMeasured, "called": 7, "missed": 3, "calls": cronMeasured, "late_calls": 3})
	if least, most, n := r.spread("late_by"); !near(least, 1500*time.Millisecond) || !near(most, 5500*time.Millisecond) || n != 3 {
		t.Errorf("late by %s to %s, %d samples", least, most, n)
	}
	if gap := time.Duration(r.metric("longest_gap").Value); gap != 7500*time.Millisecond {
		t.Errorf("longest gap %s", gap)
	}
}

// The clocks differ: calls come before their instant, and before its arrival begins.
func TestCronThatIsEarly(t *testing.T) {
	r := watchCron(t, twoSeconds(), cronTotal, func(s scheduler) {
		for at := 2 * time.Second; at < cronTotal; at += 2 * time.Second {
			s.call(at - 30*time.Millisecond)
			if at == 8*time.Second {
				s.call(at - 10*time.Millisecond) // a second one, before the arrival
			}
		}
	})
	r.wants(map[string]int64{"instants": cronMeasured, "called": cronMeasured, "calls": cronMeasured + 1, "early": cronMeasured, "doubled": 1})
	if least, most, n := r.spread("early_by"); !near(least, 30*time.Millisecond) || !near(most, 30*time.Millisecond) || n != cronMeasured {
		t.Errorf("early by %s to %s, %d samples", least, most, n)
	}
	if _, most, n := r.spread("drift"); most > time.Microsecond || n != cronMeasured {
		t.Errorf("drift up to %s, %d samples", most, n)
	}
}

func TestCronCallsForNoInstant(t *testing.T) {
	j := scenario.CronJob{Schedule: "10 seconds", Scheduled: &scenario.Correlation{Header: "X-At"}}
	r := watchCron(t, j, cronTotal, func(s scheduler) {
		s.call(3*time.Second, 3*time.Second) // in the warm-up
		s.call(10*time.Second, 10*time.Second+400*time.Millisecond)
		s.call(15*time.Second, 15*time.Second) // of another schedule
		s.call(20*time.Second + 7*time.Millisecond)
		s.call(25*time.Second, 25*time.Second) // after the run
	})
	r.wants(map[string]int64{"instants": 2, "called": 2, "calls": 3, "unexpected": 1, "unnamed": 1})
	r = watchCron(t, scenario.CronJob{Schedule: "10 seconds"}, cronTotal, func(s scheduler) {
		s.call(10 * time.Second)
		s.call(14 * time.Second) // far from any instant, and both near ones…
		s.call(16 * time.Second)
		s.call(20 * time.Second)
	})
	r.wants(map[string]int64{"instants": 2, "called": 2, "calls": 4, "unexpected": 2})
}

func TestCronForeignCalls(t *testing.T) {
	r := watchCron(t, twoSeconds(), cronTotal, func(s scheduler) {
		for at := time.Duration(0); at < cronTotal; at += 2 * time.Second {
			s.call(at)
			for rest, status := range map[string]int{scenario.ArrivalID(s.driver.mark+1, 0): http.StatusGone, "": 0, "x": 0} {
				if at != 8*time.Second {
					continue
				}
				if a := s.driver.Serve(&sink.Call{Rest: rest, First: time.Now(), Whole: time.Now(), Kernel: true}); a.Status != status {
					t.Errorf("%q is answered %d", rest, a.Status)
				}
			}
		}
	})
	r.wants(map[string]int64{"instants": cronMeasured, "called": cronMeasured, "calls": cronMeasured + 2, "doubled": 2, "foreign": 1})
}

// The end of the drain cuts what waits.
func TestCronCut(t *testing.T) {
	j := twoSeconds()
	j.Missed = scenario.Duration(8 * time.Second)
	r := watchCron(t, j, cronTotal, func(s scheduler) { s.call(4 * time.Second) })
	r.wants(map[string]int64{"instants": cronMeasured, "called": 1, "missed": 8, "unfinished": 1, "calls": 1})
}

// Where a scheduler counts from its own start its first call sets the phase.
func TestCronFromItsFirstCall(t *testing.T) {
	for _, calls := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			j := &scenario.CronJob{Schedule: "2 seconds", Anchor: scenario.AnchorFirst, Missed: scenario.Duration(time.Second)}
			w := &scenario.Workload{Protocol: scenario.Cron, Cron: j}
			d, err := openCron(opening{scenario: &scenario.Scenario{Target: "http://127.0.0.1:1"}, name: "w", workload: w})
			if err != nil {
				t.Fatal(err)
			}
			d.prepared, d.remove = true, func() {}
			began := time.Now()
			if calls {
				time.AfterFunc(700*time.Millisecond, func() {
					d.Serve(&sink.Call{First: time.Now(), Whole: time.Now(), Kernel: true})
				})
			}
			if err := d.awaitFirst(t.Context()); err != nil {
				t.Fatal(err)
			}
			waited := time.Since(began)
			if want := map[bool]time.Duration{true: 700 * time.Millisecond, false: 3 * time.Second}[calls]; waited != want {
				t.Errorf("waited %s for the first call, want %s", waited, want)
			}
			run := engine.Run{Clock: engine.NewClock(), End: 5 * time.Second}
			time.Sleep(time.Second)
			if err := d.Begin(run); err != nil {
				t.Fatal(err)
			}
			for schedule, want := d.Schedule(), time.Duration(0); ; want += 2 * time.Second {
				at, ok := schedule.Next()
				if !ok {
					break
				}
				if at != want { // which is the instant of the first call, and not of the Unix epoch
					t.Errorf("an instant at %s, want %s", at, want)
				}
			}
			d.End(engine.NewRecorder(cronMetrics(), 0))
		})
	}
}

func TestCronWithoutInstants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for schedule, want := range map[string]string{
			"0 9 * * *":  "no instant of the schedule comes in the 10s of the run; the next is 2000-01-01T09:00:00Z",
			"0 0 30 2 *": "no instant of the schedule comes in the 10s of the run: it has none at all",
		} {
			time.Sleep(time.Second)
			w := &scenario.Workload{Protocol: scenario.Cron, Cron: &scenario.CronJob{Schedule: schedule, Missed: 1}}
			d, err := openCron(opening{scenario: &scenario.Scenario{Target: "http://127.0.0.1:1"}, name: "w", workload: w})
			if err != nil {
				t.Fatal(err)
			}
			d.prepared, d.remove = true, func() {}
			if err := d.Begin(engine.Run{Clock: engine.NewClock(), End: 10 * time.Second}); err == nil || err.Error() != want {
				t.Errorf("%s: %v, want %s", schedule, err, want)
			}
		}
	})
}

// Whatever calls come, each is somewhere, and so is each instant.
func TestCronAddsUp(t *testing.T) {
	rapid.Check(t, func(p *rapid.T) {
		type call struct{ at, named time.Duration }
		var calls []call
		at := time.Duration(0)
		for range rapid.IntRange(0, 40).Draw(p, "n") {
			at += time.Duration(rapid.IntRange(0, 2000).Draw(p, "gap")) * time.Millisecond
			calls = append(calls, call{at, time.Duration(rapid.IntRange(-8, 60).Draw(p, "named")) * 500 * time.Millisecond})
		}
		j := twoSeconds()
		j.Missed = scenario.Duration(rapid.IntRange(1, 5000).Draw(p, "missed")) * scenario.Duration(time.Millisecond)
		if rapid.Bool().Draw(p, "names") {
			j.Scheduled = &scenario.Correlation{Header: "X-At"}
		}
		r := watchCron(t, j, cronTotal, func(s scheduler) {
			for _, c := range calls {
				s.call(c.at, c.named)
			}
		})
		r.even()
		n := func(name string) int64 { return int64(r.metric(name).Value) }
		if n("instants") != cronMeasured || n("instants") != n("called")+n("missed")+n("unfinished") ||
			n("calls") != n("called")+n("doubled")+n("late_calls")+n("unexpected") {
			p.Fatalf("%+v", r.metrics)
		}
		if t.Failed() {
			p.Fatal("does not add up")
		}
	})
}

// A call that comes in time allocates nothing on its way into the histogram.
func TestCronAllocatesNothing(t *testing.T) {
	const n = 1000
	instants := make([]time.Duration, n)
	for i := range instants {
		instants[i] = time.Duration(i) * time.Second
	}
	d := &cronDriver{named: newNamedInstant(&scenario.Correlation{Header: "x-at"}), missed: time.Second}
	d.run = engine.Run{Clock: engine.NewClock(), End: n * time.Second}
	d.book = newCronBook(d.run, instants, d.missed, 0)
	rec, over := engine.NewRecorder(cronMetrics(), 0), func(bool) {}
	ctx, i := t.Context(), 0
	c := &sink.Call{Kernel: true, Header: http.Header{"X-At": {""}}}
	texts := make([]string, n)
	for i := range texts {
		texts[i] = d.run.Clock.Time(instants[i]).UTC().Format(time.RFC3339Nano)
	}
	if allocs := testing.AllocsPerRun(n-10, func() {
		d.book.wait(ctx, uint64(i), rec, over)
		c.Header["X-At"][0] = texts[i]
		c.First = d.run.Clock.Time(instants[i] + time.Millisecond)
		c.Whole = c.First
		d.Serve(c)
		i++
	}); allocs > 0 {
		t.Errorf("%v allocations a call", allocs)
	}
	if d.book.called != int64(i) {
		t.Errorf("%d of %d called", d.book.called, i)
	}
}

func TestParseInstant(t *testing.T) {
	want := time.Date(2026, 11, 24, 9, 0, 0, 250e6, time.UTC)
	for _, text := range []string{"2026-11-24T09:00:00.25Z", "2026-11-24T10:00:00.250+01:00", fmt.Sprintf("%.2f", float64(want.UnixMilli())/1000)} {
		if at, ok := parseInstant(text); !ok || !at.Equal(want) {
			t.Errorf("%q is %s, %v", text, at, ok)
		}
	}
	for _, text := range []string{"", "soon", "-1", "NaN", "Inf", "1e300", "1795510800000", "9999-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "2026-11-24"} {
		if at, ok := parseInstant(text); ok {
			t.Errorf("%q is %s", text, at)
		}
	}
}

func FuzzParseInstant(f *testing.F) {
	f.Add("2026-11-24T09:00:00.25Z")
	f.Add("1795510800.5")
	f.Add("0x1p30")
	f.Fuzz(func(t *testing.T, text string) {
		if at, ok := parseInstant(text); ok && (at.Unix() < 0 || at.Year() > 2200) {
			t.Errorf("%q is %s", text, at)
		}
	})
}

// No metric of the driver has the name of one of the engine's.
func TestCronMetricsHaveNamesOfTheirOwn(t *testing.T) {
	seen := make(map[string]bool)
	for _, m := range slices.Concat(engine.OwnMetrics(), cronMetrics()) {
		if m.Name == "" || m.Help == "" || seen[m.Name] {
			t.Errorf("metric %+v", m)
		}
		seen[m.Name] = true
	}
}
