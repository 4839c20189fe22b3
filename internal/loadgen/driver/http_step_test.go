package driver

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// A server that gives each user a key and answers no question without it.
type keyed struct {
	keys     atomic.Int64
	refuses  int64 // this user, from 1
	answered atomic.Int64
}

func (k *keyed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/login":
		w.Header().Set("X-Key", fmt.Sprintf("key-%d", k.keys.Add(1)))
		_, _ = io.WriteString(w, `{"user": {"id": 7}}`)
	case "/ask/7":
		key := r.Header.Get("Authorization")
		if !strings.HasPrefix(key, "Bearer key-") || key == fmt.Sprintf("Bearer key-%d", k.refuses) {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		k.answered.Add(1)
		_, _ = io.WriteString(w, `{"answer": "yes"}`)
	case "/logout":
		w.WriteHeader(http.StatusNoContent)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func steps(t *testing.T) []scenario.Step {
	userID, err := scenario.ParseJSONPath("$.user.id")
	if err != nil {
		t.Fatal(err)
	}
	return []scenario.Step{
		{
			Name: "login", Request: scenario.Request{Method: "POST", Path: "/login", Body: "{}"},
			Extract: map[string]*scenario.Extract{"key": {Header: "X-Key"}, "id": {JSON: userID}},
		},
		{
			Name: "ask", Think: scenario.Every(50 * time.Millisecond),
			Request: scenario.Request{Method: "GET", Path: "/ask/{{ .Vars.id }}", Headers: map[string]string{"Authorization": "Bearer {{ .Vars.key }}"}},
		},
		{Name: "logout", Request: scenario.Request{Method: "POST", Path: "/logout", Body: "{}"}},
	}
}

// Each step sees what those before it took out of their answers; a step that fails is
// the last of its session.
func TestSteps(t *testing.T) {
	t.Parallel()
	k := &keyed{refuses: 3}
	sc := &scenario.Scenario{
		Version: 1, Name: "steps", Target: serve(t, k), Seed: 1, Dir: ".",
		Duration: scenario.Duration(400 * time.Millisecond), Drain: scenario.Duration(5 * time.Second),
		Workloads: map[string]*scenario.Workload{"app": {
			Protocol: scenario.HTTP, Load: scenario.Load{Rate: 50, MaxInFlight: 100}, Steps: steps(t), Timeout: scenario.Duration(5 * time.Second),
		}},
	}
	plan, err := Plan(sc, Options{})
	if err != nil {
		t.Fatal(err)
	}
	res, err := plan.Run(t.Context(), "20261124T000000.000Z-steps")
	if err != nil {
		t.Fatal(err)
	}
	w := res.Workloads[0]
	m := make(map[string]result.Metric)
	for _, metric := range w.Metrics {
		m[metric.Name] = metric
	}
	samples := func(name string) int64 { s := m[name]; return s.Samples() }
	users, unfinished := k.keys.Load(), int64(m["sessions_unfinished"].Value)
	asked, done := samples("latency{step=ask}"), int64(m["sessions_completed"].Value)
	// The end of the run comes before some of the last steps.
	if users != 20 || samples("latency{step=login}") != users || done+1+unfinished != users || unfinished > users/2 ||
		k.answered.Load() != asked || asked < done || asked >= users || samples("latency{step=logout}") != done ||
		m["failed{step=ask}"].Value != 1 || m["failed{step=login}"].Value != 0 {
		t.Errorf("%d users, %d done, %d unfinished, %d answered; samples %d, %d, %d; failed %v", users, done, unfinished, k.answered.Load(),
			samples("latency{step=login}"), asked, samples("latency{step=logout}"), m["failed{step=ask}"].Value)
	}
	if m["succeeded"].Value != float64(users+asked+done) || m["failed"].Value != 1 || m["sessions_abandoned"].Value != 1 {
		t.Errorf("succeeded %v, failed %v, abandoned %v", m["succeeded"].Value, m["failed"].Value, m["sessions_abandoned"].Value)
	}
	for _, b := range w.Balances {
		if !b.Even() {
			t.Errorf("%s: %d and %d", b.Name, b.Left, b.Right)
		}
	}
	// The think time is before the question, not in its latency.
	if d := m["latency{step=ask}"].Distribution; d == nil || time.Duration(d.P50) > 40*time.Millisecond {
		t.Errorf("latency of the question is %+v", d)
	}
}

// A request of steps that are known to be the only one costs no more for it.
func TestOneStepHasNoSession(t *testing.T) {
	d, err := openHTTP(opening{scenario: &scenario.Scenario{Target: "http://127.0.0.1:1"}, workload: &scenario.Workload{Request: &scenario.Request{Path: "/"}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s := d.stepOf(engine.Arrival{}); s != &d.httpStep || s.tagged {
		t.Errorf("step %+v", s)
	}
}
