package scenario

import (
	"strings"
	"testing"
	"time"
)

const cronDocument = `
version: 1
name: jobs
target: http://127.0.0.1:8080
duration: 20s
workloads:
  digest:
    protocol: cron
    cron: {schedule: SCHEDULE}
    extract: {job: {json: $.jobid}}
`

func readCron(t *testing.T, schedule, more string) *Scenario {
	t.Helper()
	src := strings.ReplaceAll(cronDocument, "SCHEDULE}", schedule+", register: {path: /jobs, body: '{{ .Callback }}'}"+more+"}")
	s, err := Parse("cron.yaml", []byte(src), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCronDefaults(t *testing.T) {
	for schedule, want := range map[string]time.Duration{"2 seconds": 2 * time.Second, "45 seconds": 30 * time.Second, "'*/5 * * * *'": 30 * time.Second} {
		s := readCron(t, schedule, "")
		j := s.Workloads["digest"].Cron
		if time.Duration(j.Missed) != want || j.Timezone != "UTC" || j.Anchor != AnchorEpoch || j.Register.Method != "POST" {
			t.Errorf("%s: %+v", schedule, j)
		}
		if s.Drain < Duration(10*time.Second) || s.Drain <= j.Missed {
			t.Errorf("%s: a drain of %s cuts what may come for %s", schedule, s.Drain, j.Missed)
		}
	}
	s := readCron(t, "2 seconds", ", missed: 45s, anchor: first, timezone: Europe/Berlin, remove: {path: '/jobs/{{ .Vars.job }}', method: DELETE}")
	if j := s.Workloads["digest"].Cron; j.Anchor != AnchorFirst || j.Missed != Duration(45*time.Second) || s.Drain != Duration(46*time.Second) || j.Remove.Method != "DELETE" {
		t.Errorf("%+v, drain %s", j, s.Drain)
	}
	if schedule, err := s.Workloads["digest"].Cron.Parse(); err != nil || schedule.Seconds() != 2*time.Second {
		t.Errorf("%+v, %v", schedule, err)
	}
}

// What makes and removes a job may carry a key, which no result has.
func TestCronKeysAreLeftOut(t *testing.T) {
	s := readCron(t, "2 seconds", ", remove: {path: '/jobs?api_key={{ printf `hidden` }}', headers: {Authorization: '{{ printf `Bearer hidden` }}'}}")
	s.Workloads["digest"].Cron.Register.Headers = map[string]string{"X-Auth-Token": "hidden", "X-Else": "shown"}
	j := s.Redacted().Workloads["digest"].Cron
	shown := j.Register.Headers["X-Auth-Token"] + j.Remove.Headers["Authorization"] + j.Remove.Path
	if strings.Contains(shown, "hidden") || j.Register.Headers["X-Else"] != "shown" {
		t.Errorf("%+v %+v", j.Register, j.Remove)
	}
	if s.Workloads["digest"].Cron.Remove.Headers["Authorization"] != "{{ printf `Bearer hidden` }}" {
		t.Error("the scenario itself has lost its key")
	}
}
