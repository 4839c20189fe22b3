package cron

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/refserver/store"
	"github.com/edgeload/edgeload/internal/refserver/truth"
)

// A minute job gains a run for each time it fires while one lasts, and has them
// back to back.
func TestOverlapOfMinutes(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.answer = func(ctx context.Context, c Call) (int, error) {
			if c.Scheduled.Equal(epoch.Add(time.Minute)) {
				return answers(200, 3*time.Minute+30*time.Second)(ctx, c)
			}
			return answers(200, 5*time.Second)(ctx, c)
		}
		s, stop := b.start(Options{Timeout: time.Hour})
		b.schedule(s, "slow", "* * * * *")
		time.Sleep(6*time.Minute + 30*time.Second)
		stop()
		want(t, "instants", steps(time.Minute, 6*time.Minute, time.Minute), b.scheduled("slow"))
		var at []time.Duration
		for _, c := range b.at {
			at = append(at, c.Sub(epoch))
		}
		first := 4*time.Minute + 30*time.Second
		want(t, "calls", []time.Duration{
			time.Minute, first, first + 5*time.Second, first + 10*time.Second, 5 * time.Minute, 6 * time.Minute,
		}, at)
		if b.most != 1 {
			t.Errorf("%d runs of one job at once", b.most)
		}
		want(t, "events", map[string]int{"fired": 6, "succeeded": 6, "pending": 3}, b.events("slow"))
	})
}

// A job of seconds has at most one run that is due.
func TestOverlapOfSeconds(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.answer = func(ctx context.Context, c Call) (int, error) {
			if c.Scheduled.Equal(epoch.Add(10 * time.Second)) {
				return answers(200, 35*time.Second)(ctx, c)
			}
			return answers(200, time.Second)(ctx, c)
		}
		s, stop := b.start(Options{Timeout: time.Hour})
		b.schedule(s, "slow", "10 seconds")
		time.Sleep(61 * time.Second)
		stop()
		want(t, "instants", []time.Duration{10 * time.Second, 20 * time.Second, 50 * time.Second, 60 * time.Second}, b.scheduled("slow"))
		if at := b.at[1].Sub(epoch); at != 45*time.Second {
			t.Errorf("the run that was due began at %s", at)
		}
		if e := b.events("slow"); e["skipped_overlap"] != 2 || e["pending"] != 1 {
			t.Errorf("%v", e)
		}
	})
}

func TestMaxRunning(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.answer = answers(200, 10*time.Second)
		s, stop := b.start(Options{Timeout: time.Hour})
		for i := range 40 {
			b.schedule(s, fmt.Sprint("job-", i), "* * * * *")
		}
		time.Sleep(65 * time.Second)
		want(t, "stats", Stats{Leading: true, Running: 32, Due: 8}, s.Stats())
		time.Sleep(10 * time.Second)
		want(t, "stats", Stats{Leading: true, Running: 8}, s.Stats())
		time.Sleep(15 * time.Second)
		stop()
		want(t, "stats", Stats{}, s.Stats())
		if b.most != 32 || len(b.calls) != 40 {
			t.Errorf("%d runs, %d at once", len(b.calls), b.most)
		}
		pending := 0
		for i := range 40 {
			pending += b.events(fmt.Sprint("job-", i))["pending"]
		}
		want(t, "pending", 8, pending)
	})
}

// What is due and has not begun when the leader ends is not lost in silence.
func TestMissedAtTheEnd(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.answer = answers(200, time.Hour)
		s, stop := b.start(Options{Timeout: 2 * time.Hour})
		b.schedule(s, "seconds", "1 seconds")
		b.schedule(s, "minutes", "* * * * *")
		time.Sleep(3*time.Minute + 500*time.Millisecond)
		stop()
		want(t, "events of seconds", map[string]int{"fired": 1, "failed": 1, "pending": 1, "skipped_overlap": 178, "missed": 1}, b.events("seconds"))
		want(t, "events of minutes", map[string]int{"fired": 1, "failed": 1, "pending": 2, "missed": 2}, b.events("minutes"))
		want(t, "missed", []string{"2m0s the scheduler shuts down", "3m0s the scheduler shuts down"}, b.details("minutes", "missed"))
	})
}

// However many they are, they are few records.
func TestMissedIsBounded(t *testing.T) {
	var records []truth.Record
	s := New(Options{})
	s.add = func(r truth.Record) { records = append(records, r) }
	leader := &term{s: s, tasks: map[int64]*task{}}
	begin := func(id int64, name string, due int) *task {
		one := new(task)
		one.update(store.Job{ID: id, Name: name, Schedule: "* * * * *", Active: true}, epoch)
		for i := range due {
			one.backlog.push(one.schedule, epoch.Add(time.Duration(i)*time.Minute))
		}
		leader.tasks[id] = one
		return one
	}
	told := func() (out []string) {
		for _, r := range records {
			out = append(out, fmt.Sprint(r.Name, " ", r.Due.Sub(epoch), " ", r.Detail))
		}
		records = nil
		return out
	}
	canceled := begin(1, "canceled", maxMissed+1)
	leader.stop(canceled)
	want(t, "canceled", []string{"canceled 16h40m0s job canceled: 1001 instants up to this one"}, told())
	begin(2, "second", maxMissed/2)
	begin(3, "third", maxMissed/2+1)
	leader.giveUpAll(errShutdown)
	want(t, "at the end", []string{
		"second 8h19m0s the scheduler shuts down: 500 instants up to this one",
		"third 8h20m0s the scheduler shuts down: 501 instants up to this one",
	}, told())
	begin(4, "fourth", maxMissed)
	leader.giveUpAll(errShutdown)
	want(t, "within the bound", maxMissed, len(told()))
}

// What a tick that fails has fired is the next leader's, who makes up for it; what
// waited before is missed.
func TestMissedWhereTheLeaseIsLost(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.answer = answers(200, 10*time.Second)
		s, stop := b.start(Options{MaxRunning: 1, Timeout: time.Hour})
		b.schedule(s, "a", "30 seconds")
		b.schedule(s, "b", "30 seconds")
		time.Sleep(35 * time.Second) // a runs, b waits
		b.usurp()
		time.Sleep(10 * time.Second)
		stop()
		want(t, "events of a", map[string]int{"fired": 1, "failed": 1}, b.events("a"))
		want(t, "events of b", map[string]int{"pending": 1, "missed": 1}, b.events("b"))
	})
	inBubble(t, func(b *bench) {
		s, stop := b.start(Options{})
		b.schedule(s, "j", "* * * * *")
		b.schedule(s, "k", "* * * * *")
		time.Sleep(59*time.Second + 500*time.Millisecond)
		b.usurp() // the tick of 1:00 finds out
		time.Sleep(4 * time.Second)
		stop()
		for _, job := range []string{"j", "k"} {
			want(t, job, minutes(1), b.scheduled(job))
			want(t, "events of "+job, map[string]int{"fired": 1, "succeeded": 1}, b.events(job))
		}
	})
}

// A leader that stood still while another led fires nothing and calls nothing missed:
// what fell due is the other's.
func TestDeposedWhileItStoodStill(t *testing.T) {
	inBubble(t, func(b *bench) {
		s, stop := b.start(Options{})
		b.schedule(s, "j", "1 seconds")
		time.Sleep(3*time.Second + 500*time.Millisecond)
		before := b.events("j")
		b.usurp()
		b.leap(20 * time.Second)
		time.Sleep(time.Second)
		stop()
		want(t, "events", before, b.events("j"))
	})
}
