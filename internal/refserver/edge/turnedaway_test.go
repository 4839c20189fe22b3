package edge

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Requests that get no worker are in the statistics, each once.
func TestWhoGetsNoWorkerIsCounted(t *testing.T) {
	type sums struct{ refused, idle, killed uint64 }
	for name, tc := range map[string]struct {
		opts     Options
		requests int
		act      func(t *testing.T, s *Server, leave func())
		status   int
		want     sums
	}{
		"idle while the worker boots": {
			opts: Options{ColdStart: 3 * time.Second, Limits: Limits{RequestIdle: time.Second}}, requests: 2,
			status: 504, want: sums{idle: 2},
		},
		"idle while others have the worker": {
			opts: Options{Limits: Limits{Policy: PerRequest, RequestIdle: time.Second}}, requests: 3,
			status: 504, want: sums{idle: 3}, // the first is idle in its worker
		},
		"the wait is over while the worker boots": {
			opts: Options{ColdStart: 3 * time.Second, Limits: Limits{RequestWait: time.Second}}, requests: 2,
			status: 503, want: sums{refused: 2},
		},
		"the boot fault": {
			opts: Options{ColdStart: time.Second}, requests: 3,
			act:    func(t *testing.T, s *Server, _ func()) { fault(t, s, true) },
			status: 503, want: sums{refused: 3},
		},
		"clients leave while the worker boots": {
			opts: Options{ColdStart: time.Second}, requests: 3,
			act:    func(_ *testing.T, _ *Server, leave func()) { leave() },
			status: 503, want: sums{refused: 3},
		},
		"the server ends while the worker boots": {
			opts: Options{ColdStart: time.Second}, requests: 3,
			act:    func(_ *testing.T, s *Server, _ func()) { _ = s.Close() }, // says what it cut
			status: 503, want: sums{killed: 3},
		},
		"the server ends while they wait for a worker": {
			opts: Options{ColdStart: time.Second, Limits: Limits{Policy: PerRequest}}, requests: 3,
			act:    func(_ *testing.T, s *Server, _ func()) { _ = s.Close() },
			status: 503, want: sums{killed: 1, refused: 2},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _ := one(t, tc.opts, handler(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				var wg sync.WaitGroup
				for range tc.requests {
					wg.Go(func() {
						if r := callIn(ctx, s, "f"); r.Code != tc.status {
							t.Errorf("answered %d %s, want %d", r.Code, r.Body, tc.status)
						}
					})
				}
				synctest.Wait()
				if tc.act != nil {
					tc.act(t, s, leave)
				}
				wg.Wait()
				if st := s.Stats()[0]; (sums{st.RequestsRefused, st.IdleTimeouts, st.RequestsKilled}) != tc.want {
					t.Errorf("%+v, want %+v", st, tc.want)
				}
			})
		})
	}
}

// A response that is too large and whose function is slow to return is one or the
// other, not both.
func TestTooBigAndKilledIsCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := one(t, Options{Limits: Limits{ResponseBytes: 10, WallClock: time.Second}}, handler(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(make([]byte, 11))
			time.Sleep(2 * time.Second)
		}))
		if r := call(s, "f"); r.Code != StatusLimit {
			t.Errorf("answered %d", r.Code)
		}
		if st := s.Stats()[0]; st.RequestsKilled != 1 || st.TooBig != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// A request that gets its worker just as its wait ends does not wait on for the boot.
func TestWaitEndsAsTheWorkerIsGiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := one(t, Options{ColdStart: time.Hour, Limits: Limits{RequestWait: time.Second}}, handler(func(http.ResponseWriter, *http.Request) {}))
		p := s.pools[0]
		for range 50 { // either of the two may be seen first
			late := make(chan time.Time, 1)
			late <- time.Now()
			inv := &Invocation{cancel: func(error) {}}
			w := &waiter{inv: inv, given: make(chan error, 1)}
			p.mu.Lock()
			p.admit(inv)
			w.given <- nil
			p.unlock()
			start := time.Now()
			err := p.await(t.Context(), w, late)
			if err == nil {
				err = p.awaitBoot(t.Context(), inv, late)
			}
			if !errors.Is(err, errNoWorker) || time.Since(start) != 0 {
				t.Fatalf("%v after %s, want %v at once", err, time.Since(start), errNoWorker)
			}
		}
		if st := s.Stats()[0]; st.RequestsRefused != 50 || st.RequestsNow != 0 {
			t.Errorf("%+v", st)
		}
	})
}
