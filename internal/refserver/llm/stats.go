package llm

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Outcome is how a request ended.
type Outcome string

// The outcomes there are.
const (
	OutcomeComplete   Outcome = "complete"
	OutcomeAborted    Outcome = "aborted"     // the client left
	OutcomeError      Outcome = "error"       // answered with an error status
	OutcomeErrorEvent Outcome = "error-event" // ended by a fault of that kind
	OutcomeCut        Outcome = "cut"         // ended by a fault of that kind
	OutcomeTruncated  Outcome = "truncated"   // ended by a fault truncate
)

var outcomes = []Outcome{OutcomeComplete, OutcomeAborted, OutcomeError, OutcomeErrorEvent, OutcomeCut, OutcomeTruncated}

// Stats is what a Simulator did since it was made.
type Stats struct {
	Requests map[Outcome]uint64   `json:"requests"`  // that ended, by outcome
	InFlight int64                `json:"in_flight"` // being answered
	Tokens   uint64               `json:"tokens"`    // output tokens sent, reasoning included
	Given    map[FaultKind]uint64 `json:"given"`     // answers with a fault, by kind; of the kinds that strike, each time
}

// Stats returns the counts. Those of one instant: a request that ends meanwhile may
// be in some of them already.
func (s *Simulator) Stats() Stats {
	stats := Stats{
		Requests: make(map[Outcome]uint64, len(outcomes)),
		Given:    make(map[FaultKind]uint64, len(faultKinds)),
		InFlight: s.counts.inFlight.Load(),
		Tokens:   s.counts.tokens(),
	}
	for i, o := range outcomes {
		stats.Requests[o] = s.counts.requests[i].Load()
	}
	for i, k := range faultKinds {
		stats.Given[k] = s.counts.given[i].Load()
	}
	return stats
}

// counts is what the simulator counts as it goes.
type counts struct {
	requests []atomic.Uint64 // as outcomes
	given    []atomic.Uint64 // as faultKinds
	inFlight atomic.Int64
	shards   [16]shard
}

// shard counts the chunks of some answers, so that threads seldom write to the same
// memory.
type shard struct {
	tokens   atomic.Uint64
	lateness histogram
	_        [64]byte
}

func newCounts() *counts {
	return &counts{requests: make([]atomic.Uint64, len(outcomes)), given: make([]atomic.Uint64, len(faultKinds))}
}

// shard is where the request of that number counts.
func (c *counts) shard(number uint64) *shard { return &c.shards[number%uint64(len(c.shards))] }

// sent counts one chunk.
func (s *shard) sent(tokens int, late time.Duration) {
	s.tokens.Add(uint64(tokens))
	s.lateness.observe(late)
}

// tokens are the output tokens of all answers.
func (c *counts) tokens() (n uint64) {
	for i := range c.shards {
		n += c.shards[i].tokens.Load()
	}
	return n
}

func (c *counts) ended(o Outcome) {
	for i := range outcomes {
		if outcomes[i] == o {
			c.requests[i].Add(1)
		}
	}
}

func (c *counts) gave(k FaultKind) {
	for i := range faultKinds {
		if faultKinds[i] == k {
			c.given[i].Add(1)
		}
	}
}

// latenessBounds are the upper bounds of the histogram's buckets.
var latenessBounds = [...]time.Duration{
	50 * time.Microsecond, 100 * time.Microsecond, 200 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2 * time.Second, 5 * time.Second,
}

// histogram counts durations. It is safe for concurrent use.
type histogram struct {
	buckets [len(latenessBounds) + 1]atomic.Uint64
	sum     atomic.Int64 // nanoseconds
}

func (h *histogram) observe(d time.Duration) {
	i := 0
	for i < len(latenessBounds) && d > latenessBounds[i] {
		i++
	}
	h.buckets[i].Add(1)
	h.sum.Add(int64(d))
}

// lateness is the histogram of all answers.
func (c *counts) lateness(desc *prometheus.Desc) prometheus.Metric {
	below := make(map[float64]uint64, len(latenessBounds))
	var n uint64
	var sum time.Duration
	for i := range len(latenessBounds) + 1 {
		for k := range c.shards {
			n += c.shards[k].lateness.buckets[i].Load()
		}
		if i < len(latenessBounds) {
			below[latenessBounds[i].Seconds()] = n
		}
	}
	for k := range c.shards {
		sum += time.Duration(c.shards[k].lateness.sum.Load())
	}
	return prometheus.MustNewConstHistogram(desc, n, sum.Seconds(), below)
}
