package report

import (
	"fmt"

	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// A finding is one way in which streams, requests or deliveries came out, or a trait of
// them that is easily mistaken.
type finding struct {
	Name, Count, Words string
	Bad, None          bool // a failure; none of them
}

// An outcome is a counter in words. of is the counter that it is a share of.
type outcome struct {
	counter, name, words, of string
	bad                      bool
}

// integrity says in words how a workload's streams, requests or deliveries came out.
func integrity(w *result.Workload) []finding {
	v := viewOf(w)
	all := findings(w, v.outcomes)
	if v.traits != nil {
		all = append(all, v.traits(w)...)
	}
	return all
}

func findings(w *result.Workload, outcomes []outcome) []finding {
	var all []finding
	for _, o := range outcomes {
		n, ok := count(w, o.counter)
		if !ok {
			continue
		}
		f := finding{Name: o.name, Count: whole(n), Words: o.words, Bad: o.bad && n > 0, None: n == 0}
		if total, ok := count(w, o.of); ok && total > 0 && n > 0 {
			f.Count += " (" + percent(n, total) + ")"
		}
		all = append(all, f)
	}
	return all
}

// earlyEvent is the share of the median TTFT before which the median first
// event must have come to be called bare.
const earlyEvent = 0.9

// traits are the two kinds of stream whose first token is easily mistaken.
func traits(w *result.Workload) []finding {
	var all []finding
	first := find(w, "ttft_service")
	if first == nil {
		first = find(w, "ttft")
	}
	p50 := func(m *result.Metric) string { return m.Unit.Format(float64(m.Distribution.P50)) }
	if think := find(w, "thinking"); think != nil && think.Distribution.Max > 0 {
		f := finding{Name: "reasoning first", Count: whole(think.Samples())}
		f.Words = "reasoning came before the answer, by " + p50(think) + " at p50"
		if answer := find(w, "ttfo"); answer != nil && first != nil {
			f.Words += fmt.Sprintf(": first token (%s) %s, first token of the answer (ttfo) %s", first.Name, p50(first), p50(answer))
		}
		all = append(all, f)
	}
	event := find(w, "first_event")
	if event != nil && first != nil && float64(event.Distribution.P50) < earlyEvent*float64(first.Distribution.P50) {
		all = append(all, finding{
			Name: "first event bare", Count: whole(event.Samples()),
			Words: fmt.Sprintf("the first event holds no token (role or metadata only): it came at %s at p50, the first token at %s; TTFT counts the token",
				p50(event), p50(first)),
		})
	}
	return all
}
