package llm

import (
	"context"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// late runs streams side by side, each waiting for every gap's deadline, and
// returns the sorted lateness of all waits.
func late(ctx context.Context, alarm *Alarm, streams, waits int, gap time.Duration) []time.Duration {
	var mu sync.Mutex
	var all []time.Duration
	var wg sync.WaitGroup
	for i := range streams {
		wg.Go(func() {
			w := waiter{alarm: alarm}
			w.begin(ctx)
			defer w.stop()
			start := time.Now().Add(gap * time.Duration(i) / time.Duration(streams))
			var own []time.Duration
			for k := range waits {
				deadline := start.Add(gap * time.Duration(k+1))
				if w.until(ctx, deadline) != nil {
					return
				}
				own = append(own, time.Since(deadline))
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, own...)
		})
	}
	wg.Wait()
	slices.Sort(all)
	return all
}

// run lets an alarm ring for as long as f runs.
func run(t testing.TB, f func(alarm *Alarm)) {
	t.Helper()
	alarm := new(Alarm)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- alarm.Run(ctx) }()
	f(alarm)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if alarm.running() {
		t.Error("an alarm that was stopped says that it runs")
	}
}

func TestWaitsEndOnTime(t *testing.T) {
	check := func(t *testing.T, alarm *Alarm) {
		got := late(t.Context(), alarm, 20, 25, 10*time.Millisecond)
		if len(got) != 20*25 {
			t.Fatalf("%d waits, want %d", len(got), 20*25)
		}
		if got[0] < 0 {
			t.Errorf("a wait ended %v early", -got[0])
		}
		if median := got[len(got)/2]; median > 3*time.Millisecond {
			t.Errorf("median lateness %v", median)
		}
	}
	t.Run("alarm", func(t *testing.T) { run(t, func(a *Alarm) { check(t, a) }) })
	t.Run("alarm not running", func(t *testing.T) { check(t, new(Alarm)) })
	t.Run("no alarm", func(t *testing.T) { check(t, nil) })
}

// A wait whose context ends returns at once, however far off its deadline, and
// whether the end comes before the wait or in it.
func TestCancelledWaitReturns(t *testing.T) {
	run(t, func(alarm *Alarm) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		begin := time.Now()
		late(ctx, alarm, 10, 1, time.Hour)
		late(ctx, alarm, 10, 1, time.Hour)
		if took := time.Since(begin); took > time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// A wait beyond what an alarm looks ahead ends as precisely as a short one.
func TestLongWaitEndsOnTime(t *testing.T) {
	run(t, func(alarm *Alarm) {
		got := late(t.Context(), alarm, 20, 1, alarmSlots*alarmSpacing*3/2)
		if len(got) != 20 || got[0] < 0 || got[10] > 3*time.Millisecond {
			t.Errorf("lateness %v", got)
		}
	})
}

// timerLog takes down what a ring sets its timer to.
type timerLog struct{ spans []time.Duration }

func (l *timerLog) set(after time.Duration) { l.spans = append(l.spans, after) }

// Where there are more deadlines than an alarm is for, it rests, and looks again
// after that.
func TestAlarmRestsWhereMuchIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var timer timerLog
		ring := newAlarmRing(&timer)
		// after drives the ring for a while at a rate of deadlines 5 ms ahead, and
		// counts the wake-ups.
		after := func(length, gap time.Duration) (wakeups int) {
			for end := time.Now().Add(length); time.Now().Before(end); {
				ring.set(time.Now().Add(5 * time.Millisecond))
				time.Sleep(gap)
				if armed := ring.armed.Load(); armed != unarmed && int64(time.Since(ring.base)) >= armed {
					ring.fire()
					wakeups++
				}
			}
			return wakeups
		}
		if n := after(time.Second, 100*time.Microsecond); n < 4000 || n > 5000 { // 10,000 a second
			t.Errorf("%d wake-ups in a second that is not busy", n)
		}
		if n := after(time.Second, 25*time.Microsecond); n < 20 || n > 500 { // 40,000 a second
			t.Errorf("%d wake-ups in a busy second", n)
		}
		after(100*time.Millisecond, 100*time.Microsecond)
		if n := after(time.Second, 100*time.Microsecond); n < 4000 {
			t.Errorf("%d wake-ups in a second after a busy one", n)
		}
		if len(timer.spans) == 0 || slices.Max(timer.spans) > alarmRest {
			t.Errorf("the timer was set %d times", len(timer.spans))
		}
	})
}

// BenchmarkLateness reports how late waits end: go test -run '^$' -bench Lateness -benchtime 1x
func BenchmarkLateness(b *testing.B) {
	report := func(b *testing.B, alarm *Alarm, streams int) {
		var got []time.Duration
		for b.Loop() {
			got = append(got, late(b.Context(), alarm, streams, 100, 20*time.Millisecond)...)
		}
		slices.Sort(got)
		for name, q := range map[string]float64{"p50-µs": 0.5, "p99-µs": 0.99} {
			b.ReportMetric(float64(got[int(q*float64(len(got)-1))])/float64(time.Microsecond), name)
		}
	}
	for _, streams := range []int{1, 200} {
		name := map[int]string{1: "streams=1", 200: "streams=200"}[streams]
		b.Run(name+"/alarm", func(b *testing.B) { run(b, func(a *Alarm) { report(b, a, streams) }) })
		b.Run(name+"/timers", func(b *testing.B) { report(b, nil, streams) })
	}
}

// flushDiscard is a response writer that costs nothing.
type flushDiscard struct{ io.Writer }

func (flushDiscard) Header() http.Header { return nil }
func (flushDiscard) WriteHeader(int)     {}
func (flushDiscard) Flush()              {}

func TestTokenEventsDoNotAllocate(t *testing.T) {
	var events eventWriter
	events.begin(flushDiscard{io.Discard}, false)
	teller := teller{text: prose}
	m := newCounts().shard(1)
	allocs := testing.AllocsPerRun(500, func() {
		events.set(anthropicText, &teller, 3, anthropicDeltaEnd)
		sent, err := events.send()
		if err != nil {
			t.Fatal(err)
		}
		m.sent(3, time.Since(sent))
	})
	if allocs != 0 {
		t.Errorf("%v allocations an event, want 0", allocs)
	}
}
