package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// ticks streams a line every interval until its request ends.
func ticks(interval time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			_, _ = fmt.Fprintln(w, InvocationOf(r.Context()).Worker().ID())
			_ = http.NewResponseController(w).Flush()
			select {
			case <-ticker.C:
			case <-r.Context().Done():
				return
			}
		}
	}
}

func TestWallClockOfEachProfile(t *testing.T) {
	for profile, wall := range map[string]time.Duration{"supabase-free": 150 * time.Second, "supabase-pro": 400 * time.Second} {
		t.Run(profile, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				limits := limitsOf(t, profile)
				s, ledger := one(t, Options{Limits: limits}, handler(func(w http.ResponseWriter, r *http.Request) {
					switch r.URL.Path {
					case PathFunctions + "f/stream":
						ticks(9*time.Second)(w, r)
					case PathFunctions + "f/silent":
						<-r.Context().Done()
						if end := new(EndError); profile == "supabase-free" && (!errors.As(context.Cause(r.Context()), &end) || end.Reason != ReasonWallClock) {
							t.Errorf("the request ended with %v", context.Cause(r.Context()))
						}
					default:
						_, _ = fmt.Fprint(w, InvocationOf(r.Context()).Worker().ID())
					}
				}))
				start := time.Now()
				var wg sync.WaitGroup
				wg.Go(func() {
					r := call(s, "f/stream")
					if !r.cut || time.Since(start) != wall || r.Code != 200 {
						t.Errorf("stream: cut %t after %s with %d", r.cut, time.Since(start), r.Code)
					}
					if lines := strings.Count(r.Body.String(), "1\n"); lines != int(wall/(9*time.Second))+1 {
						t.Errorf("the stream had %d lines", lines)
					}
				})
				time.Sleep(wall/2 - time.Second)
				if r := call(s, "f"); r.Body.String() != "1" {
					t.Errorf("before half of the wall clock: worker %s", r.Body)
				}
				wg.Go(func() { // its worker ends before the idle timeout only in the first
					r := call(s, "f/silent")
					if profile == "supabase-free" && (r.Code != 546 || r.code() != CodeWorkerLimit || time.Since(start) != wall || r.cut) {
						t.Errorf("silent: %d %s after %s", r.Code, r.code(), time.Since(start))
					}
					if profile == "supabase-pro" && (r.Code != 504 || r.code() != CodeIdleTimeout || time.Since(start) != wall/2-time.Second+limits.RequestIdle) {
						t.Errorf("silent: %d %s after %s", r.Code, r.code(), time.Since(start))
					}
				})
				time.Sleep(2 * time.Second)
				if r := call(s, "f"); r.Body.String() != "2" {
					t.Errorf("after half of the wall clock: worker %s", r.Body)
				}
				wg.Wait()
				synctest.Wait()
				want := []string{"1 booted", "1 retired: half of the wall clock has passed", "2 booted", "1 beforeunload: wall_clock", "1 killed: wall_clock"}
				if diff := cmp.Diff(want, events(ledger)); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// sockets takes the connection over and reads it to its end. With ?hold=d it keeps a
// background task for that long.
func sockets(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if hold := r.URL.Query().Get("hold"); hold != "" {
			d, _ := time.ParseDuration(hold)
			err := InvocationOf(r.Context()).WaitUntil(func(ctx context.Context) {
				select {
				case <-time.After(d):
				case <-ctx.Done():
				}
			})
			if err != nil {
				t.Error(err)
			}
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
	}
}

func TestSocketDropsAtHalfOfTheWallClockUnlessATaskIsPending(t *testing.T) {
	for _, tc := range []struct {
		query string
		want  time.Duration
		event string
		lost  uint64
	}{
		{"", 75 * time.Second, "1 early_drop: half of the wall clock has passed", 0},
		{"?hold=50s", 75 * time.Second, "1 early_drop: half of the wall clock has passed", 0},
		{"?hold=100s", 100 * time.Second, "1 early_drop: half of the wall clock has passed", 0},
		{"?hold=1000s", 150 * time.Second, "1 killed: wall_clock", 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, ledger := one(t, Options{Limits: limitsOf(t, "supabase-free")}, handler(sockets(t)))
			start := time.Now()
			conn, done := upgrade(s, "f"+tc.query)
			got, err := io.ReadAll(conn)
			if len(got) > 0 || err != nil || time.Since(start) != tc.want {
				t.Errorf("%q: read %q, %v after %s, want nothing after %s", tc.query, got, err, time.Since(start), tc.want)
			}
			<-done
			synctest.Wait()
			all := events(ledger)
			if all[len(all)-1] != tc.event {
				t.Errorf("%q: %v", tc.query, all)
			}
			if st := s.Stats()[0]; st.TasksLost != tc.lost || st.RequestsKilled != 0 || st.SocketsNow != 0 {
				t.Errorf("%q: %+v", tc.query, st)
			}
		})
	}
}

func TestRequestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := one(t, Options{Limits: Limits{RequestIdle: 150 * time.Second}}, handler(func(w http.ResponseWriter, r *http.Request) {
			var pauses []time.Duration
			switch r.URL.Path {
			case PathFunctions + "f/late": // just in time, again and again
				pauses = []time.Duration{149 * time.Second, 149 * time.Second, 149 * time.Second}
			case PathFunctions + "f/stalls":
				pauses = []time.Duration{40 * time.Second, 151 * time.Second}
			case PathFunctions + "f/silent":
				pauses = []time.Duration{151 * time.Second}
			}
			for _, pause := range pauses {
				select {
				case <-time.After(pause):
				case <-r.Context().Done():
					if _, err := io.WriteString(w, "after the end"); err == nil {
						t.Error("a write after the end succeeded")
					}
					panic(http.ErrAbortHandler) // as a proxy does whose upstream broke off
				}
				_, _ = io.WriteString(w, "x")
				_ = http.NewResponseController(w).Flush()
			}
		}))
		for _, tc := range []struct {
			path, body, code string
			status           int
			after            time.Duration
		}{
			{"f/late", "xxx", "", 200, 447 * time.Second},
			{"f/stalls", "x", "", 200, 190 * time.Second},
			{"f/silent", `{"code":"IDLE_TIMEOUT",`, CodeIdleTimeout, 504, 150 * time.Second},
		} {
			start := time.Now()
			r := call(s, tc.path)
			if r.cut || r.Code != tc.status || r.code() != tc.code || !strings.HasPrefix(r.Body.String(), tc.body) || time.Since(start) != tc.after {
				t.Errorf("%s: cut %t, %d %s %q after %s", tc.path, r.cut, r.Code, r.code(), r.Body, time.Since(start))
			}
		}
		if st := s.Stats()[0]; st.IdleTimeouts != 2 || len(st.Workers) != 1 {
			t.Errorf("%+v", st)
		}
	})
}

func TestRoundRobinAndOwnMemory(t *testing.T) {
	s, _ := one(t, Options{Workers: 4}, func(w *Worker) (http.Handler, error) {
		n := 0 // the worker's memory
		return http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			n++
			_, _ = fmt.Fprintf(rw, "%d:%d", w.ID(), n)
		}), nil
	})
	for i := range 12 {
		if want, got := fmt.Sprintf("%d:%d", i%4+1, i/4+1), call(s, "f").Body.String(); got != want {
			t.Errorf("request %d: %s, want %s", i, got, want)
		}
	}
}

func TestPerRequestWaitsForAFreeWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := Limits{Policy: PerRequest, RequestWait: 10 * time.Second}
		s, _ := one(t, Options{Workers: 2, Limits: limits, MaxWaiting: 2}, handler(func(w http.ResponseWriter, r *http.Request) {
			inv := InvocationOf(r.Context())
			if s := r.URL.Query().Get("socket"); s != "" {
				sockets(t)(w, r)
				return
			}
			d, _ := time.ParseDuration(r.URL.Query().Get("sleep"))
			time.Sleep(d)
			_, _ = fmt.Fprint(w, inv.Worker().ID())
		}))
		start := time.Now()
		var wg sync.WaitGroup
		at := func(path string, after time.Duration, status int) {
			wg.Go(func() {
				r := call(s, path)
				if r.Code != status || time.Since(start) != after || (status == 503) != (r.code() == CodeBootError) {
					t.Errorf("%s: %d %s after %s, want %d after %s", path, r.Code, r.code(), time.Since(start), status, after)
				}
			})
			synctest.Wait()
		}
		at("f?sleep=4s", 4*time.Second, 200)
		at("f?sleep=30s", 30*time.Second, 200)
		at("f?sleep=20s", 24*time.Second, 200) // when the first is done
		at("f", 10*time.Second, 503)           // both are taken for longer than it waits
		at("f", 0, 503)                        // the queue is full
		time.Sleep(5 * time.Second)
		ctx, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		wg.Go(func() { callIn(ctx, s, "f") }) // leaves
		wg.Wait()
		if st := s.Stats()[0]; st.RequestsRefused != 3 || st.RequestsWaited != 3 || st.WaitingNow != 0 || st.Booted != 2 || st.RequestsNow != 0 {
			t.Errorf("%+v", st)
		}
		// An upgrade acknowledges its request: the worker is free for others.
		conn, done := upgrade(s, "f?socket=1")
		_, other := upgrade(s, "f?socket=1")
		start = time.Now()
		at("f", 0, 200)
		wg.Wait()
		_ = conn.Close()
		<-done
		_ = s.Close()
		<-other
	})
}

func TestOneShotDiesAtItsRequestsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended []error
		s, ledger := one(t, Options{Workers: 1, Limits: Limits{Policy: OneShot}}, handler(func(w http.ResponseWriter, r *http.Request) {
			inv := InvocationOf(r.Context())
			if err := inv.WaitUntil(func(ctx context.Context) { <-ctx.Done(); ended = append(ended, context.Cause(ctx)) }); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
			_, _ = fmt.Fprint(w, inv.Worker().ID())
		}))
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 3 { // one after the other: one worker at once
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				if r := call(s, "f"); r.Body.String() != fmt.Sprint(i+1) || time.Since(start) != time.Duration(i+1)*time.Second {
					t.Errorf("request %d: worker %s after %s", i, r.Body, time.Since(start))
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		if st := s.Stats()[0]; st.TasksLost != 3 || st.TasksSettled != 0 || st.EarlyDropped != 3 || len(st.Workers) != 0 || len(ended) != 3 {
			t.Errorf("%+v, %v", st, ended)
		}
		if all := events(ledger); len(all) != 6 || all[1] != "1 early_drop: its request has ended" {
			t.Errorf("%v", all)
		}
	})
}

func TestColdStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := one(t, Options{ColdStart: 300 * time.Millisecond}, handler(func(http.ResponseWriter, *http.Request) {}))
		for _, want := range []time.Duration{300 * time.Millisecond, 0} {
			var wg sync.WaitGroup
			start := time.Now()
			for range 20 {
				wg.Go(func() {
					if r := call(s, "f"); r.Code != 200 || time.Since(start) != want {
						t.Errorf("%d after %s, want %s", r.Code, time.Since(start), want)
					}
				})
			}
			wg.Wait()
		}
		if st := s.Stats()[0]; st.Booted != 1 || st.Workers[0].Requests != 40 {
			t.Errorf("%+v", st)
		}
	})
}

func TestBootErrorsAndTheBootFault(t *testing.T) {
	fail := true
	s, ledger := one(t, Options{}, func(*Worker) (http.Handler, error) {
		if fail {
			return nil, errors.New("import map is missing")
		}
		return http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), nil
	})
	want := func(status int, code string) {
		t.Helper()
		if r := call(s, "f"); r.Code != status || r.code() != code || strings.Contains(r.Body.String(), "import map") {
			t.Errorf("%d %s %s, want %d %s", r.Code, r.code(), r.Body, status, code)
		}
	}
	want(503, CodeBootError)
	fail = false
	want(200, "")
	if err := s.SetBootFault("f", true); err != nil {
		t.Fatal(err)
	}
	want(503, CodeBootError)
	if !s.Stats()[0].BootFault {
		t.Error("the fault does not show")
	}
	if err := s.SetBootFault("f", false); err != nil {
		t.Fatal(err)
	}
	want(200, "")
	if err := s.SetBootFault("nope", true); err == nil {
		t.Error("a function that is not served has a fault")
	}
	if diff := cmp.Diff([]string{
		"1 boot_failed: import map is missing", "2 booted", "2 retired: the boot fault was switched on", "2 beforeunload: early_drop", "2 early_drop: the boot fault was switched on",
		"3 boot_failed: the boot fault is switched on", "4 booted",
	}, events(ledger)); diff != "" {
		t.Error(diff)
	}
}

func TestBeforeUnload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var heard []string
		start := time.Now()
		s, ledger := one(t, Options{Limits: Limits{WallClock: 100 * time.Second, Memory: 1000}}, func(w *Worker) (http.Handler, error) {
			w.OnBeforeUnload(func(reason Reason) {
				mu.Lock()
				defer mu.Unlock()
				heard = append(heard, fmt.Sprintf("%d %s %s", w.ID(), reason, time.Since(start)))
				if w.Context().Err() != nil {
					t.Errorf("worker %d was dead before its %s", w.ID(), reason)
				}
			})
			return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				inv := InvocationOf(r.Context())
				switch r.URL.RawQuery {
				case "long":
					<-r.Context().Done()
				case "memory":
					if err := inv.Hold(899); err != nil {
						t.Error(err)
					}
					if err := inv.Hold(1); err != nil {
						t.Error(err)
					}
				case "task":
					if err := inv.WaitUntil(func(ctx context.Context) { time.Sleep(5 * time.Second) }); err != nil {
						t.Error(err)
					}
				}
			}), nil
		})
		call(s, "f?long")                                // 1: wall clock at 90 s, killed at 100 s
		call(s, "f")                                     // 2: dropped at 150 s
		time.Sleep(51 * time.Second)                     // 151 s
		call(s, "f?memory")                              // 3: at nine tenths of the memory, then dropped, as it used more than half
		synctest.Wait()                                  //
		call(s, "f?task")                                // 4
		time.Sleep(time.Second)                          // 152 s
		if err := s.Terminate(t.Context()); err != nil { // waits for the task
			t.Error(err)
		}
		if time.Since(start) != 156*time.Second {
			t.Errorf("terminated after %s", time.Since(start))
		}
		if diff := cmp.Diff([]string{
			"1 wall_clock 1m30s", "2 early_drop 2m30s", "3 memory 2m31s", "3 early_drop 2m31s", "4 termination 2m32s",
		}, heard); diff != "" {
			t.Error(diff)
		}
		var due []string
		for _, e := range events(ledger) {
			if strings.Contains(e, " beforeunload: ") {
				due = append(due, e)
			}
		}
		if diff := cmp.Diff([]string{
			"1 beforeunload: wall_clock", "2 beforeunload: early_drop",
			"3 beforeunload: memory", "3 beforeunload: early_drop", "4 beforeunload: termination",
		}, due); diff != "" {
			t.Error(diff)
		}
	})
}

func TestTerminate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, ledger := one(t, Options{Workers: 3}, handler(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.RawQuery == "socket" {
				sockets(t)(w, r)
				return
			}
			d, _ := time.ParseDuration(r.URL.RawQuery)
			if err := InvocationOf(r.Context()).WaitUntil(func(ctx context.Context) {
				select {
				case <-time.After(d):
				case <-ctx.Done():
					if end := new(EndError); !errors.As(context.Cause(ctx), &end) || end.Reason != ReasonTermination {
						t.Errorf("the task ended with %v", context.Cause(ctx))
					}
				}
			}); err != nil {
				t.Error(err)
			}
		}))
		call(s, "f?5s")
		call(s, "f?60s")
		conn, done := upgrade(s, "f?socket")
		synctest.Wait()
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		err := s.Terminate(ctx)
		if time.Since(start) != 15*time.Second || err == nil || !strings.Contains(err.Error(), "1 requests and sockets cut, 1 background tasks lost") {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		<-done
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
			t.Errorf("the socket is open: %v", err)
		}
		if r := call(s, "f"); r.Code != 503 {
			t.Errorf("after the end: %d", r.Code)
		}
		if st := s.Stats()[0]; st.TasksSettled != 1 || st.TasksLost != 1 || st.Terminated != 3 || len(st.Workers) != 0 {
			t.Errorf("%+v in %v", st, events(ledger))
		}
	})
}

func TestTooManyTasks(t *testing.T) {
	release := make(chan struct{})
	s, _ := one(t, Options{MaxTasks: 2}, handler(func(w http.ResponseWriter, r *http.Request) {
		if err := InvocationOf(r.Context()).WaitUntil(func(context.Context) { <-release }); err != nil {
			if !errors.Is(err, ErrTooManyTasks) {
				t.Error(err)
			}
			WriteError(w, 503, "", err.Error())
		}
	}))
	for i, want := range []int{200, 200, 503, 503} {
		if r := call(s, "f"); r.Code != want {
			t.Errorf("request %d: %d, want %d", i, r.Code, want)
		}
	}
	if st := s.Stats()[0]; st.TasksBegun != 2 || st.TasksPending != 2 || st.TasksRefused != 2 {
		t.Errorf("%+v", st)
	}
	close(release)
	if err := s.Terminate(t.Context()); err != nil || s.Stats()[0].TasksSettled != 2 {
		t.Errorf("%v, %+v", err, s.Stats()[0])
	}
}

func TestPanicOfATaskIsItsOwn(t *testing.T) {
	s, _ := one(t, Options{}, handler(func(_ http.ResponseWriter, r *http.Request) {
		if err := InvocationOf(r.Context()).WaitUntil(func(context.Context) { panic("boom") }); err != nil {
			t.Error(err)
		}
	}))
	call(s, "f")
	if err := s.Terminate(t.Context()); err != nil || s.Stats()[0].TasksSettled != 1 {
		t.Errorf("%v, %+v", err, s.Stats()[0])
	}
}
