package cron

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgeload/edgeload/internal/refserver/store"
)

func TestFiresOnTime(t *testing.T) {
	inBubble(t, func(b *bench) {
		s, stop := b.start(Options{})
		b.schedule(s, "minutely", "* * * * *")
		b.schedule(s, "even", "*/2 * * * *")
		b.schedule(s, "sevenths", "7 seconds")
		time.Sleep(5*time.Minute + 500*time.Millisecond)
		stop()
		want(t, "minutely", steps(time.Minute, 5*time.Minute, time.Minute), b.scheduled("minutely"))
		want(t, "even", steps(2*time.Minute, 5*time.Minute, 2*time.Minute), b.scheduled("even"))
		sevenths := b.scheduled("sevenths")
		if len(sevenths) < 42 || len(sevenths) > 43 {
			t.Errorf("%d runs of a job of 7 seconds in 5 minutes", len(sevenths))
		}
		for i, at := range sevenths {
			if i > 0 && at-sevenths[i-1] != 7*time.Second {
				t.Errorf("%s follows %s", at, sevenths[i-1])
			}
		}
		for i, c := range b.calls {
			if late := b.at[i].Sub(c.Scheduled); late != 0 {
				t.Errorf("%s was called %s late", c.Job, late)
			}
			if c.Function != "digest" || string(c.Body) != "{}" || c.RunID == 0 {
				t.Errorf("%+v", c)
			}
		}
		runs, err := s.Runs(context.Background(), store.RunQuery{})
		if err != nil || len(runs) != len(b.calls) {
			t.Fatalf("%d runs, %d calls, %v", len(runs), len(b.calls), err)
		}
		for _, r := range runs {
			if r.Status != store.RunSucceeded || r.ReturnMessage != "1 row" || r.HTTPStatus != 200 || !r.StartTime.Equal(r.ScheduledAt) || r.EndTime.Before(r.StartTime) {
				t.Errorf("%+v", r)
			}
		}
		want(t, "events", map[string]int{"fired": 5, "succeeded": 5}, b.events("minutely"))
	})
}

// What the function answers, or does not.
func TestOutcomes(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.answer = func(ctx context.Context, c Call) (int, error) {
			switch c.Job {
			case "broken":
				return 500, nil
			case "refused":
				return 0, errors.New("connection refused")
			}
			return answers(200, 20*time.Second)(ctx, c)
		}
		s, stop := b.start(Options{})
		for _, name := range []string{"broken", "refused", "stuck"} {
			b.schedule(s, name, "* * * * *")
		}
		if _, err := b.store.Schedule(b.t.Context(), "nonsense", "* * * * *", "SELECT 1"); err != nil {
			t.Fatal(err)
		}
		if _, err := b.store.Schedule(b.t.Context(), "never", "nonsense", "digest"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(90 * time.Second)
		stop()
		runs, err := s.Runs(context.Background(), store.RunQuery{})
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, r := range runs {
			got[fmt.Sprint(r.JobID)] = fmt.Sprintf("%s %s %d", r.Status, r.ReturnMessage, r.HTTPStatus)
		}
		want(t, "history", map[string]string{
			"1": "succeeded 1 row 500",
			"2": "failed connection refused 0",
			"3": "failed no answer within 5s 0",
			"4": `failed command "SELECT 1" is neither a function's name, with a JSON object behind it or not, nor SELECT net.http_post(…) 0`,
		}, got)
		for _, name := range []string{"broken", "refused", "stuck", "nonsense"} {
			want(t, name, map[string]int{"fired": 1, "failed": 1}, b.events(name))
		}
		want(t, "never", map[string]int{}, b.events("never"))
	})
}

func TestChangesAtRunTime(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.answer = answers(200, 30*time.Second)
		s, stop := b.start(Options{Timeout: time.Hour})
		time.Sleep(30 * time.Second)
		id := b.schedule(s, "j", "* * * * *")
		time.Sleep(40 * time.Second) // fired at 1:00
		if again := b.schedule(s, "j", "5 0 * * *"); again != id {
			t.Errorf("job %d is %d", id, again)
		}
		time.Sleep(4 * time.Minute) // fired at 5:00, still running at 5:10
		off, on := false, true
		if err := s.Alter(b.t.Context(), id, store.Alteration{Active: &off}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		b.mu.Lock()
		if b.atOnce != 0 {
			t.Error("a run of an inactive job goes on")
		}
		b.mu.Unlock()
		every := "* * * * *"
		time.Sleep(time.Minute)
		if err := s.Alter(b.t.Context(), id, store.Alteration{Active: &on, Schedule: &every}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // fired at 7:00
		if err := s.UnscheduleName(b.t.Context(), "j"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		stop()
		want(t, "instants", minutes(1, 5, 7), b.scheduled("j"))
		runs, err := s.Runs(context.Background(), store.RunQuery{})
		if err != nil || len(runs) != 3 {
			t.Fatalf("%+v, %v", runs, err)
		}
		var messages []string
		for _, r := range runs {
			messages = append(messages, r.Status+" "+r.ReturnMessage)
		}
		want(t, "history", []string{"failed job canceled", "failed job canceled", "succeeded 1 row"}, messages)
		if err := s.Unschedule(b.t.Context(), id); !errors.Is(err, store.ErrNoJob) {
			t.Errorf("unscheduled twice: %v", err)
		}
		bad, empty := "61 * * * *", ""
		for what, err := range map[string]error{
			"schedule": s.Alter(b.t.Context(), id, store.Alteration{Schedule: &bad}),
			"command":  s.Alter(b.t.Context(), id, store.Alteration{Command: &empty}),
		} {
			if err == nil || errors.Is(err, store.ErrNoJob) {
				t.Errorf("a bad %s: %v", what, err)
			}
		}
	})
}

func TestLocation(t *testing.T) {
	inBubble(t, func(b *bench) {
		s, stop := b.start(Options{Location: time.FixedZone("", 3*3600+1800)})
		b.schedule(s, "j", "35 3 * * *")
		time.Sleep(10 * time.Minute)
		stop()
		want(t, "instants", minutes(5), b.scheduled("j"))
	})
}
