package retry

import (
	"sync"
	"time"
)

// Budget bounds the retries of all requests that share it. Its methods may be
// called concurrently.
type Budget interface {
	// Request notes that a logical request makes its first attempt.
	Request()
	// Attempt notes how an attempt ended: failed is one that the policy would retry.
	Attempt(failed bool)
	// Retry takes one retry, and reports whether there was one to take.
	Retry() bool
}

// BudgetName is the name of a budget in a policy. The empty one is NoBudget.
type BudgetName string

// The budgets there are.
const (
	NoBudget BudgetName = "none"
	Finagle  BudgetName = "finagle" // see Windowed
	GRPC     BudgetName = "grpc"    // see Bucket
)

func (n BudgetName) known() bool {
	return n == "" || n == NoBudget || n == Finagle || n == GRPC
}

// Budgets are the budgets of a process by their names. The zero value is ready, and
// its methods may be called concurrently.
type Budgets struct {
	windowed Windowed
	bucket   Bucket
}

// Of is the budget that the policy names: always the same one for a name, and nil
// where it names none.
func (b *Budgets) Of(p Policy) Budget {
	switch p.Budget {
	case Finagle:
		return &b.windowed
	case GRPC:
		return &b.bucket
	}
	return nil
}

// The numbers of Finagle's RetryBudget, as it is where nothing is configured.
const (
	windowedTime    = 10 * time.Second
	windowedSlots   = 10
	windowedPerSec  = 10
	windowedPerCent = 20
)

// Windowed is Finagle's RetryBudget (com.twitter.finagle.service.RetryBudget): of
// the last ten seconds' requests a fifth may be retried, and ten times a second
// beyond that. Both are counted in slots of one second. The zero value is ready.
type Windowed struct {
	mu       sync.Mutex
	start    time.Time
	slot     int64 // since start
	balances [windowedSlots]int64
}

// Request deposits a fifth of a retry.
func (w *Windowed) Request() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.balances[w.turn()] += windowedPerCent
}

// Attempt does nothing: this budget does not ask how attempts end.
func (w *Windowed) Attempt(bool) {}

// Retry withdraws a retry.
func (w *Windowed) Retry() bool {
	const one = 100 // in hundredths of a retry
	w.mu.Lock()
	defer w.mu.Unlock()
	slot := w.turn()
	balance := windowedPerSec * one * int64(windowedTime/time.Second)
	for _, b := range w.balances {
		balance += b
	}
	if balance < one {
		return false
	}
	w.balances[slot] -= one
	return true
}

// turn forgets what is past and returns the slot of now.
func (w *Windowed) turn() int {
	if w.start.IsZero() {
		w.start = time.Now()
	}
	now := int64(time.Since(w.start) / (windowedTime / windowedSlots))
	for forget := min(now-w.slot, windowedSlots); forget > 0; forget-- {
		w.balances[(now-forget+1)%windowedSlots] = 0
	}
	w.slot = max(w.slot, now)
	return int(w.slot % windowedSlots)
}

// The numbers of the example in gRPC's A6.
const (
	bucketMilliTokens = 10_000
	bucketMilliRatio  = 100
)

// Bucket is gRPC's retry throttling (proposal A6, "gRPC Retry Design", with the
// numbers of its example): of ten tokens each failed attempt takes one and each
// success gives a tenth back; there is a retry while more than half are left. The
// zero value is ready.
type Bucket struct {
	mu    sync.Mutex
	taken int64 // thousandths of a token
}

// Request does nothing: this budget counts attempts.
func (b *Bucket) Request() {}

// Attempt takes a token for a failure and gives a tenth for a success.
func (b *Bucket) Attempt(failed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if failed {
		b.taken = min(b.taken+1000, bucketMilliTokens)
	} else {
		b.taken = max(b.taken-bucketMilliRatio, 0)
	}
}

// Retry reports whether more than half of the tokens are left.
func (b *Bucket) Retry() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bucketMilliTokens-b.taken > bucketMilliTokens/2
}
