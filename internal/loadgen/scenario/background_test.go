package scenario

import (
	"strings"
	"testing"
	"time"
)

// background is a small scenario with a background workload of this job.
func background(top, job string) string {
	return "version: 1\nname: a\ntarget: http://127.0.0.1:1\nduration: 1s\n" + top + `
workloads:
  api: {protocol: http, load: {rate: 1/s}, request: {path: /}}
  jobs:
    protocol: background
    load: {rate: 1/s}
    request: {path: /, body: '{"callback": {{ .Callback | json }}}'}
    extract: {job: {header: X-Job}}
    job: ` + job + "\n"
}

func TestJobDefaults(t *testing.T) {
	s, err := Parse("a.yaml", []byte(background("", "{}")), Options{})
	if err != nil {
		t.Fatal(err)
	}
	j := s.Workloads["jobs"].Job
	if j.Callback == nil || j.Callback.Header+j.Callback.Query+j.Callback.ID+j.Callback.JSON.Text != "" || j.Poll != nil || j.Deadline != Duration(30*time.Second) {
		t.Errorf("job %+v", j)
	}
	if s.Workloads["jobs"].Timeout != Duration(30*time.Second) {
		t.Errorf("timeout %s", s.Workloads["jobs"].Timeout)
	}
	s, err = Parse("a.yaml", []byte(background("", "{poll: {request: {path: '/{{ .Vars.job }}', body: x}, done: {status: 200}}}")), Options{})
	if err != nil {
		t.Fatal(err)
	}
	j = s.Workloads["jobs"].Job
	if j.Callback != nil || j.Poll.Every != Duration(100*time.Millisecond) || j.Poll.Request.Method != "POST" {
		t.Errorf("job %+v, %+v", j, j.Poll)
	}
}

// A run drains until the last of its jobs are judged.
func TestDrainLastsUntilTheDeadline(t *testing.T) {
	for _, tt := range []struct {
		top, job string
		drain    time.Duration
	}{
		{"", "{}", 31 * time.Second},
		{"", "{deadline: 1m}", 61 * time.Second},
		{"", "{deadline: 2s}", 10 * time.Second},
		{"drain: 2s", "{deadline: 2s}", 2 * time.Second},
		{"drain: 5m", "{}", 5 * time.Minute},
		{"", "{deadline: 720h}", 720 * time.Hour},
	} {
		s, err := Parse("a.yaml", []byte(background(tt.top, tt.job)), Options{})
		if err != nil {
			t.Errorf("%s %s: %v", tt.top, tt.job, err)
		} else if time.Duration(s.Drain) != tt.drain {
			t.Errorf("%s %s: drains for %s, want %s", tt.top, tt.job, s.Drain, tt.drain)
		}
	}
	_, err := Parse("a.yaml", []byte(background("drain: 2s", "{deadline: 3s}")), Options{})
	if err == nil || !strings.Contains(err.Error(), "a.yaml:5:8: drain: is shorter than the deadline") {
		t.Errorf("a drain that is too short: %v", err)
	}
}
