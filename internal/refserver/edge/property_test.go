package edge

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/edgeload/edgeload/internal/refserver/truth"
)

// outcome is how a request ended: each in one way.
type outcome int

const (
	answered outcome = iota // by its function
	refused
	idle
	killed
	tooBig
)

// outcomeOf tells how a request ended from what its client saw.
func outcomeOf(t interface{ Errorf(string, ...any) }, r reply) outcome {
	body := r.Body.String()
	switch {
	case r.cut, r.Code == http.StatusServiceUnavailable && strings.Contains(body, "the worker ended"):
		return killed
	case r.Code == http.StatusServiceUnavailable:
		return refused
	case r.Code == http.StatusGatewayTimeout:
		return idle
	case r.Code == StatusLimit && strings.Contains(body, "the response is larger"):
		return tooBig
	case r.Code == StatusLimit:
		return killed
	case r.Code != http.StatusOK:
		t.Errorf("answered %d %s", r.Code, body)
	}
	return answered
}

// TestWorkerLife plays random traffic against random limits, and keeps the books of
// tasks, requests and workers beside the server's.
func TestWorkerLife(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		opts := Options{
			Workers:  rapid.IntRange(1, 3).Draw(rt, "workers"),
			MaxTasks: rapid.IntRange(1, 6).Draw(rt, "maxTasks"), MaxWaiting: rapid.IntRange(1, 4).Draw(rt, "maxWaiting"),
			ColdStart: rapid.SampledFrom([]time.Duration{0, 700 * time.Millisecond}).Draw(rt, "coldStart"),
			Limits: Limits{
				Policy:      rapid.SampledFrom([]Policy{PerWorker, PerRequest, OneShot}).Draw(rt, "policy"),
				WallClock:   rapid.SampledFrom([]time.Duration{0, 8 * time.Second, 20 * time.Second}).Draw(rt, "wall"),
				Memory:      rapid.SampledFrom([]int64{0, 100}).Draw(rt, "memory"),
				RequestIdle: rapid.SampledFrom([]time.Duration{0, 5 * time.Second, 600 * time.Millisecond}).Draw(rt, "idle"),
				RequestWait: rapid.SampledFrom([]time.Duration{0, 3 * time.Second, 500 * time.Millisecond}).Draw(rt, "wait"),

				ResponseBytes: rapid.SampledFrom([]int64{0, 50}).Draw(rt, "response"),
			},
			Ledger: truth.New(0),
		}
		type step struct {
			after, sleep, task time.Duration
			hold               int64
			socket, leaves     bool
			fault, big         bool
		}
		steps := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
			second := func(name string, most int) time.Duration {
				return time.Duration(rapid.IntRange(0, 10*most).Draw(t, name)) * 100 * time.Millisecond
			}
			return step{
				after: second("after", 3), sleep: second("sleep", 12), task: second("task", 25), hold: int64(rapid.IntRange(0, 70).Draw(t, "hold")),
				socket: rapid.IntRange(0, 4).Draw(t, "socket") == 0, leaves: rapid.IntRange(0, 4).Draw(t, "leaves") == 0,
				fault: rapid.IntRange(0, 9).Draw(t, "fault") == 0, big: rapid.IntRange(0, 4).Draw(t, "big") == 0,
			}
		}), 1, 25).Draw(rt, "steps")
		drain := time.Duration(rapid.IntRange(0, 30).Draw(rt, "drain")) * time.Second
		unload := rapid.Bool().Draw(rt, "unload")

		synctest.Test(t, func(t *testing.T) {
			var begun, settled, told, refused, entered atomic.Int64
			outcomes := make([]outcome, len(steps))
			sockets := make([]atomic.Bool, len(steps)) // the function has one
			opts.Functions = []Function{{Name: "f", Load: func(w *Worker) (http.Handler, error) {
				if unload {
					w.OnBeforeUnload(func(Reason) {})
				}
				var died atomic.Int64
				context.AfterFunc(w.Context(), func() { died.Store(time.Now().UnixNano()) })
				return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					inv := InvocationOf(r.Context())
					if inv.Worker() != w {
						rt.Errorf("a handler of worker %d runs in worker %d", w.ID(), inv.Worker().ID())
					}
					if at := died.Load(); at != 0 && at < time.Now().UnixNano() {
						rt.Errorf("a request was given to worker %d, which is dead", w.ID())
					}
					entered.Add(1)
					number, _ := strconv.Atoi(r.URL.RawQuery)
					do := steps[number]
					// No two tasks, and no task and a worker, end at the same instant: who was
					// first then would be a matter of luck.
					task := do.task + time.Duration(number+1)*time.Microsecond
					if do.task > 0 {
						err := inv.WaitUntil(func(ctx context.Context) {
							select {
							case <-time.After(task):
								if ctx.Err() == nil {
									settled.Add(1)
									return
								}
							case <-ctx.Done():
							}
							told.Add(1)
						})
						if err == nil {
							begun.Add(1)
						} else {
							refused.Add(1)
						}
					}
					if inv.Hold(do.hold) != nil {
						return
					}
					if do.socket {
						conn, _, err := http.NewResponseController(rw).Hijack()
						if err != nil {
							return
						}
						sockets[number].Store(true)
						defer func() { _ = conn.Close() }()
					} else if do.big && opts.Limits.ResponseBytes > 0 {
						_, _ = rw.Write(make([]byte, 51)) // refused, and the request's end
					}
					select {
					case <-time.After(do.sleep):
					case <-r.Context().Done():
					}
				}), nil
			}}}
			s := New(opts)
			var done []chan struct{}
			for i, do := range steps {
				time.Sleep(do.after)
				if err := s.SetBootFault("f", do.fault); err != nil {
					t.Fatal(err)
				}
				ended := make(chan struct{})
				done = append(done, ended)
				path := fmt.Sprintf("f?%d", i)
				go func() {
					defer close(ended)
					if do.socket {
						near, far := net.Pipe()
						defer func() { _ = near.Close() }()
						r := answerOf(t.Context(), s, path, func(rec *httptest.ResponseRecorder) http.ResponseWriter { return upgradable{rec, far} })
						outcomes[i] = outcomeOf(rt, r)
						if outcomes[i] == answered && !sockets[i].Load() {
							outcomes[i] = killed // by the time its connection was the function's
						}
						return
					}
					ctx, leave := context.WithCancel(t.Context())
					if do.leaves {
						ctx, leave = context.WithTimeout(t.Context(), time.Second)
					}
					defer leave()
					outcomes[i] = outcomeOf(rt, callIn(ctx, s, path))
				}()
			}
			ctx, cancel := context.WithTimeout(t.Context(), drain)
			defer cancel()
			_ = s.Terminate(ctx) // says what it cut
			for _, ended := range done {
				<-ended
			}
			st := s.Stats()[0]
			if st.TasksBegun != uint64(begun.Load()) || st.TasksRefused > uint64(refused.Load()) {
				rt.Errorf("tasks begun %d, refused %d: %+v", begun.Load(), refused.Load(), st)
			}
			if st.TasksBegun != st.TasksSettled+st.TasksLost || st.TasksPending != 0 {
				rt.Errorf("tasks do not balance: %+v", st)
			}
			if st.TasksSettled != uint64(settled.Load()) || st.TasksLost != uint64(told.Load()) {
				rt.Errorf("settled %d, told to end %d: %+v", settled.Load(), told.Load(), st)
			}
			if st.RequestsNow != 0 || st.SocketsNow != 0 || st.WaitingNow != 0 || len(st.Workers) != 0 {
				rt.Errorf("something is left: %+v", st)
			}
			var books [5]uint64
			for _, o := range outcomes {
				books[o]++
			}
			if want := [5]uint64{uint64(len(steps)) - st.RequestsRefused - st.IdleTimeouts - st.RequestsKilled - st.TooBig,
				st.RequestsRefused, st.IdleTimeouts, st.RequestsKilled, st.TooBig}; books != want {
				rt.Errorf("answered, refused, idle, killed, too big: clients saw %v, the server counts %v: %+v", books, want, st)
			}
			var killed uint64
			for _, n := range st.Killed {
				killed += n
			}
			var ends uint64
			records, _ := opts.Ledger.Since(0, 0)
			living := map[string]int{}
			for _, r := range records {
				switch r.Event {
				case eventBooted:
					living[r.ID]++
				case eventKilled, eventEarlyDrop, eventTerminated:
					living[r.ID]--
					ends++
				}
			}
			if ends != killed+st.EarlyDropped+st.Terminated {
				rt.Errorf("%d ends in the ledger: %+v", ends, st)
			}
			for id, n := range living {
				if n > 0 || n < -1 { // -1: ended before it had booted
					rt.Errorf("worker %s booted and did not end, or ended twice: %v", id, events(opts.Ledger))
				}
			}
			if opts.Limits.Policy == OneShot && entered.Load() > int64(st.Booted) {
				rt.Errorf("%d requests in %d workers", entered.Load(), st.Booted)
			}
		})
	})
}
