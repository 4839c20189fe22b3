package edge

import (
	"errors"
	"fmt"
	"time"
)

// Policy is how requests share workers.
type Policy uint8

// The policies there are, as the platform names them.
const (
	PerWorker  Policy = iota // per_worker: many requests at once in a worker
	PerRequest               // per_request: one unacknowledged request at a time in a worker; others wait for a free one
	OneShot                  // oneshot: a new worker for each request; it dies at the request's end, and its pending tasks with it
)

var policyNames = [...]string{PerWorker: "per_worker", PerRequest: "per_request", OneShot: "oneshot"}

// String is the platform's name of the policy.
func (p Policy) String() string {
	if int(p) < len(policyNames) {
		return policyNames[p]
	}
	return fmt.Sprintf("Policy(%d)", uint8(p))
}

// MarshalText is String.
func (p Policy) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the platform's name of a policy.
func (p *Policy) UnmarshalText(text []byte) error {
	for i, name := range policyNames {
		if name == string(text) {
			*p = Policy(i)
			return nil
		}
	}
	return fmt.Errorf("policy %q: want per_worker, per_request or oneshot", text)
}

// Limits bound what workers and requests may use. Zero in a field is no limit, so
// the zero value limits nothing.
//
// CPU time and memory are counted for the whole worker under PerWorker, as the
// platform's supervisor counts them: all requests and background tasks of a worker
// share them. Under PerRequest and OneShot they are counted for each invocation,
// its background tasks included. Either way it is the worker that dies of them.
type Limits struct {
	Policy Policy `json:"policy"`

	CPUSoft time.Duration `json:"cpu_soft_ns"`  // CPU time from which a worker takes no new request
	CPU     time.Duration `json:"cpu_ns"`       // CPU time at which a worker is killed
	Memory  int64         `json:"memory_bytes"` // bytes above which a worker is killed

	// ResponseBytes is the largest body of an answer that is not flushed before its
	// end. A larger one fails; one that is flushed is a stream, and passes.
	ResponseBytes int64 `json:"response_bytes"`

	WallClock   time.Duration `json:"wall_clock_ns"`   // a worker retires at half of it and is killed at the whole
	RequestIdle time.Duration `json:"request_idle_ns"` // 504 to a request that has sent nothing for so long; a stream ends
	RequestWait time.Duration `json:"request_wait_ns"` // 503 to a request that found no free worker for so long
}

// Check reports every field that cannot be, together.
func (l Limits) Check() error {
	var errs []error
	if int(l.Policy) >= len(policyNames) {
		errs = append(errs, fmt.Errorf("policy %s: want per_worker, per_request or oneshot", l.Policy))
	}
	for name, d := range map[string]time.Duration{
		"soft limit of CPU time": l.CPUSoft, "CPU time": l.CPU, "wall clock": l.WallClock,
		"request idle timeout": l.RequestIdle, "request wait timeout": l.RequestWait,
	} {
		if d < 0 {
			errs = append(errs, fmt.Errorf("%s %s: want zero (no limit) or more", name, d))
		}
	}
	if l.CPU > 0 && l.CPUSoft > l.CPU {
		errs = append(errs, fmt.Errorf("soft limit of CPU time %s: want at most the hard limit, %s", l.CPUSoft, l.CPU))
	}
	if l.Memory < 0 {
		errs = append(errs, fmt.Errorf("memory %d: want zero (no limit) or more", l.Memory))
	}
	if l.ResponseBytes < 0 {
		errs = append(errs, fmt.Errorf("response bytes %d: want zero (no limit) or more", l.ResponseBytes))
	}
	return errors.Join(errs...)
}

// buffers reports whether answers are held back until they are flushed or
// complete: where their size is limited, or the memory they take.
func (l *Limits) buffers() bool { return l.ResponseBytes > 0 || l.Memory > 0 }
