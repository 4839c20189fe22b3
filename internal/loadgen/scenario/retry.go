package scenario

// A Policy is how a target says that it tries again; what it does is held against it.
type Policy struct {
	// Backoff is the rule of the waits: guide (default; 2ⁿ·base + U(0, base)), full
	// (U(0, t), t = min(cap, base·2ⁿ)), equal (t/2 + U(0, t/2)), decorrelated
	// (min(cap, U(base, 3·the last wait))), exponential (t, without jitter), constant
	// (base) or none (one attempt). n counts retries from 0.
	Backoff Backoff `yaml:"backoff,omitempty" json:"backoff"`
	// Attempts is the most a logical request may have; default 3, with none 1.
	Attempts int `yaml:"attempts,omitempty" json:"attempts"`
	// Base of the waits; default 1s. With none there is none.
	Base Duration `yaml:"base,omitempty" json:"base"`
	// Cap is the longest wait; default 20s, or base where that is longer. guide and
	// constant have none.
	Cap Duration `yaml:"cap,omitempty" json:"cap"`
	// RetryAfter says that the target heeds an upstream's Retry-After, which then is
	// the shortest wait. It may give up where that is above Cap.
	RetryAfter bool `yaml:"retry_after,omitempty" json:"retry_after,omitempty"`
	// On is what is tried again; default 5xx for guide, and 408, 429 and 5xx for others.
	On Statuses `yaml:"on,omitempty" json:"on"`
	// OnErrors says that a call without an answer is tried again, too; default true
	// but for guide.
	OnErrors *bool `yaml:"on_errors,omitempty" json:"on_errors"`
	// Tolerance is how much longer than by the rule a wait may be, for what the network
	// and the target's own work add; default 100ms. It cannot be shorter by more than
	// the 2ms that timers are early.
	Tolerance Duration `yaml:"tolerance,omitempty" json:"tolerance"`
}

// Backoff is a rule of the waits between attempts.
type Backoff string

// Backoffs.
const (
	BackoffGuide        Backoff = "guide"
	BackoffFull         Backoff = "full"
	BackoffEqual        Backoff = "equal"
	BackoffDecorrelated Backoff = "decorrelated"
	BackoffExponential  Backoff = "exponential"
	BackoffConstant     Backoff = "constant"
	BackoffNone         Backoff = "none"
)
