package llm

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/edgeload/edgeload/internal/wire"
)

// Options sets up a Simulator; the zero value works.
type Options struct {
	Timing Timing // zero fields take the defaults stated there
	Faults Faults // of all requests, until SetFaults
	Alarm  *Alarm // makes waits precise while it runs; nil: Go's timers alone
}

// Simulator is an http.Handler for wire.PathMessages and wire.PathCompletions and
// a prometheus.Collector. It is safe for concurrent use.
type Simulator struct {
	timing       Timing
	faults       atomic.Pointer[faultSwitch]
	alarm        *Alarm
	counts       *counts
	descriptions descriptions
	number       atomic.Uint64 // of the last request, from 1
}

// New returns a simulator.
func New(opts Options) *Simulator {
	s := &Simulator{timing: opts.Timing.OrDefault(), alarm: opts.Alarm, counts: newCounts(), descriptions: newDescriptions()}
	s.SetFaults(opts.Faults)
	return s
}

// SetFaults sets what goes wrong with answers from now on, in place of what was
// set before. Answers under way stay as they are. Probabilities and #N count anew.
func (s *Simulator) SetFaults(faults Faults) { s.faults.Store(newFaultSwitch(faults)) }

// Faults returns what was set.
func (s *Simulator) Faults() Faults { return s.faults.Load().faults }

// ServeHTTP answers one request: at wire.PathCompletions in OpenAI's form, at any
// other path in Anthropic's. As soon as the client leaves, and where a fault cuts
// the connection, it ends with http.ErrAbortHandler.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	number := s.number.Add(1)
	s.counts.inFlight.Add(1)
	defer s.counts.inFlight.Add(-1)

	d := dialectAt(r.URL.Path)
	requestID := fmt.Sprintf("req_%016x", number)
	w.Header().Set(d.idHeader(), requestID)
	a, fault := s.accept(w, r, d, start, number)
	if fault != nil {
		s.counts.ended(OutcomeError)
		fault.write(w, d, requestID)
		return
	}
	a.wait.begin(r.Context())
	defer a.wait.stop()

	answer := a.whole
	if a.stream {
		answer = a.events
	}
	outcome, err := answer(r.Context(), w)
	if err != nil { // the one reason: nobody reads any more
		outcome = OutcomeAborted
	}
	s.counts.ended(outcome)
	if outcome == OutcomeAborted || outcome == OutcomeCut {
		panic(http.ErrAbortHandler) // net/http's way to end an answer as broken off
	}
}

// accept checks a request and draws its schedule and its faults.
func (s *Simulator) accept(w http.ResponseWriter, r *http.Request, d dialect, start time.Time, number uint64) (*answer, *apiError) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return nil, &apiError{status: http.StatusMethodNotAllowed, message: "method not allowed: want POST"}
	}
	timing, draw, err := s.timing.forRequest(r.Header, number)
	if err != nil {
		return nil, invalid("%v", err)
	}
	plan, fault := s.plan(r.Header, timing.Seed, draw)
	if fault != nil {
		return nil, fault
	}
	req, fault := readRequest(w, r, d)
	if fault != nil {
		return nil, fault
	}
	reasoning := min(plan.reasoning, req.maxTokens)
	return &answer{
		dialect: d,
		head: head{
			id: fmt.Sprintf("%016x", number), model: req.model, created: start, inputTokens: req.inputTokens,
			includeUsage: req.includeUsage, reasoning: reasoning > 0, roleOnly: plan.roleOnly,
		},
		stream:   req.stream,
		start:    start,
		schedule: timing.schedule(rand.New(rand.NewPCG(timing.Seed, draw)), reasoning, req.maxTokens),
		thoughts: reasoning,
		plan:     plan,
		counts:   s.counts,
		chunks:   s.counts.shard(number),
		wait:     waiter{alarm: s.alarm},
	}, nil
}

// plan returns what goes wrong with a request, or the error it is answered with:
// what its headers ask for, else what is set for all.
func (s *Simulator) plan(h http.Header, seed, number uint64) (plan, *apiError) {
	status, fault := askedStatus(wire.HeaderSimStatus, h.Get(wire.HeaderSimStatus))
	if fault != nil {
		return plan{}, fault
	}
	if status != 0 {
		s.counts.gave(FaultStatus)
		return plan{}, &apiError{status: status, message: "asked for by header " + wire.HeaderSimStatus}
	}
	faults, found, err := askedFaults(h)
	if err != nil {
		return plan{}, invalid("%v", err)
	}
	var p plan
	if found {
		p = faults.plan(seed, number, func(int) bool { return true })
	} else {
		p = s.faults.Load().plan(s.timing.Seed)
	}
	if p.status != nil {
		s.counts.gave(FaultStatus)
		return plan{}, &apiError{status: p.status.Status, message: "asked for by fault " + p.status.String(), retryAfter: p.status.RetryAfter}
	}
	return p, nil
}
