package driver

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// pollServer does jobs of 150 ms and says at /jobs/N whether the nth is done.
func pollServer(t *testing.T, status func(n int64, done bool) (int, string)) *jobServer {
	var done [100]atomic.Int64 // when, in Unix nanoseconds
	s := newJobServer(t, func(j *askedJob) {
		j.w.Header().Set("X-Id", fmt.Sprint(j.n))
		j.answer(http.StatusOK)
		done[j.n].Store(time.Now().Add(150 * ms).UnixNano())
	})
	asks := s.Config.Handler
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var n int64
		if _, err := fmt.Sscanf(r.URL.Path, "/jobs/%d", &n); err != nil {
			asks.ServeHTTP(w, r)
			return
		}
		at := done[n].Load()
		code, body := status(n, at > 0 && time.Now().UnixNano() >= at)
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	})
	return s
}

func TestBackgroundPolls(t *testing.T) {
	t.Parallel()
	var checks []func()
	poll := func(done scenario.Check) scenario.Job {
		return scenario.Job{Deadline: scenario.Duration(time.Second), Poll: &scenario.Poll{
			Request: scenario.Request{Method: "GET", Path: "/jobs/{{ .Vars.job }}"}, Every: scenario.Duration(20 * ms), Done: done,
		}}
	}
	isDone := scenario.Check{JSON: &scenario.JSONCheck{Path: pathOf(t, "$.done"), Equals: lit("true")}}
	found := scenario.Check{Status: scenario.Statuses{{First: 200, Last: 200}}}
	said := func(n int64, done bool) (int, string) { return 200, fmt.Sprintf(`{"done": %v}`, done) }
	for _, tt := range []struct {
		name   string
		check  scenario.Check
		status func(n int64, done bool) (int, string)
		all    []string
		more   func(f figures)
	}{
		{"by JSON", isDone, said, []string{"acknowledged", "completed"}, func(f figures) {
			f.between("completion_from_ack", 150*ms, 150*ms+slack)
			f.between("poll_resolution", 19*ms, 20*ms+slack)
			f.samples(map[string]int64{"poll_resolution": 20, "ack": 20, "service_time": 20})
			if polls := f.value("polls"); polls < 20 || polls > 9*20 {
				t.Errorf("%v polls", polls)
			}
		}},
		{"by status", found, func(_ int64, done bool) (int, string) {
			return map[bool]int{false: 404, true: 200}[done], ""
		}, []string{"acknowledged", "completed"}, func(figures) {}},
		{"failed", isDone, func(_ int64, done bool) (int, string) {
			return 200, map[bool]string{false: "{}", true: `{"done": false, "error": "disk"}`}[done]
		}, []string{"acknowledged", "jobs_failed"}, func(figures) {}},
		{"never", isDone, func(int64, bool) (int, string) { return said(0, false) }, []string{"acknowledged", "lost"}, func(figures) {}},
		{"with errors", isDone, func(n int64, done bool) (int, string) {
			if !done {
				return 503, "busy"
			}
			return said(n, done)
		}, []string{"acknowledged", "completed"}, func(f figures) {
			if errs := f.value("poll_errors"); errs < 20 || errs+20 != f.value("polls") {
				t.Errorf("%v poll errors of %v", errs, f.value("polls"))
			}
			f.metrics["poll_errors"] = result.Metric{}
			f.failed("poll: http 503")
		}},
	} {
		r := jobRun{
			target: pollServer(t, tt.status).URL, rate: 100, job: poll(tt.check),
			extract: map[string]*scenario.Extract{"job": {Header: "X-Id"}},
		}
		r.job.Failed = &scenario.Check{JSON: &scenario.JSONCheck{Path: pathOf(t, "$.error")}}
		run := r.begin(t)
		checks = append(checks, func() {
			t.Log(tt.name)
			f := run()
			tt.more(f)
			f.all(tt.all...)
		})
	}
	for _, check := range checks {
		check()
	}
}

// A job that is done when it is first asked about, after an answer that took long, was
// waited for.
func TestBackgroundPollsAfterAnAckThatWaits(t *testing.T) {
	t.Parallel()
	s := newJobServer(t, func(j *askedJob) {
		if j.body != "" {
			j.work(60 * ms)
		}
		j.answer(http.StatusOK)
	})
	f := jobRun{target: s.URL, rate: 100, duration: 200 * ms, job: scenario.Job{Poll: &scenario.Poll{
		Request: scenario.Request{Method: "GET", Path: "/"}, Done: scenario.Check{Status: scenario.Statuses{{First: 200, Last: 200}}},
	}}}.do(t)
	f.all("acknowledged", "completed", "ack_waited", "polls")
}

// An answer may say where its job is to be asked about, but not on another server.
func TestBackgroundPollsWhereTheAnswerSays(t *testing.T) {
	t.Parallel()
	other := newJobServer(t, func(j *askedJob) {
		t.Error("another server is asked")
		j.answer(http.StatusOK)
	})
	s := newJobServer(t, func(j *askedJob) {
		where := j.server.URL + "/status"
		if j.n%2 == 1 {
			where = other.URL + "/status"
		}
		j.w.Header().Set("Location", where)
		j.answer(http.StatusOK)
	})
	asks := s.Config.Handler
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			asks.ServeHTTP(w, r)
		}
	})
	f := jobRun{target: s.URL, rate: 50, extract: map[string]*scenario.Extract{"job": {Header: "Location"}}, job: scenario.Job{
		Deadline: scenario.Duration(300 * ms),
		Poll: &scenario.Poll{
			Request: scenario.Request{Method: "GET", Path: "{{ .Vars.job }}"}, Every: scenario.Duration(50 * ms),
			Done: scenario.Check{Status: scenario.Statuses{{First: 200, Last: 200}}},
		},
	}}.do(t)
	f.counts(map[string]float64{"acknowledged": 10, "completed": 5, "lost": 5})
	if e := f.errors["poll: "+classTemplate]; e.Count == 0 || float64(e.Count) != f.value("poll_errors") {
		t.Errorf("errors %+v", f.errors)
	}
}
