package e2e_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/service"
)

// A wayToSink leads to a sink: what passes through is counted apart from loadgen.
type wayToSink struct {
	URL  string // stands for the sink's
	Sink string // host:port, where it is to listen

	mu    sync.Mutex
	calls int
}

// countedSink finds a place for a sink and sets the way before it.
func countedSink(t *testing.T) *wayToSink {
	t.Helper()
	c := &wayToSink{Sink: freeAddr(t)}
	sink := &url.URL{Scheme: "http", Host: c.Sink}
	proxy := httptest.NewUnstartedServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			c.mu.Lock()
			c.calls++
			c.mu.Unlock()
			r.SetURL(sink)
		},
		// A call that the sink cuts is cut here, too.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		Transport:    &http.Transport{DisableKeepAlives: true},
	})
	// Deno repeats a call by itself where a kept connection ends; see denoRepeats.
	proxy.Config.SetKeepAlivesEnabled(false)
	proxy.Start()
	t.Cleanup(proxy.Close)
	c.URL = proxy.URL
	return c
}

// begin counts from 0 again, as each attempt to measure does.
func (c *wayToSink) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = 0
}

// passed is how many calls have passed.
func (c *wayToSink) passed() float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return float64(c.calls)
}

// What goes on behind the answers, all at once: most of it is waiting.
func TestDenoWork(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"jobs": denoJobs, "retries": denoRetries, "schedule": denoSchedule,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// Jobs behind the answers of track-event are followed to their webhook. With the process
// killed in the middle, those in hand are lost, and no others.
func denoJobs(t *testing.T) {
	for _, tc := range []struct {
		name     string
		work     string // ms
		duration string
		kill     bool
	}{{"all done", "200", "2s", false}, {"killed", "1000", "3s", true}} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			sink := countedSink(t)
			d := startDeno(t, service.DenoOptions{Env: []string{"SLACK_WEBHOOK_URL=" + sink.URL + "/track"}})
			yaml := example(t, "deno/wait-until.yaml", "warmup: 1s", "warmup: 0s", "deadline: 3s", "deadline: 1500ms")
			run := measured(t, yaml, func(*os.Process) {
				sink.begin()
				if tc.kill {
					wait(2200 * time.Millisecond)
					d.Kill(t)
					d.Start(t)
				}
			}, "--target", d.URL, "-d", tc.duration, "--sink-listen", sink.Sink, "-e", "WORK_MS="+tc.work)
			w := run.workload(t, "track")
			balanced(t, run.Result)
			acknowledged, lost := metric(t, w, "acknowledged").Value, metric(t, w, "lost").Value
			counts(t, w, map[string]float64{"completed": sink.passed(), "lost": acknowledged - sink.passed(), "duplicated": 0})
			if !tc.kill {
				counts(t, w, map[string]float64{"acknowledged": 40, "lost": 0})
				ack, done := quantile(t, w, "ack", .5), quantile(t, w, "completion", .5)
				if run.Code != 0 || ack > 50*time.Millisecond || done < 200*time.Millisecond || done > 300*time.Millisecond {
					t.Errorf("exit code %d, ack p50 %v, completion p50 %v\n%s", run.Code, ack, done, run.Stdout)
				}
				return
			}
			// 20 jobs a second take a second each: 20 were in hand.
			if run.Code != 99 || lost < 15 || lost > 25 {
				t.Errorf("exit code %d, %v of %v jobs lost, want about 20", run.Code, lost, acknowledged)
			}
		})
	}
}

// A digest each second; from two processes, which do not know of each other, two.
func denoSchedule(t *testing.T) {
	for _, tc := range []struct {
		name      string
		processes int
		code      int
	}{{"one process", 1, 0}, {"two processes", 2, 99}} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			sink := countedSink(t)
			var target string
			for range tc.processes {
				target = startDeno(t, service.DenoOptions{Env: []string{"DIGEST_SCHEDULE=1 second", "DIGEST_WEBHOOK_URL=" + sink.URL + "/digest"}}).URL
			}
			run := measured(t, example(t, "deno/cron.yaml"), nil, "--target", target, "-d", "3s", "--sink-listen", sink.Sink, "-e", "DIGEST_SCHEDULE=1 second")
			w := run.workload(t, "digest")
			balanced(t, run.Result)
			counts(t, w, map[string]float64{"instants": 3, "called": 3, "missed": 0, "unexpected": 0})
			// The run is over with the first call for its last instant.
			if doubled := int(metric(t, w, "doubled").Value); doubled != 3*(tc.processes-1) && doubled != 2*(tc.processes-1) {
				t.Errorf("%d doubled calls from %d processes", doubled, tc.processes)
			}
			if run.Code != tc.code {
				t.Errorf("exit code %d, want %d\n%s", run.Code, tc.code, run.Stdout)
			}
		})
	}
}
