package e2e_test

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// pacedRate is how many arrivals a second the pacing test asks for, and
// pacedSeconds for how long.
const pacedRate, pacedSeconds = 2000, 5

// Thousands of arrivals a second leave when they are due: none dropped, as many
// in each second as were asked for, and by the kernel's transmit stamps within a
// fraction of a millisecond. The bounds leave room for a machine that others use;
// what a quiet one does stands in docs/accuracy.md.
func TestPacing(t *testing.T) {
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: token\n\nevent: done\ndata: \n\n")
	}))
	defer target.Close()
	run := measured(t, fmt.Sprintf(pacedYAML, target.URL, pacedSeconds, pacedRate), nil)
	w := run.Result.Workloads[0]
	balanced(t, run.Result)
	offered, started := metric(t, w, "offered").Value, metric(t, w, "started").Value
	if want := float64(pacedRate * pacedSeconds); offered != want || started != offered || metric(t, w, "dropped").Value != 0 {
		t.Errorf("offered %v, started %v, dropped %v; want %v, all of them", offered, started, metric(t, w, "dropped").Value, want)
	}
	if complete := metric(t, w, "complete").Value; complete != started {
		t.Errorf("%v of %v answered: %v", complete, started, w.Errors)
	}
	for _, name := range []string{"lateness", "send_lag"} {
		p50, p90 := quantile(t, w, name, .5), quantile(t, w, name, .9)
		t.Logf("%s p50 %v, p90 %v, p99 %v", name, p50, p90, quantile(t, w, name, .99))
		if p50 > 500*time.Microsecond || p90 > 5*time.Millisecond {
			t.Errorf("%s p50 %v, p90 %v", name, p50, p90)
		}
	}
	if runtime.GOOS == "linux" && metric(t, w, "unstamped_sends").Value > started/100 {
		t.Errorf("%v of %v sends without the kernel's stamp", metric(t, w, "unstamped_sends").Value, started)
	}
	for _, iv := range seconds(w) {
		if rate := float64(iv.Counters["started"]) / (iv.EndNS - iv.StartNS).Seconds(); math.Abs(rate-pacedRate) > .05*pacedRate {
			t.Errorf("%.0f/s from %v to %v", rate, iv.StartNS, iv.EndNS)
		}
	}
}

// seconds are the intervals that lie within the measured part.
func seconds(w result.Workload) []result.Interval {
	var in []result.Interval
	for _, iv := range w.Intervals {
		if iv.EndNS <= pacedSeconds*time.Second {
			in = append(in, iv)
		}
	}
	return in
}

const pacedYAML = `
version: 1
name: paced
target: %s
duration: %ds
workloads:
  ask:
    protocol: sse
    load: {rate: %d/s}
    dialect: text
    request: {path: /, body: hello}
`

// A thousand members wanted at one instant get their connections by their turns:
// none fails or is seen only a second later, all come from the addresses named,
// and the wait is told.
func TestStorm(t *testing.T) {
	s := startServer(t)
	run := measured(t, fmt.Sprintf(stormYAML, s.URL), nil)
	w := run.Result.Workloads[0]
	balanced(t, run.Result)
	if got := metric(t, w, "connections").Value; got != 1000 || len(w.Errors) != 0 {
		t.Fatalf("%v of 1000 connections: %v", got, w.Errors)
	}
	waits := metric(t, w, "connect_wait").Distribution
	if waits == nil || waits.Count != 1000 || time.Duration(waits.Max) < 900*time.Millisecond {
		t.Errorf("1000 connections at 1000/s waited %+v", waits)
	}
	if dial := metric(t, w, "dial").Distribution; dial == nil || time.Duration(dial.Max) > 900*time.Millisecond {
		t.Errorf("a connect was repeated: %+v", dial)
	}
	if len(run.Result.Warnings) == 0 {
		t.Error("no warning of the wait")
	}
}

const stormYAML = `
version: 1
name: storm
target: %s
duration: 3s
workloads:
  rooms:
    protocol: websocket
    load: {users: 1000}
    room: {path: '/functions/v1/ws-relay?room={{ .Room }}', members: 50, publish: 1/s}
    source: [127.0.0.1]
    connect: {rate: 1000/s, at_once: 50}
`
