package driver

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
	"github.com/edgeload/edgeload/internal/loadgen/sink"
)

// A jobRun is a background workload against a server.
type jobRun struct {
	target   string
	job      scenario.Job
	body     string // of a request; default: its callback
	extract  map[string]*scenario.Extract
	rate     float64       // default 200/s
	duration time.Duration // default 200ms
	warmup   time.Duration
	drain    time.Duration
	timeout  time.Duration
}

// do carries the run out.
func (r jobRun) do(t *testing.T) figures {
	t.Helper()
	return r.begin(t)()
}

// begin begins the run, and returns what waits for its end: a run is made of waiting,
// and many have room beside each other.
func (r jobRun) begin(t *testing.T) func() figures {
	t.Helper()
	endpoint, err := sink.Open(sink.Options{})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := Plan(r.scenario(), Options{Sink: endpoint})
	if err != nil {
		t.Fatal(errors.Join(err, endpoint.Close()))
	}
	var res *result.Result
	var running sync.WaitGroup
	running.Go(func() {
		res, err = plan.Run(t.Context(), "20261124T000000.000Z-jobs")
		err = errors.Join(err, endpoint.Close())
	})
	t.Cleanup(running.Wait)
	return func() figures {
		t.Helper()
		running.Wait()
		if err != nil {
			t.Fatal(err)
		}
		return figuresOf(t, res)
	}
}

// scenario is the run's.
func (r jobRun) scenario() *scenario.Scenario {
	or := func(d, fallback time.Duration) scenario.Duration {
		if d == 0 {
			d = fallback
		}
		return scenario.Duration(d)
	}
	if r.body == "" {
		r.body = "{{ .Callback }}"
	}
	if r.rate == 0 {
		r.rate = 200
	}
	if r.job.Deadline == 0 {
		r.job.Deadline = scenario.Duration(2 * time.Second)
	}
	w := &scenario.Workload{
		Protocol: scenario.Background, Load: scenario.Load{Rate: scenario.Rate(r.rate), MaxInFlight: 20_000}, Job: &r.job,
		Request: &scenario.Request{Method: "POST", Path: "/", Body: r.body}, Extract: r.extract, Timeout: or(r.timeout, patience),
	}
	return &scenario.Scenario{
		Version: 1, Name: "jobs", Target: r.target, Seed: 1, Dir: ".", Warmup: scenario.Duration(r.warmup),
		Duration: or(r.duration, 200*ms), Drain: or(r.drain, patience), Workloads: map[string]*scenario.Workload{"jobs": w},
	}
}

// figuresOf is what a run came to, whose sums must come out even.
func figuresOf(t *testing.T, res *result.Result) figures {
	t.Helper()
	f := figures{t: t, metrics: make(map[string]result.Metric), errors: make(map[string]result.ErrorClass), balances: res.Workloads[0].Balances}
	for _, m := range res.Workloads[0].Metrics {
		f.metrics[m.Name] = m
	}
	for _, e := range res.Workloads[0].Errors {
		f.errors[e.Class] = e
	}
	for _, b := range f.balances {
		if !b.Even() {
			t.Errorf("%s: %d and %d", b.Name, b.Left, b.Right)
		}
	}
	return f
}

// value is a counter or a ratio.
func (f figures) value(name string) float64 {
	f.t.Helper()
	m, ok := f.metrics[name]
	if !ok {
		f.t.Fatalf("no metric %s", name)
	}
	return m.Value
}

// all holds counters to the number of requests, and others to 0.
func (f figures) all(names ...string) {
	f.t.Helper()
	n := f.value("requests")
	if n == 0 {
		f.t.Fatal("no requests")
	}
	want := make(map[string]float64)
	for _, name := range jobCounters() {
		want[name] = 0
	}
	for _, name := range names {
		want[name] = n
	}
	for name, v := range want {
		if got := f.value(name); got != v {
			f.t.Errorf("%s is %v, want %v", name, got, v)
		}
	}
}

// jobCounters are the counters of what jobs can come to.
func jobCounters() []string {
	return strings.Fields(`acknowledged completed jobs_failed lost jobs_unfinished completed_late completed_unacknowledged
		completed_before_ack ack_waited duplicated strangers unclaimed_dropped poll_errors`)
}

// quick is a good target: it answers at once, and is done a while later.
func quick(j *askedJob) {
	if j.answer(http.StatusOK); j.work(50 * ms) {
		j.call()
	}
}

func TestBackgroundJobsComplete(t *testing.T) {
	t.Parallel()
	f := jobRun{target: newJobServer(t, quick).URL}.do(t)
	f.all("acknowledged", "completed", "succeeded", "calls")
	if n := int64(f.value("requests")); n != 40 {
		t.Errorf("%d requests", n)
	}
	f.samples(map[string]int64{"ack": 40, "service_time": 40, "completion": 40, "completion_from_ack": 40, "poll_resolution": 0, "pending": 40})
	f.between("completion_from_ack", 50*ms-ms, 50*ms+slack)
	f.between("completion", 50*ms, 50*ms+slack)
	if f.value("loss_ratio") != 0 || f.value("completed_ratio") != 1 || f.value("ack_waited_ratio") != 0 {
		t.Errorf("ratios %v, %v, %v", f.metrics["loss_ratio"], f.metrics["completed_ratio"], f.metrics["ack_waited_ratio"])
	}
	if len(f.errors) != 0 {
		t.Errorf("errors %+v", f.errors)
	}
}

// What is intended in the warm-up does not count, whatever becomes of it.
func TestBackgroundWarmup(t *testing.T) {
	t.Parallel()
	f := jobRun{warmup: 200 * ms, target: newJobServer(t, func(j *askedJob) {
		if j.answer(http.StatusOK); j.n < 40 && j.n%2 == 0 { // of the warm-up: lost, or done twice
			return
		}
		if j.work(20 * ms) {
			j.call()
			if j.n < 40 {
				j.call()
			}
		}
	}).URL, job: scenario.Job{Deadline: scenario.Duration(300 * ms)}}.do(t)
	f.all("acknowledged", "completed", "succeeded")
	if f.value("requests") != 40 || f.value("calls") != 80 {
		t.Errorf("%v requests, %v calls", f.value("requests"), f.value("calls"))
	}
}

// One job in a thousand is lost, and found to be.
func TestBackgroundFindsTheLostJobInAThousand(t *testing.T) {
	t.Parallel()
	// A deadline that the race detector on a busy machine keeps too.
	f := jobRun{rate: 500, duration: 2 * time.Second, job: scenario.Job{Deadline: scenario.Duration(5 * time.Second)}, target: newJobServer(t, func(j *askedJob) {
		if j.answer(http.StatusOK); j.n%1000 != 999 && j.work(20*ms) {
			j.call()
		}
	}).URL}.do(t)
	f.counts(map[string]float64{"requests": 1000, "acknowledged": 1000, "completed": 999, "lost": 1, "completed_late": 0, "jobs_unfinished": 0, "loss_ratio": .001})
	f.failed(classLost, "not done within 5s")
}

func TestBackgroundJobsThatEndBadly(t *testing.T) {
	t.Parallel()
	twice := func(j *askedJob) {
		quick(j)
		j.call()
	}
	late := func(j *askedJob) {
		if j.answer(http.StatusOK); j.work(570 * ms) {
			j.call()
		}
	}
	noAck := func(j *askedJob) {
		if j.answer(http.StatusInternalServerError); j.work(20 * ms) {
			j.call()
		}
	}
	var checks []func()
	for _, tt := range []struct {
		name  string
		do    func(*askedJob)
		run   jobRun
		all   []string
		class string
	}{
		{"done twice", twice, jobRun{}, []string{"acknowledged", "completed", "duplicated"}, classDuplicated},
		{"never done", func(j *askedJob) { j.answer(http.StatusOK) }, jobRun{job: scenario.Job{Deadline: scenario.Duration(200 * ms)}}, []string{"acknowledged", "lost"}, classLost},
		{"done late", late, jobRun{job: scenario.Job{Deadline: scenario.Duration(290 * ms)}, duration: 50 * ms}, []string{"acknowledged", "lost", "completed_late"}, classLost},
		{"done late, before it is given up", late, jobRun{job: scenario.Job{Deadline: scenario.Duration(450 * ms)}, duration: 50 * ms}, []string{"acknowledged", "lost", "completed_late"}, classLost},
		{"not acknowledged", noAck, jobRun{}, []string{"completed_unacknowledged", "http_error"}, "http 500"},
		{"cut", func(j *askedJob) { j.answer(http.StatusOK) }, jobRun{drain: 300 * ms}, []string{"acknowledged", "jobs_unfinished"}, classUnfinished},
		{"never answered", func(j *askedJob) {
			if j.work(100 * ms) {
				j.call()
			}
			j.work(time.Minute)
			close(j.answered)
		}, jobRun{timeout: 400 * ms}, []string{"completed_unacknowledged", "timeout"}, classTimeout},
		{"says that it failed", func(j *askedJob) {
			if j.answer(http.StatusOK); j.work(20 * ms) {
				j.callAt(j.body, `{"status": "failed", "error": "no disk"}`)
			}
		}, jobRun{job: scenario.Job{Failed: &scenario.Check{JSON: &scenario.JSONCheck{Path: pathOf(t, "$.status"), Equals: lit("failed")}}}}, []string{"acknowledged", "jobs_failed"}, classJobFailed},
		{"calls about others", func(j *askedJob) {
			if j.answer(http.StatusOK); j.work(20 * ms) {
				if status := j.callAt(j.body[:len(j.body)-3]+"9999999", ""); status != http.StatusNotFound && status != 0 {
					j.server.t.Errorf("a call about another job is answered %d", status)
				}
				j.call()
			}
		}, jobRun{}, []string{"acknowledged", "completed", "strangers"}, ""},
	} {
		tt.run.target = newJobServer(t, tt.do).URL
		run := tt.run.begin(t)
		checks = append(checks, func() {
			t.Log(tt.name)
			f := run()
			f.all(tt.all...)
			if tt.class == "" {
				return
			}
			f.failed(tt.class)
			if n := f.errors[tt.class].Count; n != int64(f.value("requests")) {
				t.Errorf("%d of them", n)
			}
		})
	}
	for _, check := range checks {
		check()
	}
}

// An acknowledgement that waits for the job is no acknowledgement.
func TestBackgroundAckThatWaits(t *testing.T) {
	t.Parallel()
	f := jobRun{target: newJobServer(t, func(j *askedJob) {
		if j.work(60 * ms) {
			j.call()
		}
		j.answer(http.StatusOK)
	}).URL}.do(t)
	f.all("acknowledged", "completed", "completed_before_ack", "ack_waited")
	f.between("completion_from_ack", 0, time.Microsecond)
	f.between("ack", 60*ms, 60*ms+slack)
	if f.value("ack_waited_ratio") != 1 {
		t.Errorf("ack_waited_ratio %v", f.value("ack_waited_ratio"))
	}
}

// Of an ack that slows while jobs run the run says so.
func TestBackgroundAckThatSlows(t *testing.T) {
	t.Parallel()
	f := jobRun{rate: 100, duration: 600 * ms, target: newJobServer(t, func(j *askedJob) {
		j.work(2 * ms * time.Duration(j.server.running.Add(1)))
		j.answer(http.StatusOK)
		if j.work(300 * ms) {
			j.server.running.Add(-1)
			j.call()
		}
	}).URL}.do(t)
	f.all("acknowledged", "completed", "calls")
	few, many := f.metrics["service_time{jobs=few}"].Distribution, f.metrics["service_time{jobs=many}"].Distribution
	if few == nil || many == nil || few.Count == 0 || many.Count == 0 || many.Mean < few.Mean {
		t.Errorf("with few jobs %+v, with many %+v: an ack that slows is not seen", few, many)
	}
}

// The target may call from anywhere and say whose job it is in its own way: by the
// arrival's ID or one of its own, which its answer gives, perhaps after the call.
func TestBackgroundCorrelates(t *testing.T) {
	t.Parallel()
	var checks []func()
	header := func(j *askedJob, text string) { j.callAt(addressOf(j.body), "", "X-Job", text) }
	query := func(j *askedJob, text string) { j.callAt(addressOf(j.body)+"?job="+text, "") }
	slack := func(j *askedJob, text string) {
		j.callAt(addressOf(j.body), fmt.Sprintf(`{"text": "User ada triggered %s"}`, text))
	}
	status := func(j *askedJob, text string) { j.callAt(addressOf(j.body), fmt.Sprintf(`{"id": %q}`, text)) }
	own := map[string]*scenario.Extract{"job": {Header: "X-Id"}}
	text, id := pathOf(t, "$.text"), pathOf(t, "$.id")
	for _, tt := range []struct {
		name    string
		by      scenario.Correlation
		extract map[string]*scenario.Extract
		call    func(j *askedJob, text string)
		early   bool
	}{
		{"by header", scenario.Correlation{Header: "x-job"}, nil, header, false},
		{"by query", scenario.Correlation{Query: "job"}, nil, query, false},
		{"in a Slack text", scenario.Correlation{JSON: text}, nil, slack, false},
		{"by a made id", scenario.Correlation{JSON: id, ID: "id-{{ .Seq }}"}, nil, func(j *askedJob, text string) { status(j, "id-"+text[17:]) }, false},
		{"by its own id", scenario.Correlation{JSON: id, ID: "{{ .Vars.job }}"}, own, func(j *askedJob, _ string) { status(j, fmt.Sprint("own ", j.n)) }, false},
		{"by its own id, early", scenario.Correlation{Header: "X-Job", ID: "own-{{ .Vars.job }}"}, own, func(j *askedJob, _ string) { header(j, fmt.Sprint("own-own ", j.n)) }, true},
	} {
		s := newJobServer(t, func(j *askedJob) {
			_, text, _ := strings.Cut(j.body, " ")
			if tt.early {
				tt.call(j, text)
			}
			j.w.Header().Set("X-Id", fmt.Sprint("own ", j.n))
			j.answer(http.StatusOK)
			if !tt.early && j.work(10*ms) {
				tt.call(j, text)
			}
		})
		run := jobRun{target: s.URL, body: "{{ .Sink }}/{{ .Workload }}/done {{ .ID }}", extract: tt.extract, job: scenario.Job{Callback: &tt.by}}.begin(t)
		checks = append(checks, func() {
			t.Log(tt.name)
			f := run()
			f.counts(map[string]float64{"requests": 40, "acknowledged": 40, "completed": 40, "calls": 40, "strangers": 0, "duplicated": 0})
			if before := f.value("completed_before_ack"); tt.early != (before == 40) {
				t.Errorf("%v of 40 were done before their ack", before)
			}
		})
	}
	for _, check := range checks {
		check()
	}
}

// addressOf is the address in a body that goes on with an ID.
func addressOf(body string) string {
	address, _, _ := strings.Cut(body, " ")
	return address
}

func TestBackgroundNeedsASink(t *testing.T) {
	w := &scenario.Workload{Request: &scenario.Request{Path: "/"}, Job: &scenario.Job{}}
	d, err := newBackground(opening{scenario: &scenario.Scenario{Target: "http://127.0.0.1:1"}, name: "jobs", workload: w})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Begin(engine.Run{Clock: engine.NewClock()}); err == nil || !strings.Contains(err.Error(), "no sink") {
		t.Errorf("begun without a sink: %v", err)
	}
	w.Job = nil
	if _, err := newBackground(opening{scenario: &scenario.Scenario{Target: "http://127.0.0.1:1"}, name: "jobs", workload: w}); err == nil {
		t.Error("made without a job")
	}
}
