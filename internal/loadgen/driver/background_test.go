package driver

import (
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync/atomic"
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
	rate     float64 // default 200/s
	duration time.Duration
	warmup   time.Duration
	drain    time.Duration
	timeout  time.Duration
}

func (r jobRun) do(t *testing.T) figures {
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
	sc := &scenario.Scenario{
		Version: 1, Name: "jobs", Target: r.target, Seed: 1, Dir: ".", Warmup: scenario.Duration(r.warmup),
		Duration: or(r.duration, 500*ms), Drain: or(r.drain, patience), Workloads: map[string]*scenario.Workload{"jobs": w},
	}
	plan, err := Plan(sc, Options{Sink: endpoint})
	if err != nil {
		t.Fatal(err)
	}
	res, err := plan.Run(t.Context(), "20261124T000000.000Z-jobs")
	if err != nil {
		t.Fatal(err)
	}
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
	if n := int64(f.value("requests")); n != 100 {
		t.Errorf("%d requests", n)
	}
	f.samples(map[string]int64{"ack": 100, "service_time": 100, "completion": 100, "completion_from_ack": 100, "poll_resolution": 0, "pending": 100})
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
		if j.work(ms) {
			j.call()
			if j.n < 40 {
				j.call()
			}
		}
	}).URL, job: scenario.Job{Deadline: scenario.Duration(300 * ms)}}.do(t)
	f.all("acknowledged", "completed", "succeeded")
	if f.value("requests") != 100 || f.value("calls") != 140 {
		t.Errorf("%v requests, %v calls", f.value("requests"), f.value("calls"))
	}
}

// One job in a thousand is lost, and found to be.
func TestBackgroundFindsTheLostJobInAThousand(t *testing.T) {
	t.Parallel()
	f := jobRun{rate: 1000, duration: time.Second, target: newJobServer(t, func(j *askedJob) {
		if j.answer(http.StatusOK); j.n%1000 != 999 && j.work(20*ms) {
			j.call()
		}
	}).URL, job: scenario.Job{Deadline: scenario.Duration(1500 * ms)}}.do(t)
	f.counts(map[string]float64{"requests": 1000, "acknowledged": 1000, "completed": 999, "lost": 1, "completed_late": 0, "jobs_unfinished": 0, "loss_ratio": .001})
	f.failed(classLost, "not done within 1.5s")
}

func TestBackgroundJobsThatEndBadly(t *testing.T) {
	twice := func(j *askedJob) {
		quick(j)
		j.call()
	}
	late := func(j *askedJob) {
		if j.answer(http.StatusOK); j.work(600 * ms) {
			j.call()
		}
	}
	noAck := func(j *askedJob) {
		if j.answer(http.StatusInternalServerError); j.work(20 * ms) {
			j.call()
		}
	}
	for _, tt := range []struct {
		name  string
		do    func(*askedJob)
		run   jobRun
		all   []string
		class string
	}{
		{"done twice", twice, jobRun{}, []string{"acknowledged", "completed", "duplicated"}, classDuplicated},
		{"never done", func(j *askedJob) { j.answer(http.StatusOK) }, jobRun{job: scenario.Job{Deadline: scenario.Duration(200 * ms)}}, []string{"acknowledged", "lost"}, classLost},
		{"done late", late, jobRun{job: scenario.Job{Deadline: scenario.Duration(250 * ms)}, duration: 50 * ms}, []string{"acknowledged", "lost", "completed_late"}, classLost},
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
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.run.target = newJobServer(t, tt.do).URL
			f := tt.run.do(t)
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
}

// An acknowledgement that waits for the job is no acknowledgement; one whose job is
// simply quick is none of that.
func TestBackgroundAckThatWaits(t *testing.T) {
	t.Parallel()
	waits := func(work time.Duration) func(*askedJob) {
		return func(j *askedJob) {
			if j.work(work) {
				j.call()
			}
			j.answer(http.StatusOK)
		}
	}
	f := jobRun{target: newJobServer(t, waits(60*ms)).URL, duration: 200 * ms}.do(t)
	f.all("acknowledged", "completed", "completed_before_ack", "ack_waited")
	f.between("completion_from_ack", 0, time.Microsecond)
	f.between("ack", 60*ms, 60*ms+slack)
	if f.value("ack_waited_ratio") != 1 {
		t.Errorf("ack_waited_ratio %v", f.value("ack_waited_ratio"))
	}
	f = jobRun{target: newJobServer(t, func(j *askedJob) {
		j.call()
		j.answer(http.StatusOK)
	}).URL, rate: 50, duration: 200 * ms}.do(t)
	f.counts(map[string]float64{"completed": 10, "completed_before_ack": 10})
	if waited := f.value("ack_waited"); waited > 1 { // a busy machine may take 10 ms for a call
		t.Errorf("%v acks of quick jobs waited", waited)
	}
}

// An ack that slows while jobs run does so between few and many of them; one that
// does not, does not.
func TestBackgroundAckThatSlows(t *testing.T) {
	t.Parallel()
	run := func(slow time.Duration) (few, many time.Duration) {
		// Two phases, so that the number of jobs varies: it climbs over the first half.
		f := jobRun{rate: 100, duration: time.Second, target: newJobServer(t, func(j *askedJob) {
			running := j.server.running.Add(1)
			j.work(slow * time.Duration(running))
			j.answer(http.StatusOK)
			if j.work(400 * ms) {
				j.server.running.Add(-1)
				j.call()
			}
		}).URL}.do(t)
		f.all("acknowledged", "completed", "calls")
		middle := func(name string) time.Duration {
			d := f.metrics[name].Distribution
			if d == nil || d.Count < 10 {
				t.Fatalf("%s has %+v", name, d)
			}
			return time.Duration(d.P50)
		}
		return middle("service_time{jobs=few}"), middle("service_time{jobs=many}")
	}
	if few, many := run(ms); many-few < 10*ms {
		t.Errorf("with few jobs %v, with many %v: an ack that slows is not seen", few, many)
	}
	if few, many := run(0); many-few > 10*ms {
		t.Errorf("with few jobs %v, with many %v: a slowing where there is none", few, many)
	}
}

func TestAckSamples(t *testing.T) {
	t.Parallel()
	split := func(pendings ...int64) (few, many int64) {
		var s ackSamples
		s.open()
		for _, p := range pendings {
			s.add(p, time.Duration(p)*time.Millisecond)
		}
		rec := engine.NewRecorder(backgroundMetrics(), 0)
		s.split(rec)
		f := collect(t, rec)
		for name, n := range map[string]*int64{"service_time{jobs=few}": &few, "service_time{jobs=many}": &many} {
			if d := f.metrics[name].Distribution; d != nil {
				*n = d.Count
			}
		}
		return few, many
	}
	for _, tt := range []struct {
		pendings  []int64
		few, many int64
	}{
		{nil, 0, 0},
		{[]int64{5}, 0, 0},
		{[]int64{5, 5, 5, 5}, 0, 0},
		{[]int64{1, 2}, 1, 1},
		{[]int64{3, 2, 1}, 1, 1},
		{[]int64{1, 1, 2, 2, 3, 3}, 2, 2},
		{[]int64{0, 0, 0, 0, 1}, 0, 0}, // two thirds of them met the same number
		{[]int64{0, 1, 1, 1, 9, 9}, 4, 2},
	} {
		if few, many := split(tt.pendings...); few != tt.few || many != tt.many {
			t.Errorf("%v: %d and %d, want %d and %d", tt.pendings, few, many, tt.few, tt.many)
		}
	}
	// Of more than are kept a fair part of each kind is.
	var s ackSamples
	s.open()
	for i := range int64(3 * maxAcks) {
		s.add(i/maxAcks, math.MaxInt64)
	}
	kept := make(map[uint64]int)
	for i := range s.kept {
		kept[s.kept[i].Load()>>tookBits]++
	}
	for third := range uint64(3) {
		if n := kept[third]; n < maxAcks*30/100 || n > maxAcks*37/100 {
			t.Errorf("%v: not a third of each", kept)
		}
	}
}

// The target may call from anywhere and say whose job it is in its own way: by the
// arrival's ID or one of its own, which its answer gives, perhaps after the call.
func TestBackgroundCorrelates(t *testing.T) {
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
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
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
			f := jobRun{target: s.URL, body: "{{ .Sink }}/{{ .Workload }}/done {{ .ID }}", extract: tt.extract, job: scenario.Job{Callback: &tt.by}}.do(t)
			f.counts(map[string]float64{"requests": 100, "acknowledged": 100, "completed": 100, "calls": 100, "strangers": 0, "duplicated": 0})
			if before := f.value("completed_before_ack"); tt.early != (before == 100) {
				t.Errorf("%v of 100 were done before their ack", before)
			}
		})
	}
}

// addressOf is the address in a body that goes on with an ID.
func addressOf(body string) string {
	address, _, _ := strings.Cut(body, " ")
	return address
}

// Calls by an id that no answer has given are kept, within bounds, and counted.
func TestNames(t *testing.T) {
	t.Parallel()
	var n names
	n.open()
	const calls = 3 * nameShards * maxUnclaimed
	var dropped int64
	for i := range calls {
		_, known, gave := n.find(fmt.Sprint("job ", i), hearing{at: time.Duration(i)})
		if known {
			t.Fatalf("call %d is known", i)
		}
		dropped += gave
	}
	if waiting := n.unclaimed(); dropped != n.overflow.Load() || waiting+dropped != calls || waiting > nameShards*maxUnclaimed || waiting < nameShards*maxUnclaimed/2 {
		t.Errorf("%d calls: %d wait, %d gave way, %d counted", calls, waiting, dropped, n.overflow.Load())
	}
	last := fmt.Sprint("job ", calls-1)
	n.find(last, hearing{at: 1})
	if earlier, repeated := n.claim(last, 7); repeated || earlier.calls != 2 || earlier.at != calls-1 {
		t.Errorf("earlier %+v, repeated %v", earlier, repeated)
	}
	if seq, known, _ := n.find(last, hearing{}); !known || seq != 7 {
		t.Errorf("arrival %d, %v", seq, known)
	}
	if earlier, repeated := n.claim(last, 8); !repeated || earlier.calls != 0 {
		t.Errorf("earlier %+v, repeated %v", earlier, repeated)
	}
	if seq, known, _ := n.find(last, hearing{}); !known || seq != 8 {
		t.Errorf("arrival %d, %v", seq, known)
	}
	for i := range 2 * nameShards * maxNamed {
		n.claim(fmt.Sprint("other ", i), uint64(i))
	}
	known := 0
	for i := range n.shards {
		known += len(n.shards[i].seqs)
	}
	if known > nameShards*maxNamed || known < nameShards*maxNamed*9/10 {
		t.Errorf("%d names are known", known)
	}
}

// pollServer does jobs of 80 ms and says at /N whether the nth is done.
func pollServer(t *testing.T, status func(n int64, done bool) (int, string)) *jobServer {
	s := newJobServer(t, func(j *askedJob) {
		j.w.Header().Set("X-Id", fmt.Sprint(j.n))
		j.answer(http.StatusOK)
	})
	var begun [1000]atomic.Int64
	asks := s.Config.Handler
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var n int64
		if _, err := fmt.Sscanf(r.URL.Path, "/jobs/%d", &n); err != nil {
			begun[s.asked.Load()].Store(time.Now().UnixNano())
			asks.ServeHTTP(w, r)
			return
		}
		code, body := status(n, time.Now().UnixNano()-begun[n].Load() > int64(80*ms))
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	})
	return s
}

func TestBackgroundPolls(t *testing.T) {
	poll := func(done scenario.Check) scenario.Job {
		return scenario.Job{Deadline: scenario.Duration(500 * ms), Poll: &scenario.Poll{
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
		check2 func(f figures)
	}{
		{"by JSON", isDone, said, []string{"acknowledged", "completed"}, func(f figures) {
			f.between("completion_from_ack", 70*ms, 80*ms+slack)
			f.between("poll_resolution", 19*ms, 20*ms+slack)
			f.samples(map[string]int64{"poll_resolution": 20, "ack": 20, "service_time": 20})
			if polls := f.value("polls"); polls < 3*20 || polls > 6*20 {
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
			if errs := f.value("poll_errors"); errs < 3*20 || errs+20 != f.value("polls") {
				t.Errorf("%v poll errors of %v", errs, f.value("polls"))
			}
			f.metrics["poll_errors"] = result.Metric{}
			f.failed("poll: http 503")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			run := jobRun{
				target: pollServer(t, tt.status).URL, rate: 100, duration: 200 * ms, job: poll(tt.check),
				extract: map[string]*scenario.Extract{"job": {Header: "X-Id"}},
			}
			run.job.Failed = &scenario.Check{JSON: &scenario.JSONCheck{Path: pathOf(t, "$.error")}}
			f := run.do(t)
			tt.check2(f)
			f.all(tt.all...)
		})
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
