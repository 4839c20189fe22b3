package cron

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/refserver/store"
)

// @reboot fires where a process starts, not where one that stood by takes over.
// Down time is not replayed; a takeover leaves nothing out.
func TestStartAndTakeover(t *testing.T) {
	inBubble(t, func(b *bench) {
		first, stopFirst := b.start(Options{})
		time.Sleep(100 * time.Millisecond)
		b.schedule(first, "boot", "@reboot")
		b.schedule(first, "j", "* * * * *")
		b.schedule(first, "s", "1 seconds")
		time.Sleep(59*time.Second + 800*time.Millisecond)
		want(t, "after the start", 0, len(b.scheduled("boot")))
		stopFirst() // nothing is fired at 1:00
		time.Sleep(time.Second)

		second, stopSecond := b.start(Options{}) // 1:00.9, within Takeover
		time.Sleep(time.Second)
		want(t, "caught up", minutes(1), b.scheduled("j"))
		want(t, "@reboot of the second", 1, len(b.scheduled("boot")))
		if !second.Stats().Leading || first.Stats().Leading {
			t.Errorf("the first leads: %v, the second: %v", first.Stats().Leading, second.Stats().Leading)
		}
		_, stopThird := b.start(Options{}) // stands by
		time.Sleep(57 * time.Second)
		stopSecond()
		time.Sleep(time.Minute) // the third has taken over
		want(t, "taken over", minutes(1, 2), b.scheduled("j"))
		want(t, "@reboot of who stood by", 1, len(b.scheduled("boot")))
		stopThird()

		time.Sleep(5 * time.Minute)
		_, stopFourth := b.start(Options{})
		time.Sleep(time.Minute)
		stopFourth()
		want(t, "down time is not replayed", minutes(1, 2, 8), b.scheduled("j"))
		want(t, "@reboot of the fourth", 2, len(b.scheduled("boot")))
		if e := b.events(""); e["leader_lost"] != 4 {
			t.Errorf("%v", e)
		}
		seconds := b.scheduled("s")
		if !slices.IsSorted(seconds) || len(slices.Compact(slices.Clone(seconds))) != len(seconds) {
			t.Errorf("instants of the job of seconds are fired twice: %v", seconds)
		}
	})
}

// What a leader has begun when it is killed is not begun again, though it had not
// come to say so; it is marked as failed, and what else fell due is made up for.
func TestKilledInATick(t *testing.T) {
	inBubble(t, func(b *bench) {
		time.Sleep(59 * time.Second)
		minute := epoch.Add(time.Minute)
		var ids [2]int64
		for i, name := range []string{"begun", "due"} {
			id, err := b.store.Schedule(b.t.Context(), name, "* * * * *", "digest")
			if err != nil {
				t.Fatal(err)
			}
			ids[i] = id
		}
		lease, err := b.store.Lead(b.t.Context(), "dead", leaseTTL)
		if err != nil {
			t.Fatal(err)
		}
		if err := lease.Tick(b.t.Context(), time.Now(), 0); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := lease.Begin(b.t.Context(), store.Run{JobID: ids[0], ScheduledAt: minute, StartTime: minute, Command: "digest"}); !ok || err != nil {
			t.Fatal(ok, err)
		}
		s, stop := b.start(Options{})
		time.Sleep(Takeover)
		if !s.Stats().Leading {
			t.Error("a dead leader's lease holds on")
		}
		stop()
		want(t, "begun", minutes(), b.scheduled("begun"))
		want(t, "events of what was begun", map[string]int{"lost": 1, "taken": 1}, b.events("begun"))
		want(t, "what is lost", []string{"1m0s server restarted"}, b.details("begun", "lost"))
		want(t, "due", minutes(1), b.scheduled("due"))
		runs, err := s.Runs(context.Background(), store.RunQuery{JobID: ids[0]})
		if err != nil || len(runs) != 1 || runs[0].Status != store.RunFailed || runs[0].ReturnMessage != "server restarted" {
			t.Errorf("%+v, %v", runs, err)
		}
	})
}
