package driver

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// bareBackground is a driver without a target and a sink, told of requests and calls by
// the test.
func bareBackground(deadline time.Duration) (*background, *engine.Recorder) {
	d := &background{httpDriver: &httpDriver{}, deadline: deadline}
	d.run.Clock = engine.NewClock()
	d.jobs.open()
	d.acks.open()
	return d, engine.NewRecorder(backgroundMetrics(), 0)
}

// begun tells d of an arrival that begins now, and returns what tells it of the
// acknowledgement.
func (d *background) begun(ctx context.Context, seq uint64, rec *engine.Recorder, over func(bool)) (acknowledge func()) {
	now := d.run.Clock.Now()
	a := engine.Arrival{Seq: seq, Intended: now, Started: now}
	d.before(a, rec)
	return func() {
		now := d.run.Clock.Now()
		x := &httpExchange{driver: d.httpDriver, ctx: ctx, arrival: a, rec: rec, first: now, last: receipt{at: now}}
		d.after(x, httpEnding{outcome: httpOutcomeSucceeded}, over)
	}
}

// What comes at the deadline is in time, and what comes after it is late, whether the
// job has been given up by then or not; and one that is never heard of ends all the same.
func TestBackgroundDeadline(t *testing.T) {
	const deadline = 30 * time.Second
	for _, tt := range []struct {
		name   string
		heard  time.Duration // 0: never
		counts map[string]float64
	}{
		{"in time", deadline, map[string]float64{"completed": 1, "lost": 0, "completed_late": 0}},
		{"just late", deadline + 1, map[string]float64{"completed": 0, "lost": 1, "completed_late": 1}},
		{"late", deadline + time.Second, map[string]float64{"completed": 0, "lost": 1, "completed_late": 1}},
		{"never", 0, map[string]float64{"completed": 0, "lost": 1, "completed_late": 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, rec := bareBackground(deadline)
				ctx, stop := context.WithCancel(t.Context())
				d.beside.Go(func() { d.keep(ctx) })
				var ended time.Duration
				overs := 0
				d.begun(t.Context(), 0, rec, func(bool) { overs++; ended = d.run.Clock.Now() })()
				if tt.heard > 0 {
					<-time.After(tt.heard)
					d.called(0, hearing{at: d.run.Clock.Now()})
				}
				<-time.After(2 * deadline)
				stop()
				d.beside.Wait()
				d.leave()
				if overs != 1 || ended > deadline+settle+2*keepEvery {
					t.Errorf("ended %d times, at %v", overs, ended)
				}
				collect(t, rec).counts(tt.counts)
			})
		})
	}
}

// An ack waited for its job where that had gone on for 10 ms and was over before the
// first byte of the answer.
func TestBackgroundTellsWhoWaited(t *testing.T) {
	for _, tt := range []struct {
		done, ack     time.Duration
		before, waits float64
	}{
		{ackWaitLeast, ackWaitLeast, 0, 1},
		{ackWaitLeast, ackWaitLeast + 1, 1, 1},
		{ackWaitLeast - 1, ackWaitLeast + 1, 1, 0},
		{ackWaitLeast + 1, ackWaitLeast, 0, 0},
		{time.Minute, time.Minute + time.Second, 1, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			d, rec := bareBackground(time.Hour)
			acknowledge := d.begun(t.Context(), 0, rec, func(bool) {})
			heard := func() { d.called(0, hearing{at: d.run.Clock.Now()}) }
			first, second := heard, acknowledge
			if tt.ack < tt.done {
				first, second = acknowledge, heard
			}
			<-time.After(min(tt.ack, tt.done))
			first()
			if tt.ack != tt.done {
				<-time.After(max(tt.ack, tt.done) - min(tt.ack, tt.done))
			}
			second()
			d.leave()
			collect(t, rec).counts(map[string]float64{"completed": 1, "completed_before_ack": tt.before, "ack_waited": tt.waits})
		})
	}
}

// An ack that takes 1 ms more for each job that runs shows between few and many of them;
// one that does not, does not.
func TestBackgroundTellsWhetherTheAckSlows(t *testing.T) {
	for _, slow := range []time.Duration{0, time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			d, rec := bareBackground(time.Hour)
			var arrivals sync.WaitGroup
			for seq := range uint64(300) {
				arrivals.Go(func() {
					acknowledge := d.begun(t.Context(), seq, rec, func(bool) {})
					<-time.After(5*time.Millisecond + slow*time.Duration(d.jobs.pending.Load()))
					acknowledge()
					<-time.After(time.Second)
					d.called(seq, hearing{at: d.run.Clock.Now()})
				})
				<-time.After(10 * time.Millisecond)
			}
			arrivals.Wait()
			d.leave()
			d.acks.split(rec)
			f := collect(t, rec)
			f.counts(map[string]float64{"completed": 300})
			few, many := f.metrics["service_time{jobs=few}"].Distribution, f.metrics["service_time{jobs=many}"].Distribution
			if slow == 0 && (few.Min != many.Min || few.Max != many.Max || few.Count+many.Count < 150) || slow > 0 && many.P50-few.P50 < int64(20*time.Millisecond) {
				t.Errorf("by %v: with few jobs %+v, with many %+v", slow, few, many)
			}
		})
	}
}

// Whatever comes in whatever order, each arrival ends once and each call is counted
// once, as what it was to its job.
func TestBackgroundCountsEverythingOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, rec := bareBackground(time.Hour)
		ctx, cut := context.WithCancel(context.Background())
		defer cut()
		const (
			unknown = iota
			sent
			waiting
			ended
			refused
		)
		type state struct{ at, heard, overs int }
		jobs := make([]state, 200)
		var next, acked, calls int
		requests := make(map[uint64]*httpExchange)
		answer := func(t *rapid.T, outcome httpOutcome) {
			if len(requests) == 0 {
				t.Skip("no request is under way")
			}
			seq := rapid.Uint64Range(0, uint64(next-1)).Filter(func(n uint64) bool { return requests[n] != nil }).Draw(t, "seq")
			x := requests[seq]
			delete(requests, seq)
			j := &jobs[seq]
			switch {
			case outcome != httpOutcomeSucceeded:
				j.at = refused
			case j.heard > 0:
				j.at = ended
			default:
				j.at = waiting
			}
			if outcome == httpOutcomeSucceeded {
				acked++
			}
			d.after(x, httpEnding{outcome: outcome}, func(bool) { j.overs++ })
		}
		t.Repeat(map[string]func(*rapid.T){
			"send": func(t *rapid.T) {
				if next == len(jobs) {
					t.Skip("enough")
				}
				a := engine.Arrival{Seq: uint64(next)}
				d.before(a, rec)
				requests[a.Seq] = &httpExchange{driver: d.httpDriver, ctx: ctx, arrival: a, rec: rec}
				jobs[next].at = sent
				next++
			},
			"acknowledge": func(t *rapid.T) { answer(t, httpOutcomeSucceeded) },
			"refuse":      func(t *rapid.T) { answer(t, httpOutcomeHTTPError) },
			"call": func(t *rapid.T) {
				seq := rapid.IntRange(0, len(jobs)+1).Draw(t, "seq")
				d.called(uint64(seq), hearing{failed: rapid.Bool().Draw(t, "failed")})
				d.books.calls.Add(1)
				calls++
				if seq < next {
					jobs[seq].heard++
					if jobs[seq].at == waiting {
						jobs[seq].at = ended
					}
				}
			},
			"": func(t *rapid.T) {
				var pending, firsts, again int64
				for seq, j := range jobs {
					over := j.at == ended || j.at == refused
					if (j.overs == 1) != over || j.overs > 1 {
						t.Fatalf("job %s: %+v", scenario.ArrivalID(0, uint64(seq)), j)
					}
					if j.at == waiting {
						pending++
					}
					if j.heard > 0 {
						firsts++
						again += int64(j.heard - 1)
					}
				}
				b := &d.books
				if d.jobs.pending.Load() != pending || b.firsts.Load() != firsts || b.duplicates.Load() != again ||
					firsts+again+b.strangers.Load() != int64(calls) {
					t.Fatalf("%d pending, %d first, %d again and %d strange calls of %d; want %d, %d and %d",
						d.jobs.pending.Load(), b.firsts.Load(), b.duplicates.Load(), b.strangers.Load(), calls, pending, firsts, again)
				}
			},
		})
		cut()
		d.leave()
		b := &d.books
		if sum := b.completed.Load() + b.failed.Load() + b.lost.Load() + b.unfinished.Load(); sum != int64(acked) || b.acknowledged.Load() != sum || d.jobs.pending.Load() != 0 {
			t.Fatalf("%d acknowledged, %d counted, %d ended, %d pending", acked, b.acknowledged.Load(), sum, d.jobs.pending.Load())
		}
	})
}
