package cron

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edgeload/edgeload/internal/refserver/store"
	"github.com/edgeload/edgeload/internal/refserver/truth"
)

// A bench runs schedulers on a database in memory, inside a bubble in which time is
// ours. The clock of the wall can be set apart from it.
type bench struct {
	t     *testing.T
	store *store.Store

	mu      sync.Mutex
	offset  time.Duration // of the wall clock
	calls   []Call
	at      []time.Time // of each call, by the bubble's clock
	atOnce  int
	most    int // calls at once
	records []truth.Record
	answer  func(ctx context.Context, c Call) (int, error)
}

// inBubble runs a test in a bubble, which begins on the minute.
func inBubble(t *testing.T, test func(b *bench)) {
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(t.Context(), store.Memory)
		if err != nil {
			t.Fatal(err)
		}
		b := &bench{t: t, store: s, answer: answers(200, 0)}
		test(b)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// answers is a function that takes so long.
func answers(status int, took time.Duration) func(context.Context, Call) (int, error) {
	return func(ctx context.Context, _ Call) (int, error) {
		select {
		case <-time.After(took):
			return status, nil
		case <-ctx.Done():
			return 0, fmt.Errorf("post: %w", ctx.Err())
		}
	}
}

// Call implements Caller.
func (b *bench) Call(ctx context.Context, c Call) (int, error) {
	b.mu.Lock()
	b.calls, b.at = append(b.calls, c), append(b.at, time.Now())
	b.atOnce++
	b.most = max(b.most, b.atOnce)
	answer := b.answer
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		b.atOnce--
		b.mu.Unlock()
	}()
	return answer(ctx, c)
}

// start runs a scheduler until the function that it returns is called.
func (b *bench) start(o Options) (*Scheduler, func()) {
	b.t.Helper()
	o.Store, o.Caller = b.store, b
	o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	s := New(o)
	s.now = func() time.Time {
		b.mu.Lock()
		defer b.mu.Unlock()
		return time.Now().Add(b.offset).Round(0)
	}
	s.add = func(r truth.Record) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.records = append(b.records, r)
	}
	ctx, cancel := context.WithCancel(b.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { s.Run(ctx) })
	return s, func() {
		cancel()
		wg.Wait()
	}
}

// leap sets the wall clock.
func (b *bench) leap(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.offset += d
}

// schedule adds a job.
func (b *bench) schedule(s *Scheduler, name, schedule string) int64 {
	b.t.Helper()
	id, err := s.Schedule(b.t.Context(), name, schedule, "digest")
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

// scheduled returns the instants that were fired of a job, in the order of the
// calls, as the offset from the bubble's beginning.
func (b *bench) scheduled(job string) []time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := []time.Duration{}
	for _, c := range b.calls {
		if c.Job == job {
			out = append(out, c.Scheduled.Sub(epoch))
		}
	}
	return out
}

// events counts the records of a job.
func (b *bench) events(job string) map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[string]int{}
	for _, r := range b.records {
		if r.Name == job {
			out[r.Event]++
		}
	}
	return out
}

// epoch is when bubbles begin.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// steps is from, from+by, …, up to and including to.
func steps(from, to, by time.Duration) []time.Duration {
	out := []time.Duration{}
	for ; from <= to; from += by {
		out = append(out, from)
	}
	return out
}

func want[T any](t *testing.T, what string, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

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
		if e := b.events("j"); e["missed"] != 1 {
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
		if !second.Leading() || first.Leading() {
			t.Errorf("the first leads: %v, the second: %v", first.Leading(), second.Leading())
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
		if !s.Leading() {
			t.Error("a dead leader's lease holds on")
		}
		stop()
		want(t, "begun", minutes(), b.scheduled("begun"))
		want(t, "events of what was begun", map[string]int{"taken": 1}, b.events("begun"))
		want(t, "due", minutes(1), b.scheduled("due"))
		runs, err := s.Runs(context.Background(), store.RunQuery{JobID: ids[0]})
		if err != nil || len(runs) != 1 || runs[0].Status != store.RunFailed || runs[0].ReturnMessage != "server restarted" {
			t.Errorf("%+v, %v", runs, err)
		}
	})
}
