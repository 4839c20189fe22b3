package cron

import (
	"context"
	"fmt"
	"io"
	"log/slog"
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

// details are the instants of a job's records of an event, as the offset from the
// bubble's beginning, with why.
func (b *bench) details(job, event string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := []string{}
	for _, r := range b.records {
		if r.Name == job && r.Event == event {
			out = append(out, fmt.Sprint(r.Due.Sub(epoch), " ", r.Detail))
		}
	}
	return out
}

// usurp takes the lead from whoever has it, for a second: a lease that lasts longer
// than the one asked for counts as one from before the clock was set back.
func (b *bench) usurp() {
	b.t.Helper()
	if _, err := b.store.Lead(b.t.Context(), "usurper", time.Second); err != nil {
		b.t.Fatal(err)
	}
}
