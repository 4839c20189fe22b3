package cron

import (
	"context"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/refserver/store"
)

// Leaps of the clock by less than three hours, both ways, and by more.
func TestClockLeaps(t *testing.T) {
	for _, tc := range []struct {
		name            string
		leap            time.Duration
		wildcard, fixed []time.Duration // minutes fired after the leap, which is in minute 600
		laps            int64
	}{
		{"forward, caught up", 3 * time.Minute, minutes(601, 602, 603, 604), minutes(601, 602, 603, 604), 0},
		{"forward", 30 * time.Minute, minutes(630, 631), minutes(seq(601, 631)...), 0},
		{"forward beyond", 4 * time.Hour, minutes(840, 841), minutes(840, 841), 0},
		{"back", -30 * time.Minute, minutes(570, 571), minutes(), 1},
		{"back beyond", -4 * time.Hour, minutes(360, 361), minutes(360, 361), 1},
		{"back by seconds", -20 * time.Second, minutes(601), minutes(601), 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.leap(9*time.Hour + 30*time.Minute) // before anything begins
				s, stop := b.start(Options{})
				b.schedule(s, "wildcard", "* * * * *")
				b.schedule(s, "fixed", "0-59 0-23 * * *")
				time.Sleep(30*time.Minute + 30*time.Second)
				done := map[string]int{"wildcard": len(b.scheduled("wildcard")), "fixed": len(b.scheduled("fixed"))}
				want(t, "before", map[string]int{"wildcard": 30, "fixed": 30}, done)
				b.leap(tc.leap)
				time.Sleep(70 * time.Second)
				stop()
				want(t, "wildcard", tc.wildcard, b.scheduled("wildcard")[30:])
				want(t, "fixed", tc.fixed, b.scheduled("fixed")[30:])
				runs, err := s.Runs(context.Background(), store.RunQuery{Limit: 1})
				if err != nil || runs[0].Lap != tc.laps {
					t.Errorf("lap of %+v is not %d, %v", runs, tc.laps, err)
				}
			})
		})
	}
}

func minutes(ns ...int) []time.Duration {
	out := []time.Duration{}
	for _, n := range ns {
		out = append(out, time.Duration(n)*time.Minute)
	}
	return out
}

func seq(from, to int) (out []int) {
	for ; from <= to; from++ {
		out = append(out, from)
	}
	return out
}

// A job of seconds fires once for all that a leap skips, and waits where the clock
// is set back.
func TestClockLeapsOfSeconds(t *testing.T) {
	inBubble(t, func(b *bench) {
		s, stop := b.start(Options{})
		b.schedule(s, "j", "10 seconds")
		time.Sleep(15 * time.Second)
		b.leap(time.Minute)
		time.Sleep(10 * time.Second) // shows 1:25
		b.leap(-time.Minute + -10*time.Second)
		time.Sleep(70 * time.Second) // shows 1:25 again
		b.leap(-20 * time.Second)
		time.Sleep(26 * time.Second) // shows 1:31
		stop()
		want(t, "instants", []time.Duration{10 * time.Second, 70 * time.Second, 80 * time.Second, 90 * time.Second}, b.scheduled("j"))
		if e := b.events("j"); e["missed"] != 5 { // 0:20 to 1:00
			t.Errorf("%v", e)
		}
	})
}

// A scheduler that is late by a few seconds leaves no more out than the rule for runs
// that are due.
func TestLateBySeconds(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.answer = answers(200, 10*time.Millisecond)
		_, stop := b.start(Options{})
		time.Sleep(100 * time.Millisecond)
		if _, err := b.store.Schedule(b.t.Context(), "j", "1 seconds", "digest"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		b.leap(2 * time.Second) // as if it had stood still in between
		time.Sleep(time.Second)
		b.leap(4 * time.Second)
		time.Sleep(time.Second)
		stop()
		want(t, "instants", []time.Duration{2 * time.Second, 3 * time.Second, 4 * time.Second, 6 * time.Second, 7 * time.Second}, b.scheduled("j"))
		want(t, "events", map[string]int{"fired": 5, "succeeded": 5, "pending": 2, "skipped_overlap": 4}, b.events("j"))
	})
}
