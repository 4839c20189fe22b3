package cron

import (
	"context"
	"fmt"
	"testing"
	"time"
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
