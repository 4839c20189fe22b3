package e2e_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// cronScenario watches a job of each second that calls back by way of morning-digest.
func cronScenario(s *jobServer, command string) string {
	return `
version: 1
name: cron
target: ` + s.URL + `
duration: 4s
workloads:
  digest:
    protocol: cron
    extract: {job: {json: $.jobid}}
    cron:
      schedule: 1 seconds
      scheduled: {header: X-Cron-Scheduled-At}
      register:
        path: /admin/v1/cron/jobs
        headers: {Authorization: 'Bearer ${SERVICE_ROLE_KEY}'}
        body: '{"name": "digest-{{ .ID }}", "schedule": "1 seconds", "command": {{ printf "` + command + `" .Callback | json }}}'
      remove:
        method: DELETE
        path: /admin/v1/cron/jobs/{{ .Vars.job }}
        headers: {Authorization: 'Bearer ${SERVICE_ROLE_KEY}'}
thresholds:
  digest.missed: ['value == 0']
  digest.doubled: ['value == 0']
`
}

// cronTruth is what the reference server knows of the instants of a run.
type cronTruth map[time.Time]map[string]time.Time

func cronTruthOf(t *testing.T, s *jobServer, r *result.Result, measured time.Duration) cronTruth {
	t.Helper()
	var page struct {
		Records []struct {
			At, Due           time.Time
			Kind, Name, Event string
		}
		Dropped uint64
	}
	s.admin(t, "truth/records?limit=10000", &page)
	instants := make(cronTruth)
	for _, record := range page.Records {
		due := record.Due.Sub(r.Started)
		if record.Kind != "cron" || record.Due.IsZero() || due < 0 || due >= measured {
			continue
		}
		if instants[record.Due] == nil {
			instants[record.Due] = make(map[string]time.Time)
		}
		instants[record.Due][record.Event] = record.At
	}
	return instants
}

// drift is how long after its instant each had an event, ascending.
func (c cronTruth) drift(event string) (all []time.Duration) {
	for due, events := range c {
		if at, ok := events[event]; ok {
			all = append(all, at.Sub(due))
		}
	}
	slices.Sort(all)
	return all
}

// What loadgen sees of a scheduler is what that has written down: each instant, its one
// call, and when that came.
func TestCronAgreesWithGroundTruth(t *testing.T) {
	s := &jobServer{server: startServer(t, "--jwt-secret", jobSecret), key: keys(t, jobSecret)["SERVICE_ROLE_KEY"]}
	run := measured(t, cronScenario(s, `morning-digest {\"callback_url\": \"%s\"}`), nil, "-e", "SERVICE_ROLE_KEY="+s.key)
	if run.Code != 0 {
		t.Errorf("exit code %d\n%s\n%s", run.Code, run.Stdout, run.Stderr)
	}
	balanced(t, run.Result)
	w, truth := run.workload(t, "digest"), cronTruthOf(t, s, run.Result, 4*time.Second)
	fired := truth.drift("fired")
	if len(truth) != 4 || len(fired) != 4 {
		t.Errorf("ground truth has %d instants, %d of them fired", len(truth), len(fired))
	}
	counted(t, w, map[string]int{
		"instants": len(fired), "called": len(fired), "calls": len(fired),
		"missed": 0, "doubled": 0, "late_calls": 0, "early": 0, "unexpected": 0, "overlapped": 0, "foreign": 0, "unnamed": 0,
	})
	sent := truth.drift("callback_sent")
	for i, want := range sent {
		got := quantile(t, w, "drift", (float64(i)+.5)/float64(len(sent)))
		t.Logf("drift %v, ground truth %v", got, want)
		if got < want-want/500-time.Microsecond || got > want+asExact {
			t.Errorf("the call of rank %d came %v after its instant, ground truth has it sent after %v", i, got, want)
		}
	}
	for _, e := range w.Errors {
		t.Errorf("%d of %s: %s", e.Count, e.Class, e.Example)
	}
	var jobs []struct{ Jobname string }
	s.admin(t, "cron/jobs", &jobs)
	if len(jobs) != 0 {
		t.Errorf("jobs are left: %+v", jobs)
	}
}

// A job that takes longer than its gap: the scheduler skips the instants that come
// meanwhile, and loadgen misses exactly those.
func TestCronFindsWhatASchedulerSkips(t *testing.T) {
	t.Parallel()
	s := &jobServer{server: startServer(t, "--jwt-secret", jobSecret), key: keys(t, jobSecret)["SERVICE_ROLE_KEY"]}
	run := loadgen(t, cronScenario(s, `morning-digest {\"callback_url\": \"%s\", \"sleep\": \"2500ms\"}`), nil, "-e", "SERVICE_ROLE_KEY="+s.key)
	if run.Code != 99 {
		t.Fatalf("exit code %d, want that of a failed threshold\n%s", run.Code, run.Stderr)
	}
	balanced(t, run.Result)
	w, truth := run.workload(t, "digest"), cronTruthOf(t, s, run.Result, 4*time.Second)
	intime := 0
	for _, drift := range truth.drift("callback_sent") {
		if drift <= time.Second {
			intime++
		}
	}
	t.Logf("%d of %d instants called in time", intime, len(truth))
	if intime == 0 || intime == 4 {
		t.Error("this shows nothing")
	}
	counted(t, w, map[string]int{"instants": 4, "called": intime, "missed": 4 - intime, "doubled": 0, "unexpected": 0})
}

// A target that does not take the job is no run, and no key is shown.
func TestCronThatIsNotRegistered(t *testing.T) {
	t.Parallel()
	s := &jobServer{server: startServer(t, "--jwt-secret", jobSecret), key: "nobodys-key"}
	run := loadgen(t, cronScenario(s, `morning-digest {\"callback_url\": \"%s\"}`), nil, "-e", "SERVICE_ROLE_KEY="+s.key)
	if run.Code != 1 || run.Result != nil {
		t.Errorf("exit code %d", run.Code)
	}
	const want = "workload digest: register the job: POST /admin/v1/cron/jobs: answered 401"
	if !strings.Contains(run.Stderr, want) || strings.Contains(run.Stderr, s.key) {
		t.Errorf("it says %q, want %q", run.Stderr, want)
	}
}

// An interrupt while the first call is waited for ends the run before it has begun.
func TestCronInterruptedBeforeItsFirstCall(t *testing.T) {
	t.Parallel()
	run := loadgen(t, `
version: 1
name: first
target: http://127.0.0.1:1
duration: 1s
workloads:
  digest:
    protocol: cron
    cron: {schedule: 59 seconds, anchor: first}
`, func(p *os.Process) {
		time.Sleep(500 * time.Millisecond)
		if err := p.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
	})
	if run.Code != 105 || run.Result != nil || !strings.Contains(run.Stderr, "wait for the first call") || run.Took > 5*time.Second {
		t.Errorf("exit code %d after %v: %s", run.Code, run.Took, run.Stderr)
	}
}
