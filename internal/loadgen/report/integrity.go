package report

import (
	"fmt"

	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
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

func streamOutcomes() []outcome {
	return []outcome{
		{"complete", "complete", "reached the protocol's proper end", "streams", false},
		{"truncated", "truncated", "ended without the terminal event: a cut stream, not a success", "streams", true},
		{"in_band_error", "in-band error", "an error event came under status 200: a failure, not a success", "streams", true},
		{"http_error", "HTTP error", "answered with an error, or with no event stream at all", "streams", true},
		{"timeout", "timeout", "not finished within the workload's time limit", "streams", true},
		{"connection_error", "connection error", "refused, reset, or lost on the way", "streams", true},
		{"unfinished", "unfinished", "still running when the drain ended", "streams", true},
		{"not_sent", "not sent", "the request could not be made", "streams", true},
		{"no_token", "no token", "came to a proper end without a single token", "streams", true},
		{"fake_streaming", "fake streaming", "all content came at once: generated whole and then sent, not streamed", "multi_chunk", true},
		{"stalled", "stalled", "held a gap above 500 ms and above 5 × the stream's median", "streams", true},
	}
}

func requestOutcomes() []outcome {
	return []outcome{
		{"succeeded", "succeeded", "answered in full, with the status and content asked for", "requests", false},
		{"check_failed", "check failed", "answered, but a check of the scenario does not hold", "requests", true},
		{"http_error", "HTTP error", "answered with a status that is no success, or a redirect that leads nowhere", "requests", true},
		{"truncated", "truncated", "ended before the body was whole: a cut answer, not a success", "requests", true},
		{"timeout", "timeout", "not finished within the workload's time limit", "requests", true},
		{"connection_error", "connection error", "refused, reset, or lost on the way", "requests", true},
		{"unfinished", "unfinished", "still running when the drain ended", "requests", true},
		{"not_sent", "not sent", "the request could not be made", "requests", true},
	}
}

func deliveryOutcomes() []outcome {
	return []outcome{
		{"received", "received", "arrived where they were expected, each counted once", "expected", false},
		{"lost", "lost", "expected but never came", "expected", true},
		{"duplicated", "duplicated", "came again", "expected", true},
		{"reordered", "reordered", "came after a later message of the same publisher", "expected", true},
		{"foreign", "foreign", "messages that are none of the room's", "", true},
		{"unexpected", "unexpected", "came to a member that had not settled or had left, or back to their sender", "", true},
		{"messages_incomplete", "incomplete", "messages that did not reach all their receivers", "published", true},
		{"publish_unplanned", "not published", "due while their room was not complete", "", true},
		{"publish_failed", "publish failed", "due, but the publisher had no connection or the write failed", "published", true},
		{"connect_failed", "connect failed", "members that got no connection", "", true},
		{"connections_lost", "connections lost", "ended before the member left", "connections", true},
		{"unclean_closes", "unclean closes", "the peer did not answer the close in time", "connections", true},
	}
}

// integrity says in words how a workload's streams, requests or deliveries came out.
func integrity(w *result.Workload) []finding {
	switch w.Protocol {
	case scenario.SSE:
		return append(findings(w, streamOutcomes()), traits(w)...)
	case scenario.HTTP:
		return findings(w, requestOutcomes())
	case scenario.WebSocket:
		return findings(w, deliveryOutcomes())
	}
	return nil
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
