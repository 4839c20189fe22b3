package driver

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
	"github.com/edgeload/edgeload/internal/loadgen/sink"
)

// A subject is a driver under the tests that all drivers pass.
type subject struct {
	// workload makes one whose arrivals a healthy peer does in well under a second;
	// unasked one that a peer can be silent to, where that is another.
	workload, unasked func() *scenario.Workload
	// lasts is how long a run must last to have an arrival; default 400 ms.
	lasts time.Duration
	// healthy starts such a peer; die ends it and all of its connections at once.
	healthy func(t *testing.T) (target string, die func())
	// silent says in which counters the arrivals of a peer that never answers are:
	// after the workload's timeout, and where the drain's end comes before it.
	timedOut, unfinished string
	// broken is where those of a peer that refuses connections are.
	broken string
	// done is where those of the healthy peer are.
	done string
}

// subjects are all drivers, by protocol.
func subjects() map[scenario.Protocol]subject {
	return map[scenario.Protocol]subject{
		scenario.HTTP: {
			workload: func() *scenario.Workload {
				return &scenario.Workload{
					Protocol: scenario.HTTP, Load: scenario.Load{Rate: 100, MaxInFlight: 1000},
					Request: &scenario.Request{Method: "POST", Path: "/", Body: `{"n": {{ .Seq }}}`},
				}
			},
			healthy:  mortal(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) }),
			timedOut: "timeout", unfinished: "unfinished", broken: "connection_error", done: "succeeded",
		},
		scenario.SSE: {
			workload: func() *scenario.Workload {
				return &scenario.Workload{
					Protocol: scenario.SSE, Load: scenario.Load{Rate: 100, MaxInFlight: 1000},
					Request: &scenario.Request{Method: "POST", Path: "/", Body: `{}`}, Dialect: scenario.DialectAnthropic,
				}
			},
			healthy:  mortal(script(step{0, anthropicHead + textDelta("a")}, step{20 * time.Millisecond, textDelta("b") + anthropicTail})),
			timedOut: "timeout", unfinished: "unfinished", broken: "connection_error", done: "complete",
		},
		scenario.Retry: {
			workload: func() *scenario.Workload {
				w := retryWorkload(scenario.BackoffFull, statuses(503, 200)...)
				w.Load, w.Timeout = scenario.Load{Rate: 100, MaxInFlight: 1000}, 0
				return w
			},
			healthy: func(t *testing.T) (string, func()) {
				client := &http.Client{Transport: &http.Transport{}}
				t.Cleanup(client.CloseIdleConnections)
				return mortal(by(scenario.BackoffFull).serve(client))(t)
			},
			timedOut: "timeout", unfinished: "unfinished", broken: "connection_error", done: "succeeded",
		},
		scenario.Background: {
			workload: func() *scenario.Workload {
				return &scenario.Workload{
					Protocol: scenario.Background, Load: scenario.Load{Rate: 100, MaxInFlight: 1000},
					Request: &scenario.Request{Method: "POST", Path: "/", Body: `{{ .Callback }}`}, Job: &scenario.Job{},
				}
			},
			healthy: func(t *testing.T) (string, func()) {
				s := newJobServer(t, func(j *askedJob) {
					if j.answer(http.StatusOK); j.work(50 * time.Millisecond) {
						j.call()
					}
				})
				return s.URL, s.die
			},
			timedOut: "timeout", unfinished: "unfinished", broken: "connection_error", done: "completed",
		},
		scenario.Cron: {
			workload: registered,
			unasked: func() *scenario.Workload {
				w := registered()
				w.Cron.Register, w.Cron.Remove, w.Extract = nil, nil, nil
				return w
			},
			lasts: 1200 * time.Millisecond, // a second has an instant
			healthy: func(t *testing.T) (string, func()) {
				s := newCronServer(t)
				return s.URL, s.die
			},
			timedOut: "missed", unfinished: "unfinished", broken: "missed", done: "called",
		},
		scenario.WebSocket: {
			workload: func() *scenario.Workload {
				room := aRoom()
				return &scenario.Workload{Protocol: scenario.WebSocket, Load: scenario.Load{Users: 10}, Room: &room}
			},
			healthy: func(t *testing.T) (string, func()) {
				relay := newTestRelay(t)
				return relay.URL, func() {
					_ = relay.Listener.Close()
					relay.closeAll()
				}
			},
			timedOut: "connect_failed", unfinished: "connect_failed", broken: "connect_failed", done: "connections",
		},
	}
}

// mortal returns what starts a server of h.
func mortal(h http.HandlerFunc) func(t *testing.T) (string, func()) {
	return func(t *testing.T) (string, func()) {
		server := httptest.NewServer(h)
		die := sync.OnceFunc(func() {
			_ = server.Listener.Close() // first, or it would take new ones
			server.CloseClientConnections()
			server.Close()
		})
		t.Cleanup(die)
		return server.URL, die
	}
}

// toSilence makes a workload for a peer that does not answer.
func (s subject) toSilence() *scenario.Workload {
	if s.unasked != nil {
		return s.unasked()
	}
	return s.workload()
}

// wait has w's arrivals wait so long for what they wait for.
func wait(w *scenario.Workload, d time.Duration) {
	w.Timeout = scenario.Duration(d)
	if w.Cron != nil {
		w.Cron.Missed = scenario.Duration(d)
	}
}

// A triedRun is what a driver came to, and what was seen of it from outside.
type triedRun struct {
	t      *testing.T
	result *result.Result
	err    error
	took   time.Duration
	overs  *overs
}

// overs counts what a driver was asked to do, and how often it said that this was over.
type overs struct {
	engine.Driver
	asked, over, twice atomic.Int64
}

func (o *overs) Do(ctx context.Context, a engine.Arrival, rec *engine.Recorder, over func(bool)) {
	o.asked.Add(1)
	var told atomic.Bool
	o.Driver.Do(ctx, a, rec, func(done bool) {
		if !told.CompareAndSwap(false, true) {
			o.twice.Add(1)
			return
		}
		o.over.Add(1)
		over(done)
	})
}

// timedOvers is overs of a driver with a timetable.
type timedOvers struct {
	*overs
	timetable engine.Timetable
}

func (o timedOvers) Schedule() engine.Schedule { return o.timetable.Schedule() }

// try runs a subject's workload against target for as long as it has.
func (s subject) try(ctx context.Context, t *testing.T, w *scenario.Workload, target string, change func(*scenario.Scenario, *engine.Plan)) triedRun {
	t.Helper()
	endpoint, err := sink.Open(sink.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := endpoint.Close(); err != nil {
			t.Error(err)
		}
	}()
	if w.Timeout == 0 {
		w.Timeout = scenario.Duration(5 * time.Second)
	}
	sc := &scenario.Scenario{
		Version: 1, Name: "conformance", Target: target, Seed: 1, Dir: ".",
		Duration: scenario.Duration(max(s.lasts, 400*time.Millisecond)), Drain: scenario.Duration(10 * time.Second),
		Workloads: map[string]*scenario.Workload{"w": w},
	}
	change(sc, nil)
	plan, err := Plan(sc, Options{Sink: endpoint})
	if err != nil {
		t.Fatal(err)
	}
	change(sc, &plan)
	seen := &overs{Driver: plan.Workloads[0].Driver}
	plan.Workloads[0].Driver = seen
	if timetable, ok := seen.Driver.(engine.Timetable); ok {
		plan.Workloads[0].Driver = timedOvers{seen, timetable}
	}
	begun := time.Now()
	res, err := plan.Run(ctx, "20261124T000000.000Z-conformance")
	return triedRun{t: t, result: res, err: err, took: time.Since(begun), overs: seen}
}

// counted returns a counter of the workload.
func (r triedRun) counted(name string) int64 {
	r.t.Helper()
	for _, m := range r.result.Workloads[0].Metrics {
		if m.Name == name {
			return int64(m.Value)
		}
	}
	r.t.Fatalf("no metric %s", name)
	return 0
}

// holds checks what is true of every run: that its sums come out even and each
// arrival ended once.
func (r triedRun) holds() {
	r.t.Helper()
	if r.err != nil {
		r.t.Fatal(r.err)
	}
	w := r.result.Workloads[0]
	if len(w.Balances) == 0 {
		r.t.Error("the driver notes no balance")
	}
	for _, b := range w.Balances {
		if !b.Even() {
			r.t.Errorf("%s: %d and %d", b.Name, b.Left, b.Right)
		}
	}
	offered, started, finished, dropped := r.counted("offered"), r.counted("started"), r.counted("finished"), r.counted("dropped")
	if offered != started+dropped || finished != started || started == 0 {
		r.t.Errorf("offered %d, started %d, finished %d, dropped %d", offered, started, finished, dropped)
	}
	if asked, over, twice := r.overs.asked.Load(), r.overs.over.Load(), r.overs.twice.Load(); asked != over || twice != 0 || asked != started {
		r.t.Errorf("%d arrivals, %d ended, %d of them more than once; the engine counts %d", asked, over, twice, started)
	}
}

// all holds a counter to the number of arrivals.
func (r triedRun) all(name string) {
	r.t.Helper()
	if n, started := r.counted(name), r.counted("started"); n != started {
		r.t.Errorf("%s is %d of %d arrivals; errors %+v", name, n, started, r.result.Workloads[0].Errors)
	}
}

func within(t *testing.T, took, most time.Duration) {
	t.Helper()
	if took > most {
		t.Errorf("took %v, want at most %v", took, most)
	}
}

func TestConformance(t *testing.T) {
	for protocol, s := range subjects() {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			t.Run("healthy", s.testHealthy)
			t.Run("refusing", s.testRefusing)
			t.Run("deadline", s.testDeadline)
			t.Run("drain", s.testDrain)
			t.Run("interrupt", s.testInterrupt)
			t.Run("dying", s.testDying)
			t.Run("begin", s.testFailedBegin)
		})
	}
}

// What is sent to a healthy peer is done, and all of it.
func (s subject) testHealthy(t *testing.T) {
	t.Parallel()
	target, _ := s.healthy(t)
	r := s.try(t.Context(), t, s.workload(), target, func(*scenario.Scenario, *engine.Plan) {})
	r.holds()
	r.all(s.done)
}

// A peer that refuses is counted as that, and does not hold the run up.
func (s subject) testRefusing(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	r := s.try(t.Context(), t, s.toSilence(), "http://"+l.Addr().String(), func(*scenario.Scenario, *engine.Plan) {})
	r.holds()
	r.all(s.broken)
	within(t, r.took, 5*time.Second)
}

// silent answers nothing as long as the client stays.
func silent(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // only then is a client that leaves noticed
	<-r.Context().Done()
}

// A peer that never answers costs each arrival its timeout and no more.
func (s subject) testDeadline(t *testing.T) {
	t.Parallel()
	r := s.try(t.Context(), t, s.toSilence(), serve(t, http.HandlerFunc(silent)), func(sc *scenario.Scenario, _ *engine.Plan) {
		wait(sc.Workloads["w"], 300*time.Millisecond)
	})
	r.holds()
	r.all(s.timedOut)
	within(t, r.took, 5*time.Second)
}

// The end of the drain cuts what is still under way.
func (s subject) testDrain(t *testing.T) {
	t.Parallel()
	r := s.try(t.Context(), t, s.toSilence(), serve(t, http.HandlerFunc(silent)), func(sc *scenario.Scenario, _ *engine.Plan) {
		sc.Drain = scenario.Duration(300 * time.Millisecond)
		wait(sc.Workloads["w"], time.Minute)
	})
	r.holds()
	r.all(s.unfinished)
	within(t, r.took, 5*time.Second)
}

// An interrupt ends the arrivals; what is under way may finish.
func (s subject) testInterrupt(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	timer := time.AfterFunc(max(s.lasts, 500*time.Millisecond), interrupt)
	defer timer.Stop()
	target, _ := s.healthy(t)
	r := s.try(ctx, t, s.workload(), target, func(sc *scenario.Scenario, _ *engine.Plan) {
		sc.Duration = scenario.Duration(time.Minute)
	})
	r.holds()
	if !r.result.Interrupted {
		t.Error("the result does not say that it was interrupted")
	}
	within(t, r.took, 10*time.Second)
}

// A peer that dies in the middle is no reason to miscount.
func (s subject) testDying(t *testing.T) {
	t.Parallel()
	target, die := s.healthy(t)
	timer := time.AfterFunc(max(s.lasts, 400*time.Millisecond), die)
	defer timer.Stop()
	r := s.try(t.Context(), t, s.workload(), target, func(sc *scenario.Scenario, _ *engine.Plan) {
		sc.Duration, sc.Drain = scenario.Duration(2*max(s.lasts, 400*time.Millisecond)), scenario.Duration(2*time.Second)
	})
	r.holds()
	within(t, r.took, 10*time.Second)
}

var errNotToday = errors.New("not today")

// unwilling is a driver that cannot begin.
type unwilling struct{ engine.Driver }

func (unwilling) Begin(engine.Run) error { return errNotToday }

// Where another workload cannot begin, a driver that has is ended, and leaves nothing
// behind, which TestMain looks for.
func (s subject) testFailedBegin(t *testing.T) {
	t.Parallel()
	r := s.try(t.Context(), t, s.toSilence(), "http://127.0.0.1:1", func(_ *scenario.Scenario, plan *engine.Plan) {
		if plan != nil {
			plan.Workloads = append(plan.Workloads, engine.Workload{Name: "x", Driver: unwilling{}})
		}
	})
	if !errors.Is(r.err, errNotToday) {
		t.Errorf("the run ends with %v", r.err)
	}
	if r.overs.asked.Load() != 0 {
		t.Errorf("%d arrivals of a run that has not begun", r.overs.asked.Load())
	}
}
