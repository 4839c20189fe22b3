package e2e_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// A server that stands still for a second shows a second, in plain requests too.
func TestFrozenServerRequests(t *testing.T) {
	const (
		frozen = time.Second
		at     = 5 * time.Second
		n      = 2000
		gap    = 5 * time.Millisecond
	)
	s := startServer(t)
	run := measured(t, fmt.Sprintf(`
version: 1
name: frozen
target: %s
duration: 10s
workloads:
  api:
    protocol: http
    load: {rate: 200/s}
    request: {path: /healthz}
    checks: [{status: 200}, {json: {path: $.status, equals: ok}}]
thresholds:
  api.success_ratio: ['value == 1']
`, s.URL), func(*os.Process) { pause(t, s.cmd.Process, at, frozen) })
	if run.Code != 0 && run.Code != 99 {
		t.Errorf("exit code %d\n%s\n%s", run.Code, run.Stdout, run.Stderr)
	}
	balanced(t, run.Result)
	w := run.workload(t, "api")
	if got := metric(t, w, "latency").Distribution.Count; got != n {
		t.Errorf("%d requests, want %d", got, n)
	}
	for _, q := range []float64{.95, .99} {
		want := frozenQuantile(n, gap, 0, at, frozen, q)
		got := quantile(t, w, "latency", q)
		t.Logf("latency p%g = %v, analytic %v; service time %v", 100*q, got, want, quantile(t, w, "service_time", q))
		if d := (got - want).Abs(); float64(d) > .1*float64(want) {
			t.Errorf("latency p%g = %v, analytic %v: more than 10 %% apart", 100*q, got, want)
		}
	}
}

// The server counts for itself how often it was asked, and what for: a closed loop
// neither loses nor repeats a request.
func TestClosedLoopRequests(t *testing.T) {
	s := startServer(t)
	run := measured(t, fmt.Sprintf(`
version: 1
name: closed
target: %s
duration: 2s
workloads:
  api:
    protocol: http
    load: {users: 64}
    request: {method: POST, path: /functions/v1/no-such-function, body: '{"n": {{ .Seq }}}'}
    checks: [{status: 404}, {json: {path: $.code, equals: NOT_FOUND}}]
thresholds:
  api.error_ratio: ['value == 0']
`, s.URL), nil)
	balanced(t, run.Result)
	w := run.workload(t, "api")
	requests := metric(t, w, "requests").Value
	if requests < 1000 || metric(t, w, "succeeded").Value != requests || metric(t, w, "status_4xx").Value != requests {
		t.Errorf("%v requests, %v succeeded, %v with 4xx\n%s", requests, metric(t, w, "succeeded").Value, metric(t, w, "status_4xx").Value, run.Stdout)
	}
	if n := metric(t, w, "connections").Value; n < 64 || n > 128 {
		t.Errorf("%v connections for 64 users", n)
	}
	want := fmt.Sprintf("refserver_function_requests_total{code=\"404\",function=\"(unknown)\"} %.0f\n", requests)
	if page := get(t, s.URL+"/metrics"); !strings.Contains(page, want) {
		t.Errorf("loadgen counts %v requests, the server other than that:\n%s", requests, page)
	}
}
