package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
)

// block makes the writer stand still until the function that it returns is called.
func block(t *testing.T, s *Store) func() {
	t.Helper()
	begun, end, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- s.write(context.Background(), func(context.Context, querier) error {
			close(begun)
			<-end
			return nil
		})
	}()
	<-begun
	return func() {
		close(end)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// One that fails does not take others of its batch along.
func TestWriterFailsAlone(t *testing.T) {
	s := open(t, Memory)
	unblock := block(t, s)
	fails := errors.New("on purpose")
	var wg sync.WaitGroup
	for n := range 20 {
		wg.Go(func() {
			err := s.write(context.Background(), func(ctx context.Context, q querier) error {
				if _, err := q.ExecContext(ctx, s.sql(insertEvent), fmt.Sprint(n), "u", "e", stamp(noon)); err != nil {
					return err
				}
				if n%5 == 0 {
					return fails
				}
				_, err := q.ExecContext(ctx, s.sql(upsertMetric), "u", "e", stamp(noon))
				return err
			})
			if n%5 == 0 != errors.Is(err, fails) {
				t.Errorf("write %d: %v", n, err)
			}
		})
	}
	for len(s.sqlite.writer.queue) < 20 {
		if err := pause(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	unblock()
	wg.Wait()
	if done, err := jobsDone(t.Context(), s); done != 16 || err != nil {
		t.Errorf("%d written, %v", done, err)
	}
	wantClean(t, s)
}

// A caller that gives up while it waits has written nothing, be the queue full or not.
func TestWriterGivesUp(t *testing.T) {
	s := open(t, Memory)
	unblock := block(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	const waiting = queueLength + 10
	errs := make([]error, waiting)
	for n := range waiting {
		wg.Go(func() { errs[n] = s.UpdateUserMetrics(ctx, "u", "e", fmt.Sprint(n)) })
	}
	for s.WriteStats().Waited < 10 {
		if err := pause(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	if queued := len(s.sqlite.writer.queue); queued != queueLength {
		t.Errorf("%d are queued, the bound is %d", queued, queueLength)
	}
	cancel()
	wg.Wait()
	unblock()
	for n, err := range errs {
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("write %d: %v", n, err)
		}
	}
	if err := s.UpdateUserMetrics(t.Context(), "u", "e", "after"); err != nil {
		t.Fatal(err)
	}
	if done, err := jobsDone(t.Context(), s); done != 1 || err != nil {
		t.Errorf("%d written, %v", done, err)
	}
}

// Each write at the time of Close is either done or refused.
func TestWriterCloses(t *testing.T) {
	dsn := newFile(t)
	s, err := Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	written := int64(0)
	half := make(chan struct{})
	for w := range 20 {
		wg.Go(func() {
			for n := 0; ; n++ {
				err := s.UpdateUserMetrics(context.Background(), "u", "e", fmt.Sprint(w, "-", n))
				if err != nil {
					if !errors.Is(err, ErrClosed) {
						t.Errorf("write at the end: %v", err)
					}
					return
				}
				mu.Lock()
				if written++; written == 500 {
					close(half)
				}
				mu.Unlock()
			}
		})
	}
	<-half
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	s = open(t, dsn)
	if done, err := jobsDone(t.Context(), s); done != written || err != nil {
		t.Errorf("%d written, %d acknowledged, %v", done, written, err)
	}
	wantClean(t, s)
}
