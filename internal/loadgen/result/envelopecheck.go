package result

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// envelopeSlack is by how much a run may exceed a level, as a share: rates vary
// a little from run to run.
const envelopeSlack = .02

// Check says in what r went beyond the envelope: one reason for each kind of load
// that exceeded its limit, or one for kinds that exceed them together. The levels
// without busy loops count; how busy the machine was in r is for Judge. A kind that
// was not calibrated is not judged. A run whose receive instants come from elsewhere
// than the envelope's has one reason for that alone.
func (e *Envelope) Check(r *Result) []Reason {
	if from := r.Health.ReceiveSource; from != e.ReceiveSource {
		return []Reason{{
			State: Degraded, Check: "envelope",
			Detail: fmt.Sprintf("receive instants come from %q and this machine was calibrated with %q", from, e.ReceiveSource),
			Remedy: "calibrate anew: loadgen calibrate",
		}}
	}
	var reasons []Reason
	var sum float64
	var sharing []string
	for _, limit := range e.Limits {
		if limit.Busy > 0 {
			continue
		}
		share, reason := e.exceeds(limit, loadOf(r, limit.Kind))
		if reason != nil {
			reasons = append(reasons, *reason)
		}
		if share > 0 {
			sum += share
			sharing = append(sharing, limit.Kind.String())
		}
	}
	if len(reasons) == 0 && len(sharing) > 1 && sum > 1+envelopeSlack {
		reasons = append(reasons, Reason{
			State: Degraded, Check: "envelope",
			Detail: fmt.Sprintf("%s together took %.0f%% of what this machine was calibrated for", strings.Join(sharing, " and "), 100*sum),
			Remedy: "run them apart, lower the load, or give loadgen a larger machine and calibrate it",
		})
	}
	return reasons
}

// A load is what the workloads of one kind came to.
type load struct {
	inFlight, events float64 // at once, on average; a second
}

// loadOf adds up the workloads of a kind over the measured part of r.
func loadOf(r *Result, k LoadKind) load {
	var l load
	measured := time.Duration(r.Scenario.Duration)
	if r.Interrupted {
		measured = min(measured, r.ElapsedNS-time.Duration(r.Scenario.Warmup))
	}
	events := "chunks"
	if k.Protocol == scenario.WebSocket {
		events = "received"
	}
	for _, w := range r.Workloads {
		if kindOf(r.Scenario, w) != k {
			continue
		}
		l.inFlight += w.InFlight.Looked
		if measured > 0 {
			l.events += w.counter(events) / measured.Seconds()
		}
	}
	return l
}

// kindOf is the kind of load that a workload was. Whether a stream came over HTTP/2
// is settled by the server, and counted; the rest stands in the scenario.
func kindOf(sc *scenario.Scenario, w Workload) LoadKind {
	k := LoadKind{w.Protocol, Plain}
	address := sc.Target
	if path := pathOf(sc.Workloads[w.Name]); strings.Contains(path, "://") {
		address = path // it goes elsewhere than the rest
	}
	switch {
	case w.counter("http2") > 0:
		k.Over = HTTP2
	case strings.HasPrefix(address, "https:"), strings.HasPrefix(address, "wss:"):
		k.Over = TLS
	}
	return k
}

// pathOf is what a workload asks for, empty where the scenario does not say.
func pathOf(w *scenario.Workload) string {
	switch {
	case w == nil:
	case w.Request != nil:
		return w.Request.Path
	case w.Room != nil:
		return w.Room.Path
	}
	return ""
}

// counter is the value of a workload's counter, 0 where it has none of the name.
func (w Workload) counter(name string) float64 {
	for _, m := range w.Metrics {
		if m.Name == name && m.Kind == Counter {
			return m.Value
		}
	}
	return 0
}

// exceeds is the share of a limit that a load takes, and a reason where that is
// more than all of it.
func (e *Envelope) exceeds(limit EnvelopeLimit, l load) (share float64, reason *Reason) {
	holders, events := limit.Kind.String(), "chunks/s"
	if limit.Kind.Protocol == scenario.WebSocket {
		holders, events = "connections in "+holders, "deliveries/s"
	}
	if l.inFlight == 0 && l.events == 0 {
		return 0, nil
	}
	if limit.InFlight == 0 {
		return 0, &Reason{
			State: Degraded, Check: "envelope",
			Detail: fmt.Sprintf("no calibrated level of %s was VALID, with a margin, and the errors' p99 within %v on this machine", holders, e.BoundNS),
			Remedy: "run on a larger or quieter machine and calibrate it: loadgen calibrate",
		}
	}
	share = l.inFlight / float64(limit.InFlight)
	if limit.EventsPerSecond > 0 {
		share = max(share, l.events/limit.EventsPerSecond)
	}
	if share <= 1+envelopeSlack {
		return share, nil
	}
	return share, &Reason{
		State: Degraded, Check: "envelope",
		Detail: fmt.Sprintf("%s %s at %s %s, beyond the %s at %s for which the error's p99 is known to be within %v here",
			One.Format(l.inFlight), holders, One.Format(l.events), events,
			One.Format(float64(limit.InFlight)), One.Format(limit.EventsPerSecond), e.BoundNS),
		Remedy: "lower the load, or calibrate higher levels: loadgen calibrate",
	}
}

// With is the verdict with further reasons, worst first.
func (v Validity) With(reasons ...Reason) Validity {
	j := judge{reasons: append(slices.Clone(v.Reasons), reasons...)}
	return j.verdict()
}
