package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// asExact is by how much an instant may differ from ground truth.
const asExact = 5 * time.Millisecond

// jobTruth is what the reference server knows of the jobs of a workload: by their ids,
// when each event was.
type jobTruth map[string]map[string]time.Time

// jobsOf reads the ground truth of the jobs whose ids begin with the workload's name.
func jobsOf(t *testing.T, s *jobServer, workload string) jobTruth {
	t.Helper()
	jobs := make(jobTruth)
	for next := uint64(0); ; {
		var page struct {
			Records []struct {
				At              time.Time
				Kind, ID, Event string
			}
			Next, Dropped uint64
		}
		s.admin(t, fmt.Sprintf("truth/records?limit=10000&after=%d", next), &page)
		if page.Dropped > 0 {
			t.Fatalf("%d records are not kept any more", page.Dropped)
		}
		if len(page.Records) == 0 {
			return jobs
		}
		next = page.Next
		for _, r := range page.Records {
			if r.Kind != "job" || !strings.HasPrefix(r.ID, workload+".") {
				continue
			}
			if jobs[r.ID] == nil {
				jobs[r.ID] = make(map[string]time.Time)
			}
			jobs[r.ID][r.Event] = r.At
		}
	}
}

// count is how many jobs had an event.
func (j jobTruth) count(event string) (n int) {
	for _, events := range j {
		if _, ok := events[event]; ok {
			n++
		}
	}
	return n
}

// since is how long after its intended start each job had an event, at a constant rate
// without a warm-up, ascending.
func (j jobTruth) since(t *testing.T, r *result.Result, rate float64, event string) []time.Duration {
	t.Helper()
	var all []time.Duration
	for id, events := range j {
		seq, err := strconv.Atoi(id[strings.LastIndexByte(id, '-')+1:])
		if err != nil {
			t.Fatalf("job %q: %v", id, err)
		}
		if at, ok := events[event]; ok {
			all = append(all, at.Sub(r.Started)-time.Duration(float64(seq)/rate*float64(time.Second)))
		}
	}
	slices.Sort(all)
	return all
}

// agree holds the quantiles of a histogram against those of ground truth.
func agree(t *testing.T, w result.Workload, name string, truth []time.Duration) {
	t.Helper()
	for _, q := range []float64{.5, .9, .99} {
		got, want := quantile(t, w, name, q), truth[int(q*float64(len(truth)-1))]
		t.Logf("%s.%s p%g: %v, ground truth %v", w.Name, name, 100*q, got, want)
		if d := got - want; d < -asExact || d > asExact {
			t.Errorf("%s.%s p%g is %v, ground truth says %v", w.Name, name, 100*q, got, want)
		}
	}
}

// counted holds counters to account.
func counted(t *testing.T, w result.Workload, want map[string]int) {
	t.Helper()
	for name, n := range want {
		if got := metric(t, w, name).Value; got != float64(n) {
			t.Errorf("%s.%s is %v, want %d", w.Name, name, got, n)
		}
	}
}

// What loadgen says of jobs is what the server knows of them: by a callback with the
// arrival's ID in its path, and by a Slack message that has it in its text.
func TestBackgroundAgreesWithGroundTruth(t *testing.T) {
	s := &jobServer{server: startServer(t, "--jwt-secret", jobSecret), key: keys(t, jobSecret)["SERVICE_ROLE_KEY"]}
	run := measured(t, `
version: 1
name: wait-until
target: `+s.URL+`
duration: 2s
workloads:
  called:
    protocol: background
    load: {rate: 100/s}
    request:
      path: /functions/v1/track-event
      body: '{"user_id": "u{{ randInt 1 50 }}", "event_type": "click", "id": "{{ .Workload }}.{{ .ID }}", "work": {"sleep": "{{ randInt 50 300 }}ms"}, "callback_url": {{ .Callback | json }}}'
    job: {deadline: 5s}
  hooked:
    protocol: background
    load: {rate: 100/s}
    request:
      path: /functions/v1/track-event
      body: '{"user_id": "{{ .ID }}", "event_type": "click", "id": "{{ .Workload }}.{{ .ID }}", "work": {"sleep": "100ms"}, "webhook_url": "{{ .Sink }}/{{ .Workload }}/slack"}'
    job: {callback: {json: $.text}, deadline: 5s}
thresholds:
  called.loss_ratio: ['value == 0']
  hooked.completed_ratio: ['value == 100%']
`, nil)
	if run.Code != 0 {
		t.Errorf("exit code %d\n%s\n%s", run.Code, run.Stdout, run.Stderr)
	}
	balanced(t, run.Result)
	for name, event := range map[string]string{"called": "completed", "hooked": "webhook_sent"} {
		w, truth := run.workload(t, name), jobsOf(t, s, name)
		// Of a run that was INVALID and done again the server knows, too.
		truth.keep(run.Result)
		n := truth.count("completed")
		if n != 200 || len(truth) != n {
			t.Errorf("ground truth has %d jobs, %d of them completed", len(truth), n)
		}
		counted(t, w, map[string]int{
			"requests": n, "acknowledged": n, "completed": n, "calls": n, "lost": 0, "jobs_failed": 0, "jobs_unfinished": 0,
			"duplicated": 0, "strangers": 0, "completed_before_ack": 0, "ack_waited": 0,
		})
		agree(t, w, "completion", truth.since(t, run.Result, 100, event))
	}
}

// keep keeps the jobs of one run.
func (j jobTruth) keep(r *result.Result) {
	for id, events := range j {
		if events["queued"].Before(r.Started) {
			delete(j, id)
		}
	}
}

// Workers that reach their wall clock take the jobs with them that are pending: each of
// them is found lost, and none beside.
func TestBackgroundFindsWhatWorkersLose(t *testing.T) {
	t.Parallel()
	s := &jobServer{server: startServer(t, "--jwt-secret", jobSecret, "--limit-wall-clock", "1s"), key: keys(t, jobSecret)["SERVICE_ROLE_KEY"]}
	run := loadgen(t, `
version: 1
name: losses
target: `+s.URL+`
duration: 2500ms
workloads:
  jobs:
    protocol: background
    load: {rate: 100/s}
    request:
      path: /functions/v1/track-event
      body: '{"user_id": "u", "event_type": "click", "id": "{{ .Workload }}.{{ .ID }}", "work": {"sleep": "{{ randInt 100 900 }}ms"}, "callback_url": {{ .Callback | json }}}'
    job: {deadline: 1500ms}
thresholds:
  jobs.lost: ['value == 0']
`, nil)
	if run.Code != 99 {
		t.Errorf("exit code %d, want that of a failed threshold\n%s", run.Code, run.Stderr)
	}
	w, truth := run.workload(t, "jobs"), jobsOf(t, s, "jobs")
	balanced(t, run.Result)
	completed, lost := truth.count("completed"), truth.count("lost")
	t.Logf("%d completed, %d lost", completed, lost)
	if lost == 0 || completed == 0 {
		t.Error("this shows nothing")
	}
	counted(t, w, map[string]int{"acknowledged": completed + lost, "completed": completed, "lost": lost, "jobs_unfinished": 0, "duplicated": 0})
}

// A server that is killed takes all of its jobs with it; the run ends in order, and what
// it says is what the server's journal says at the next start.
func TestBackgroundSurvivesAKill(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "store.db")
	s := startJobServer(t, file)
	run := loadgen(t, `
version: 1
name: killed
target: `+s.URL+`
duration: 1500ms
workloads:
  jobs:
    protocol: background
    load: {rate: 100/s}
    request:
      path: /functions/v1/track-event
      body: '{"user_id": "u", "event_type": "click", "id": "{{ .Workload }}.{{ .ID }}", "work": {"sleep": "200ms"}, "callback_url": {{ .Callback | json }}}'
    job: {deadline: 1s}
`, func(*os.Process) {
		<-time.After(time.Second)
		if err := s.cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = s.cmd.Wait() // it was killed
	})
	if run.Took > 10*time.Second {
		t.Errorf("took %v", run.Took)
	}
	w := run.workload(t, "jobs")
	balanced(t, run.Result)
	s = startJobServer(t, file)
	defer s.stop(t)
	truth := jobsOf(t, s, "jobs")
	value := func(name string) int { return int(metric(t, w, name).Value) }
	completed, sent := truth.count("completed"), truth.count("callback_sent")
	t.Logf("loadgen: %d acknowledged, %d completed, %d lost; ground truth: %d queued, %d completed, %d called back, %d lost",
		value("acknowledged"), value("completed"), value("lost"), len(truth), completed, sent, truth.count("lost"))
	// A callback that the kill overtakes may have arrived or not; what was queued may
	// not have been answered.
	if got := value("completed") + value("completed_unacknowledged"); got < sent || got > completed {
		t.Errorf("%d completions arrived; %d callbacks were sent for certain, of %d jobs", got, sent, completed)
	}
	if value("lost") == 0 || value("acknowledged") > len(truth) || value("connection_error") == 0 {
		t.Errorf("lost %d, acknowledged %d, connection errors %d", value("lost"), value("acknowledged"), value("connection_error"))
	}
}

// A target that is asked: each job takes its time, which is known here.
func TestBackgroundPollsAgreeWithGroundTruth(t *testing.T) {
	var mu sync.Mutex
	done := make(map[string]time.Time)
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.Method == http.MethodGet {
			at, ok := done[r.URL.Path]
			if !ok {
				w.WriteHeader(http.StatusNotFound)
			}
			_ = json.NewEncoder(w).Encode(map[string]bool{"done": ok && !time.Now().Before(at)})
			return
		}
		var job struct {
			N    int
			Work int // ms
		}
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(body, &job)
		}
		if err != nil {
			t.Error(err)
		}
		path := fmt.Sprintf("/jobs/%d", job.N)
		done[path] = time.Now().Add(time.Duration(job.Work) * time.Millisecond)
		w.Header().Set("Location", path)
	}))
	defer target.Close()
	run := measured(t, `
version: 1
name: polled
target: `+target.URL+`
duration: 2s
workloads:
  jobs:
    protocol: background
    load: {rate: 100/s}
    request: {path: /jobs, body: '{"n": {{ .Seq }}, "work": {{ randInt 100 300 }}}'}
    extract: {job: {header: Location}}
    job:
      poll: {request: {path: '{{ .Vars.job }}'}, every: 20ms, done: {json: {path: $.done, equals: true}}}
      deadline: 5s
`, nil)
	balanced(t, run.Result)
	w := run.workload(t, "jobs")
	counted(t, w, map[string]int{"requests": 200, "acknowledged": 200, "completed": 200, "lost": 0, "poll_errors": 0, "ack_waited": 0, "strangers": 0})
	var truth []time.Duration
	for path, at := range done {
		n, err := strconv.Atoi(strings.TrimPrefix(path, "/jobs/"))
		if err != nil {
			t.Fatal(err)
		}
		truth = append(truth, at.Sub(run.Result.Started)-time.Duration(n)*10*time.Millisecond)
	}
	slices.Sort(truth)
	resolution := quantile(t, w, "poll_resolution", .99)
	if resolution < 20*time.Millisecond || resolution > 20*time.Millisecond+asExact {
		t.Errorf("poll_resolution p99 is %v; asked every 20ms", resolution)
	}
	for _, q := range []float64{.5, .9, .99} {
		got, want := quantile(t, w, "completion", q), truth[int(q*float64(len(truth)-1))]
		t.Logf("p%g: %v, ground truth %v", 100*q, got, want)
		if got < want-asExact || got > want+resolution+asExact {
			t.Errorf("p%g is %v, ground truth %v", 100*q, got, want)
		}
	}
}
