package sink

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// maxStrays bounds the names without a handler that are kept apart.
const maxStrays = 32

// OtherNames stands in Account.Strays for all names that are not among the first 32, or
// that no workload could have: such a part of a path may be a key.
const OtherNames = "…"

// An Account is what came to a sink over some time. A call is in it from when it has
// come whole, whatever becomes of its answer.
type Account struct {
	// Connections were taken; Refused were closed at once, for want of room.
	Connections, Refused int64
	// Calls by the name of their handler.
	Calls map[string]int64
	// Strays are the calls of names that had no handler, by name.
	Strays map[string]int64
	// Broken are the requests that are no calls: not HTTP, too long, or never whole.
	Broken int64
	// Unanswered are the calls whose answer was not, or not all, written, though it was
	// to be: the caller went first, or the handler or the sink did.
	Unanswered int64
}

// An account gathers an Account.
type account struct {
	connections, refused, broken, unanswered atomic.Int64

	mu     sync.Mutex
	calls  map[string]*atomic.Int64
	strays map[string]int64
}

// of is the count of a handler's name.
func (a *account) of(name string) *atomic.Int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.calls == nil {
		a.calls = make(map[string]*atomic.Int64)
	}
	if a.calls[name] == nil {
		a.calls[name] = new(atomic.Int64)
	}
	return a.calls[name]
}

// stray counts a call of a name that has no handler.
func (a *account) stray(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.strays == nil {
		a.strays = make(map[string]int64)
	}
	if _, known := a.strays[name]; !known && (len(a.strays) >= maxStrays || !scenario.IsName(name)) {
		name = OtherNames
	}
	a.strays[name]++
}

// Take returns what came since the last Take, or since Open.
func (s *Sink) Take() Account {
	a := &s.account
	a.mu.Lock()
	defer a.mu.Unlock()
	out := Account{
		Connections: a.connections.Swap(0), Refused: a.refused.Swap(0),
		Calls: make(map[string]int64, len(a.calls)), Strays: maps.Clone(a.strays),
		Broken: a.broken.Swap(0), Unanswered: a.unanswered.Swap(0),
	}
	for name, n := range a.calls {
		if n := n.Swap(0); n > 0 {
			out.Calls[name] = n
		}
	}
	clear(a.strays)
	return out
}
