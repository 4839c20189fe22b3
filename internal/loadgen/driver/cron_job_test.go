package driver

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
	"github.com/edgeload/edgeload/internal/loadgen/sink"
)

// A cronServer is a target that calls what is registered with it at each whole second.
type cronServer struct {
	*httptest.Server
	t        *testing.T
	answer   int // to a registration; 0 is 201
	refuses  int // to a removal; 0: it is done
	requests []string
	mu       sync.Mutex
	stop     context.CancelFunc
	calling  sync.WaitGroup
}

func newCronServer(t *testing.T) *cronServer {
	s := &cronServer{t: t, stop: func() {}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(func() {
		s.stop()
		s.calling.Wait()
		s.Close()
	})
	return s
}

func (s *cronServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization"))
	if r.Method == http.MethodDelete {
		if s.refuses != 0 {
			w.WriteHeader(s.refuses)
			return
		}
		s.stop()
		w.WriteHeader(http.StatusNoContent)
		return
	}
	var job struct{ URL string }
	if err := json.NewDecoder(r.Body).Decode(&job); err != nil {
		s.t.Error(err)
	}
	if s.answer != 0 {
		w.WriteHeader(s.answer)
		_, _ = io.WriteString(w, "no\nsuch key")
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	s.calling.Go(func() { s.call(ctx, job.URL) })
	w.Header().Set("Location", "/jobs/17")
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, `{"job": {"id": 17}}`)
}

// die ends the server and its calls.
func (s *cronServer) die() {
	s.mu.Lock()
	stop := s.stop
	s.mu.Unlock()
	stop()
	_ = s.Listener.Close()
	s.CloseClientConnections()
}

// call calls url at each second until ctx ends.
func (s *cronServer) call(ctx context.Context, url string) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		timer := time.NewTimer(time.Until(time.Now().Truncate(time.Second).Add(time.Second)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		if resp, err := client.Post(url, "", nil); err == nil {
			_ = resp.Body.Close()
		}
	}
}

func (s *cronServer) seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// registered is a workload whose job is made and removed at the target.
func registered() *scenario.Workload {
	var id scenario.JSONPath
	id.Text, id.Steps = "$.job.id", []scenario.JSONStep{{Name: "job"}, {Name: "id"}}
	return &scenario.Workload{
		Protocol: scenario.Cron, Load: scenario.Load{MaxInFlight: 10},
		Extract: map[string]*scenario.Extract{"id": {JSON: id}, "place": {Header: "Location"}},
		Cron: &scenario.CronJob{
			Schedule: "1 seconds", Missed: scenario.Duration(time.Second),
			Register: &scenario.Request{Method: "POST", Path: "/jobs?key=hidden", Body: `{"url": {{ .Callback | json }}}`, Headers: map[string]string{"Authorization": "Bearer hidden"}},
			Remove:   &scenario.Request{Method: "DELETE", Path: "{{ .Vars.place }}/of/{{ .Vars.id }}"},
		},
	}
}

// runCron runs a cron workload against target.
func runCron(ctx context.Context, t *testing.T, w *scenario.Workload, target string, d time.Duration) (*result.Result, error) {
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
	plan, err := Plan(&scenario.Scenario{
		Version: 1, Name: "cron", Target: target, Seed: 1, Dir: ".", Duration: scenario.Duration(d), Drain: scenario.Duration(3 * time.Second),
		Workloads: map[string]*scenario.Workload{"jobs": w},
	}, Options{Sink: endpoint})
	if err != nil {
		t.Fatal(err)
	}
	return plan.Run(ctx, "id")
}

func TestCronRegistersAndRemoves(t *testing.T) {
	server := newCronServer(t)
	res, err := runCron(t.Context(), t, registered(), server.URL, 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if got := server.seen(); !slices.Equal(got, []string{"POST /jobs Bearer hidden", "DELETE /jobs/17/of/17 "}) {
		t.Errorf("requests %q", got)
	}
	r := cronRun{t: t, metrics: res.Workloads[0].Metrics}
	if n := r.metric("called").Value; n != 2 || r.metric("calls").Value != n || r.metric("missed").Value != 0 {
		t.Errorf("%v called; errors %+v", n, res.Workloads[0].Errors)
	}
	for _, b := range res.Workloads[0].Balances {
		if !b.Even() {
			t.Errorf("%s: %d and %d", b.Name, b.Left, b.Right)
		}
	}
}

// A job that cannot be registered is no run, and its error tells no key.
func TestCronThatCannotRegister(t *testing.T) {
	refusing := newCronServer(t)
	refusing.answer = http.StatusUnauthorized
	gone := httptest.NewServer(nil)
	gone.Close()
	incomplete := registered()
	incomplete.Extract["id"].JSON.Text, incomplete.Extract["id"].JSON.Steps = "$.nowhere", []scenario.JSONStep{{Name: "nowhere"}}
	whole := newCronServer(t)
	for _, tc := range []struct {
		workload     *scenario.Workload
		target, want string
	}{
		{registered(), refusing.URL, "workload jobs: register the job: POST /jobs: answered 401 Unauthorized: no such key"},
		{registered(), gone.URL, "workload jobs: register the job: POST /jobs: dial"},
		{incomplete, whole.URL, `workload jobs: register the job: the answer has no value at $.nowhere for id: {"job": {"id": 17}}`},
	} {
		_, err := runCron(t.Context(), t, tc.workload, tc.target, time.Second)
		if err == nil || !strings.HasPrefix(err.Error(), tc.want) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%v, want %s", err, tc.want)
		}
	}
}

// An interrupt comes while the run goes on; the job is removed all the same.
func TestCronRemovesWhenInterrupted(t *testing.T) {
	server := newCronServer(t)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	timer := time.AfterFunc(700*time.Millisecond, interrupt)
	defer timer.Stop()
	began := time.Now()
	res, err := runCron(ctx, t, registered(), server.URL, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if got := server.seen(); len(got) != 2 || !res.Interrupted || time.Since(began) > 10*time.Second {
		t.Errorf("requests %q in %s", got, time.Since(began))
	}
	for _, b := range res.Workloads[0].Balances {
		if !b.Even() {
			t.Errorf("%s: %d and %d", b.Name, b.Left, b.Right)
		}
	}
}

// A job that stays is said to, and the figures stand.
func TestCronThatCannotRemove(t *testing.T) {
	server := newCronServer(t)
	server.refuses = http.StatusForbidden
	res, err := runCron(t.Context(), t, registered(), server.URL, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	w := res.Workloads[0]
	i := slices.IndexFunc(w.Errors, func(e result.ErrorClass) bool { return e.Class == "job not removed" })
	if i < 0 || !strings.Contains(w.Errors[i].Example, "DELETE /jobs/17/of/17: answered 403") {
		t.Errorf("errors %+v", w.Errors)
	}
}

// A driver that nobody has prepared does it when it begins, and listens only once.
func TestCronPreparesItself(t *testing.T) {
	endpoint, err := sink.Open(sink.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := endpoint.Close(); err != nil {
			t.Error(err)
		}
	}()
	w := &scenario.Workload{Protocol: scenario.Cron, Cron: &scenario.CronJob{Schedule: "1 seconds", Missed: 1}}
	sc := &scenario.Scenario{Target: "http://127.0.0.1:1", Workloads: map[string]*scenario.Workload{"w": w}}
	of := engine.Run{ID: "id", Workload: "w", Clock: engine.NewClock(), End: 2 * time.Second}
	d, err := openCron(opening{scenario: sc, name: "w", workload: w, sink: endpoint})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Begin(of); err != nil {
		t.Fatal(err)
	}
	if _, err := endpoint.Handle("w", d); err == nil {
		t.Error("it does not listen")
	}
	d.End(engine.NewRecorder(cronMetrics(), 0))
	if _, err := endpoint.Handle("w", d); err != nil {
		t.Errorf("it listens after its end: %v", err)
	}
	nowhere, err := openCron(opening{scenario: sc, name: "w", workload: w})
	if err != nil {
		t.Fatal(err)
	}
	if err := nowhere.Begin(of); err == nil || !strings.Contains(err.Error(), "needs the sink") {
		t.Errorf("without a sink: %v", err)
	}
}

// A target that dies in the run: what it owed is missed, and that its job could not be
// removed is said.
func TestCronWhoseTargetDies(t *testing.T) {
	server := newCronServer(t)
	timer := time.AfterFunc(1500*time.Millisecond, func() {
		server.mu.Lock()
		server.stop()
		server.mu.Unlock()
		_ = server.Listener.Close() // first, or it would take new ones
		server.CloseClientConnections()
	})
	defer timer.Stop()
	began := time.Now()
	res, err := runCron(t.Context(), t, registered(), server.URL, 3*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	w := res.Workloads[0]
	r := cronRun{t: t, metrics: w.Metrics}
	called, missed := r.metric("called").Value, r.metric("missed").Value
	if called+missed != 3 || called < 1 || missed < 1 || time.Since(began) > 8*time.Second {
		t.Errorf("%v called, %v missed in %s; errors %+v", called, missed, time.Since(began), w.Errors)
	}
	for _, b := range w.Balances {
		if !b.Even() {
			t.Errorf("%s: %d and %d", b.Name, b.Left, b.Right)
		}
	}
	if !slices.ContainsFunc(w.Errors, func(e result.ErrorClass) bool { return e.Class == "job not removed" && e.Count == 1 }) {
		t.Errorf("errors %+v", w.Errors)
	}
}
