package llm

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/edgeload/edgeload/internal/wire"
)

// faultSwitch is the faults in force for all requests, since they were set.
type faultSwitch struct {
	faults   Faults
	requests atomic.Uint64
	drawn    []atomic.Int64 // for each fault, the answers that drew it
}

func newFaultSwitch(faults Faults) *faultSwitch {
	return &faultSwitch{faults: faults, drawn: make([]atomic.Int64, len(faults.list))}
}

// plan draws what goes wrong with the next answer. seed is taken where the faults
// have none of their own.
func (s *faultSwitch) plan(seed uint64) plan {
	if s.faults.IsZero() {
		return plan{}
	}
	return s.faults.plan(seed, s.requests.Add(1), func(i int) bool {
		first := int64(s.faults.list[i].First)
		return first == 0 || s.drawn[i].Add(1) <= first
	})
}

// askedFaults reads the header that sets the faults of one request; found is false
// where it is absent.
func askedFaults(h http.Header) (faults Faults, found bool, err error) {
	text := h.Get(wire.HeaderSimFault)
	if text == "" {
		return Faults{}, false, nil
	}
	if faults, err = ParseFaults(text); err != nil {
		return Faults{}, false, fmt.Errorf("header %s: %w", wire.HeaderSimFault, err)
	}
	if slices.ContainsFunc(faults.list, func(f Fault) bool { return f.First > 0 }) {
		return Faults{}, false, fmt.Errorf("header %s: #N counts answers, so it belongs to faults for all requests", wire.HeaderSimFault)
	}
	return faults, true, nil
}

// plan is what goes wrong with one answer. Its zero value is nothing.
type plan struct {
	strikes   []Fault // by After
	ping      time.Duration
	status    *Fault
	reasoning int
	roleOnly  roleOnly
	split     bool
}

// plan draws from (seed, number), on a source of its own, so that faults change
// nothing in an answer's timing. allowed says whether a fault that was drawn is
// still to be given.
func (f Faults) plan(seed, number uint64, allowed func(i int) bool) plan {
	if f.seeded {
		seed = f.seed
	}
	var rng *rand.Rand
	var p plan
	for i := range f.list {
		fault := &f.list[i]
		if fault.Probability < 1 {
			if rng == nil {
				rng = rand.New(rand.NewPCG(^seed, number))
			}
			if rng.Float64() >= fault.Probability {
				continue
			}
		}
		if p.status != nil || !allowed(i) { // an answer with an error status has no other fault
			continue
		}
		p.add(fault)
	}
	if p.status != nil {
		return plan{status: p.status}
	}
	slices.SortStableFunc(p.strikes, func(a, b Fault) int { return a.After - b.After })
	return p
}

func (p *plan) add(f *Fault) {
	switch f.Kind {
	case FaultStatus:
		p.status = f
	case FaultReasoning:
		p.reasoning = f.Tokens
	case FaultRoleOnly:
		p.roleOnly = roleOnlyOn
		if f.Off {
			p.roleOnly = roleOnlyOff
		}
	case FaultSplit:
		p.split = true
	case FaultPing:
		p.ping = f.For
	default:
		p.strikes = append(p.strikes, *f)
	}
}
