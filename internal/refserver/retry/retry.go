// Package retry holds the policies by which a request is tried again: when, how
// often, after how long, and on whose account.
//
// A Policy is data with a text form (see Policy.UnmarshalText):
//
//	none                                     one attempt
//	guide                                    the guide's fetchWithRetry, faults included
//	full:base=200ms,cap=10s,attempts=5       full jitter
//	equal:base=1s,cap=20s                    equal jitter
//	decorrelated:base=1s,cap=20s,budget=grpc decorrelated jitter under a retry budget
//
// Before retry n, from 0, these wait
//
//	guide         2ⁿ·1s + U(0, 1s)
//	full          U(0, t) with t = min(cap, base·2ⁿ)
//	equal         t/2 + U(0, t/2)
//	decorrelated  min(cap, U(base, 3·before)), before first being base
//
// where U is uniform and without its upper end; the last three are those of the AWS
// Architecture Blog, "Exponential Backoff And Jitter". Do carries a policy out and
// says of every attempt when it began, what came of it, and why there was no further
// one. A Budget bounds the retries of a whole process.
//
// The package waits on time alone: what an attempt is, and what protocol it speaks,
// is its caller's affair.
package retry

import (
	"errors"
	"fmt"
	"time"
)

// Kind is the family of a policy.
type Kind string

// The kinds there are. The empty one is None.
const (
	None         Kind = "none"
	Guide        Kind = "guide"
	Full         Kind = "full"
	Equal        Kind = "equal"
	Decorrelated Kind = "decorrelated"
)

// Bounds of a policy, so that one that comes with a request can do no harm.
const (
	MaxAttempts = 20
	MaxWait     = time.Hour // of Base, Cap and AttemptTimeout
)

// Policy says how a request is tried. The zero value tries once; Default has the
// usual values of a kind. It is immutable, and may be shared.
type Policy struct {
	Kind     Kind
	Attempts int // at most, the first included; 0 is 1

	AttemptTimeout time.Duration // of one attempt, its body included; 0: none

	// Of full, equal and decorrelated only:

	Base time.Duration // the unit of the backoff
	Cap  time.Duration // no backoff is above it

	// RetryAfter makes a wait as long as the server asked for, where that is more
	// than the backoff. Where it asked for more than Patience, Do gives up: to try
	// earlier would be to ignore it.
	RetryAfter bool

	Budget BudgetName // that retries are taken from

	Seed uint64 // fixes the draws of each Do; 0: new ones each time
}

// Patience is the longest wait that a server may ask for. It is also the limit of
// the JavaScript SDKs of Anthropic and OpenAI.
const Patience = time.Minute

// Default is a policy of the kind with its usual values: three attempts (the guide's,
// also Google's SRE book, "Addressing Cascading Failures"), and for the kinds with
// jitter the AWS SDKs' base of 1 s and cap of 20 s, and Retry-After honoured.
func Default(kind Kind) Policy {
	switch kind {
	case Guide:
		return Policy{Kind: Guide, Attempts: 3}
	case Full, Equal, Decorrelated:
		return Policy{Kind: kind, Attempts: 3, Base: time.Second, Cap: 20 * time.Second, RetryAfter: true}
	}
	return Policy{Kind: kind, Attempts: 1}
}

// Validate reports every value that is out of bounds or that the kind has no use
// for.
func (p Policy) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch p.Kind {
	case Full, Equal, Decorrelated:
		if p.Base <= 0 || p.Base > MaxWait {
			bad("base %s: want more than 0 and at most %s", p.Base, MaxWait)
		}
		if p.Cap < p.Base || p.Cap > MaxWait {
			bad("cap %s: want at least the base, %s, and at most %s", p.Cap, p.Base, MaxWait)
		}
		if !p.Budget.known() {
			bad("budget %q: want none, finagle or grpc", p.Budget)
		}
	case Guide, None, "":
		if p.Base != 0 || p.Cap != 0 || p.RetryAfter || p.Budget != "" && p.Budget != NoBudget {
			bad("policy %s has no base, cap, retry_after or budget", p.kind())
		}
	default:
		bad("unknown kind %q: want none, guide, full, equal or decorrelated", p.Kind)
	}
	if p.AttemptTimeout < 0 || p.AttemptTimeout > MaxWait {
		bad("attempt_timeout %s: want at most %s, and 0 for none", p.AttemptTimeout, MaxWait)
	}
	switch {
	case p.kind() == None && p.Attempts > 1:
		bad("attempts %d: policy none has one", p.Attempts)
	case p.Attempts < 0 || p.Attempts > MaxAttempts:
		bad("attempts %d: want 1 to %d", p.Attempts, MaxAttempts)
	}
	return errors.Join(errs...)
}

func (p Policy) kind() Kind {
	if p.Kind == "" {
		return None
	}
	return p.Kind
}

// retries reports whether the policy would try again after this outcome. The guide
// does on a status from 500 on only; the others on 408 and 429 and on every error
// too, but one that cannot end otherwise.
func (p Policy) retries(o Outcome) bool {
	switch p.kind() {
	case None:
		return false
	case Guide:
		return o.Err == nil && o.Status >= 500
	}
	if o.Err != nil {
		return !o.Final
	}
	return o.Status >= 500 || o.Status == 429 || o.Status == 408
}
