package engine

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// An askingDriver notes the turns it is given; some of them fail.
type askingDriver struct {
	fakeDriver
	fail func(a Arrival) bool

	mu    sync.Mutex
	turns []Arrival
}

func (d *askingDriver) Do(ctx context.Context, a Arrival, rec *Recorder, over func(bool)) {
	d.mu.Lock()
	d.turns = append(d.turns, a)
	d.mu.Unlock()
	go func() {
		done := d.do(ctx, a, rec)
		over(done && (d.fail == nil || !d.fail(a)))
	}()
}

// alternately is sessions of 3 and 1 turns, with a pause of 50 ms for each turn done.
func alternately() *Sessions {
	return &Sessions{
		Turns: func(n uint64) int { return 3 - 2*int(n%2) },
		Think: func(_ uint64, turn int) time.Duration { return time.Duration(turn) * 50 * time.Millisecond },
	}
}

func TestSessionsOfAnOpenModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &askingDriver{fakeDriver: fakeDriver{takes: 20 * time.Millisecond}}
		plan := planOf(0, time.Second, time.Second,
			Workload{Driver: d, Schedule: &every{gap: 100 * time.Millisecond, end: 500 * time.Millisecond}, MaxInFlight: 100, Sessions: alternately()})
		res, err := plan.Run(t.Context(), "id")
		if err != nil {
			t.Fatal(err)
		}
		// Sessions begin at 0, 100, … 400 ms with 3, 1, 3, 1, 3 turns.
		w := res.Workloads[0]
		wantCounts(t, w, map[string]float64{"offered": 11, "started": 11, "finished": 11, "dropped": 0,
			"sessions": 5, "sessions_completed": 5, "sessions_abandoned": 0, "sessions_unfinished": 0})
		if turns := metric(t, w, "turns_per_session").Distribution; turns.Count != 5 || turns.Max != 3 || turns.Min != 1 {
			t.Errorf("turns of sessions: %+v", turns)
		}
		slices.SortFunc(d.turns, func(a, b Arrival) int { return int(a.Seq) - int(b.Seq) })
		for i, a := range d.turns {
			if a.Seq != uint64(i) {
				t.Fatalf("arrival %d has the number %d", i, a.Seq)
			}
			if a.Turn == 0 {
				continue
			}
			before := d.turns[i-1]
			want := before.Started + 20*time.Millisecond + time.Duration(a.Turn)*50*time.Millisecond
			if a.Session != before.Session || a.Turn != before.Turn+1 || a.Intended != want || a.Started != want {
				t.Errorf("turn %d of session %d intended at %v, began at %v, want %v", a.Turn, a.Session.Number, a.Intended, a.Started, want)
			}
		}
	})
}

func TestFailedTurnEndsItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &askingDriver{fakeDriver: fakeDriver{takes: 20 * time.Millisecond}, fail: func(a Arrival) bool { return a.Turn == 1 && a.Session.Number == 2 }}
		plan := planOf(0, time.Second, time.Second,
			Workload{Driver: d, Schedule: &every{gap: 100 * time.Millisecond, end: 500 * time.Millisecond}, MaxInFlight: 100, Sessions: alternately()})
		res, err := plan.Run(t.Context(), "id")
		if err != nil {
			t.Fatal(err)
		}
		wantCounts(t, res.Workloads[0], map[string]float64{"offered": 10, "sessions": 5, "sessions_completed": 4, "sessions_abandoned": 1, "sessions_unfinished": 0})
	})
}

// Turns that would begin after the end never do, those in flight are cut with the
// drain, and both leave their sessions unfinished.
func TestSessionsAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &askingDriver{fakeDriver: fakeDriver{takes: 400 * time.Millisecond}}
		long := &Sessions{Turns: func(uint64) int { return 10 }, Think: func(uint64, int) time.Duration { return 0 }}
		plan := planOf(0, time.Second, 100*time.Millisecond,
			Workload{Driver: d, Schedule: &every{gap: time.Second, end: time.Second}, MaxInFlight: 100, Sessions: long})
		res, err := plan.Run(t.Context(), "id")
		if err != nil {
			t.Fatal(err)
		}
		// Turns at 0, 400 and 800 ms; the last is cut at 1100 ms.
		wantCounts(t, res.Workloads[0], map[string]float64{"offered": 3, "finished": 3, "sessions": 1, "sessions_completed": 0, "sessions_abandoned": 0, "sessions_unfinished": 1})
		if d.cut.Load() != 1 {
			t.Errorf("%d turns were cut, want 1", d.cut.Load())
		}
	})
}

// An interrupt ends the thinking; what is in flight drains.
func TestInterruptWhileThinking(t *testing.T) {
	for name, w := range map[string]Workload{
		"open":   {Schedule: &every{gap: time.Hour, end: time.Hour}, MaxInFlight: 100},
		"closed": {Users: 1, Begins: func(int) time.Duration { return 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, interrupt := context.WithTimeout(t.Context(), time.Second)
				defer interrupt()
				w.Driver = &askingDriver{fakeDriver: fakeDriver{takes: 100 * time.Millisecond}}
				w.Sessions = &Sessions{Turns: func(uint64) int { return 5 }, Think: func(uint64, int) time.Duration { return time.Minute }}
				start := time.Now()
				res, err := planOf(0, time.Hour, time.Minute, w).Run(ctx, "id")
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); took > 1100*time.Millisecond || !res.Interrupted {
					t.Errorf("took %v, interrupted %v", took, res.Interrupted)
				}
				wantCounts(t, res.Workloads[0], map[string]float64{"offered": 1, "sessions": 1, "sessions_unfinished": 1})
			})
		})
	}
}

// Offered is the turns that began and those that were dropped, which end their
// sessions; a first turn that is dropped begins none.
func TestDroppedTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &askingDriver{fakeDriver: fakeDriver{takes: 95 * time.Millisecond}}
		sessions := &Sessions{Turns: func(uint64) int { return 2 }, Think: func(uint64, int) time.Duration { return 8 * time.Millisecond }}
		plan := planOf(0, time.Second, time.Second,
			Workload{Driver: d, Schedule: &every{gap: 10 * time.Millisecond, end: 500 * time.Millisecond}, MaxInFlight: 5, Sessions: sessions})
		res, err := plan.Run(t.Context(), "id")
		if err != nil {
			t.Fatal(err)
		}
		w := res.Workloads[0]
		wantCounts(t, w, map[string]float64{"sessions_unfinished": 0})
		value := func(name string) float64 { return metric(t, w, name).Value }
		if value("dropped") == 0 || value("sessions_abandoned") == 0 || value("sessions") == 50 || value("offered") != value("started")+value("dropped") {
			t.Errorf("offered %v, started %v, dropped %v, sessions %v, abandoned %v", value("offered"), value("started"), value("dropped"), value("sessions"), value("sessions_abandoned"))
		}
	})
}

func TestSessionsOfAClosedModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &askingDriver{fakeDriver: fakeDriver{takes: 50 * time.Millisecond}}
		plan := planOf(0, time.Second, time.Second,
			Workload{Driver: d, Users: 1, Begins: func(int) time.Duration { return 0 }, Think: 100 * time.Millisecond, Sessions: alternately()})
		res, err := plan.Run(t.Context(), "id")
		if err != nil {
			t.Fatal(err)
		}
		// Three turns take 0–300 ms, one 400–450 ms, three 550–850 ms, one 950–1000 ms.
		wantCounts(t, res.Workloads[0], map[string]float64{"offered": 8, "sessions": 4, "sessions_completed": 4, "sessions_unfinished": 0})
	})
}

// Without sessions there is nothing of them in the result.
func TestNoSessionsNoMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plan := planOf(0, time.Second, time.Second, Workload{Driver: &fakeDriver{}, Schedule: &every{gap: time.Second, end: time.Second}, MaxInFlight: 1})
		res, err := plan.Run(t.Context(), "id")
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range res.Workloads[0].Metrics {
			if m.Name == "sessions" || m.Name == "turns_per_session" {
				t.Errorf("metric %s: %v", m.Name, m.Value)
			}
		}
	})
}
