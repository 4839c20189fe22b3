package engine

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"
)

// timers runs a test with an alarm and with Go's timers alone.
func timers(t *testing.T, test func(t *testing.T, c Clock, a *alarm)) {
	t.Run("alarm", func(t *testing.T) {
		c := NewClock()
		a := newAlarm(c, false)
		if a == nil {
			t.Fatal("no alarm on this system")
		}
		defer a.stop()
		test(t, c, a)
	})
	t.Run("plain", func(t *testing.T) { test(t, NewClock(), nil) })
}

func TestTimerNeverEarly(t *testing.T) {
	timers(t, func(t *testing.T, c Clock, a *alarm) {
		var wg sync.WaitGroup
		for g := range 20 {
			wg.Go(func() {
				timer := newTimer(c, a)
				for i := range 20 {
					at := c.Now() + time.Duration((g*7+i*3)%10)*300*time.Microsecond
					if !timer.Wait(t.Context(), at, nil) {
						t.Error("not waited to the end")
					}
					if now := c.Now(); now < at {
						t.Errorf("woken at %v, waited for %v", now, at)
					}
				}
			})
		}
		wg.Wait()
	})
}

func TestTimerIsLetGo(t *testing.T) {
	timers(t, func(t *testing.T, c Clock, a *alarm) {
		timer := newTimer(c, a)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		if timer.Wait(ctx, c.Now()+time.Hour, nil) {
			t.Error("an hour has passed")
		}
		stop := make(chan struct{})
		time.AfterFunc(5*time.Millisecond, func() { close(stop) })
		if timer.Wait(t.Context(), c.Now()+time.Hour, stop) {
			t.Error("an hour has passed")
		}
		if !timer.Wait(ctx, c.Now()-1, stop) {
			t.Error("an instant that has passed is there, whatever has ended")
		}
		// A timer that was let go waits anew, for the new instant.
		for range 50 {
			brief, cancel := context.WithTimeout(t.Context(), 300*time.Microsecond)
			timer.Wait(brief, c.Now()+300*time.Microsecond, nil) // ends either way
			cancel()
			at := c.Now() + time.Millisecond
			if !timer.Wait(t.Context(), at, nil) || c.Now() < at {
				t.Fatal("woken by an instant it had given up")
			}
		}
	})
}

// The reason for the alarm: on an idle process Go's timers are late by half a
// millisecond at the median.
func TestAlarmIsPunctual(t *testing.T) {
	timers(t, func(t *testing.T, c Clock, a *alarm) {
		timer := newTimer(c, a)
		var late []time.Duration
		for i := range 200 {
			at := c.Now() + 2*time.Millisecond + time.Duration(i%10)*100*time.Microsecond
			timer.Wait(t.Context(), at, nil)
			late = append(late, c.Now()-at)
		}
		slices.Sort(late)
		t.Logf("late by p50 %v, p90 %v, max %v", late[100], late[180], late[199])
		if a != nil && late[100] > time.Millisecond {
			t.Errorf("late by %v at the median", late[100])
		}
	})
}
