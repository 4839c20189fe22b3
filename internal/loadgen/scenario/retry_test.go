package scenario

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// retrying is a small scenario with a retry workload of this policy.
func retrying(policy string) string {
	return `version: 1
name: a
target: http://127.0.0.1:1
duration: 1s
workloads:
  api:
    protocol: retry
    load: {rate: 1/s}
    request: {path: /, body: '{"url": {{ .Callback | json }}}'}
    upstream: {odds: {503: 20%}}
    policy: ` + policy + "\n"
}

func TestPolicyDefaults(t *testing.T) {
	yes, no := true, false
	second, tolerance := Duration(time.Second), Duration(100*time.Millisecond)
	wide := Statuses{{408, 408}, {429, 429}, {500, 599}}
	for text, want := range map[string]Policy{
		"{}":                      {Backoff: BackoffGuide, Attempts: 3, Base: second, On: Statuses{{500, 599}}, OnErrors: &no, Tolerance: tolerance},
		"{backoff: full}":         {Backoff: BackoffFull, Attempts: 3, Base: second, Cap: 20 * second, On: wide, OnErrors: &yes, Tolerance: tolerance},
		"{backoff: equal}":        {Backoff: BackoffEqual, Attempts: 3, Base: second, Cap: 20 * second, On: wide, OnErrors: &yes, Tolerance: tolerance},
		"{backoff: decorrelated}": {Backoff: BackoffDecorrelated, Attempts: 3, Base: second, Cap: 20 * second, On: wide, OnErrors: &yes, Tolerance: tolerance},
		"{backoff: exponential, base: 1m}": {
			Backoff: BackoffExponential, Attempts: 3, Base: 60 * second, Cap: 60 * second, On: wide, OnErrors: &yes, Tolerance: tolerance,
		},
		"{backoff: constant, on: 503, on_errors: false, tolerance: 0s}": {Backoff: BackoffConstant, Attempts: 3, Base: second, On: Statuses{{503, 503}}, OnErrors: &no},
		"{backoff: none}": {Backoff: BackoffNone, Attempts: 1, OnErrors: &no, Tolerance: tolerance},
	} {
		s, err := Parse("a.yaml", []byte(retrying(text)), Options{})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if diff := cmp.Diff(&want, s.Workloads["api"].Policy); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
		if s.Workloads["api"].Timeout != Duration(time.Minute) {
			t.Errorf("timeout %s", s.Workloads["api"].Timeout)
		}
	}
}
