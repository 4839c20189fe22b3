// Package calibrate finds out how far the instrument errs: it runs level after
// level of known load against a server with a known answer, reads the error
// from each result and concludes up to where the instrument can be taken at its
// word.
//
// It starts nothing and touches no net: it is given the function that does one
// run. Pictures and files are made by who calls it.
package calibrate

import (
	"fmt"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// Times of one level's run, beside the measured part.
const (
	streamLength = 2 * time.Second // so long a stream speaks, and so long streams come before measuring
	roomRamp     = time.Second     // to connect the members, before measuring
	roomSettle   = 250 * time.Millisecond
	drain        = 5 * time.Second // at most
)

// carriedShare of the events that a level asks for must have come for the level
// to stand for its load.
const carriedShare = .95

// workload is the name of a level's only workload.
const workload = "known"

// A Level is one step of the sweep. Streams: PerSecond events in each of
// InFlight streams. Rooms: PerSecond messages in each room of Members, InFlight
// connections in all.
type Level struct {
	Kind      result.LoadKind
	InFlight  int
	PerSecond float64
	Members   int           // websocket only
	Busy      int           // busy loops beside the target
	Measured  time.Duration // the steady part
}

// EventsPerSecond is the chunks or deliveries a second that the level asks for.
func (l Level) EventsPerSecond() float64 {
	if l.Kind.Protocol == scenario.SSE {
		return float64(l.InFlight) * l.PerSecond
	}
	full, rest := l.InFlight/l.Members, l.InFlight%l.Members
	return l.PerSecond * float64(full*(l.Members-1)+max(0, rest-1))
}

// String is the level in words.
func (l Level) String() string {
	s := fmt.Sprintf("%d %v × %g events/s", l.InFlight, l.Kind, l.PerSecond)
	if l.Kind.Protocol == scenario.WebSocket {
		s = fmt.Sprintf("%d connections in %v, %d to a room × %g messages/s", l.InFlight, l.Kind, l.Members, l.PerSecond)
	}
	if l.Busy > 0 {
		s += " beside " + loops(l.Busy)
	}
	return s
}

// Took is about how long the level's run takes.
func (l Level) Took() time.Duration {
	if l.Kind.Protocol == scenario.SSE {
		return 2*streamLength + l.Measured
	}
	return roomRamp + roomSettle + l.Measured
}

// Paths names what the known-answer server answers, relative to its base URL.
type Paths struct{ Stream, Room string }

// Scenario is the level's run against the known-answer server at base, whose
// certificate, if it has one, is taken as it is.
//
// Streams arrive at a constant rate and speak for two seconds each, so that
// InFlight of them are there once the warm-up of two seconds is over. Their
// first token comes after one gap. The members of rooms connect in the warm-up.
func (l Level) Scenario(base string, paths Paths) (*scenario.Scenario, error) {
	var text string
	if l.Kind.Protocol == scenario.SSE {
		gap := time.Duration(float64(time.Second) / l.PerSecond)
		events := max(1, int(streamLength/gap))
		text = fmt.Sprintf(`version: 1
name: calibrate-streams
target: %q
warmup: %v
duration: %v
drain: %v
workloads:
  %s:
    protocol: sse
    dialect: openai
    insecure_skip_verify: true
    load: {rate: %s/s, max_in_flight: %d}
    request: {path: '%s?events=%d&ttft=%v&gap=%v'}
`, base, streamLength, l.Measured, drain, workload,
			decimal(float64(l.InFlight)/(time.Duration(events)*gap).Seconds()), 2*l.InFlight+100,
			paths.Stream, events, gap, gap)
	} else {
		text = fmt.Sprintf(`version: 1
name: calibrate-rooms
target: %q
warmup: %v
duration: %v
drain: %v
workloads:
  %s:
    protocol: websocket
    insecure_skip_verify: true
    load: {users: %d, ramp: %v}
    room: {path: '%s?room={{ .Room }}', members: %d, publish: %s/s, payload: 256B, settle: %v}
`, base, roomRamp+roomSettle, l.Measured, drain, workload, l.InFlight, roomRamp,
			paths.Room, l.Members, decimal(l.PerSecond), roomSettle)
	}
	sc, err := scenario.Parse("calibrate.yaml", []byte(text), scenario.Options{})
	if err != nil {
		return nil, fmt.Errorf("scenario of %v: %w", l, err)
	}
	return sc, nil
}

// decimal writes a rate without an exponent.
func decimal(v float64) string { return fmt.Sprintf("%.6f", v) }

// read takes from a level's result what the sweep wants to know.
func (l Level) read(r *result.Result) result.CalibrationLevel {
	out := result.CalibrationLevel{
		Kind: l.Kind, Busy: l.Busy, InFlight: l.InFlight, EventsPerSecond: l.EventsPerSecond(),
		LatenessP99NS: r.Health.LatenessP99NS, CPUCores: r.Health.CPUCores,
		ReceiveSource: r.Health.ReceiveSource, Validity: r.Validity,
	}
	spreads := map[string]*result.Spread{"ttft_error": &out.TTFT, "itl_error": &out.ITL, "send_lag": &out.SendLag}
	if l.Kind.Protocol == scenario.WebSocket {
		spreads = map[string]*result.Spread{"delivery_lag": &out.Fanout, "send_lag": &out.SendLag}
	}
	for _, w := range r.Workloads {
		for _, m := range w.Metrics {
			if to := spreads[m.Name]; to != nil && m.Distribution != nil {
				*to = result.NewSpread(m.Distribution)
			}
		}
		if len(w.Errors) > 0 {
			e := w.Errors[0]
			out.Failure = fmt.Sprintf("%d × %s: %s", e.Count, e.Class, e.Example)
		}
	}
	if due := carriedShare * l.EventsPerSecond() * l.Measured.Seconds(); out.Failure == "" && float64(out.Samples()) < due {
		out.Failure = fmt.Sprintf("%d events came of the %.0f that the level asks for", out.Samples(), due/carriedShare)
	}
	if out.Validity.State == result.Valid {
		out.Tight = result.Tight(r.Health)
	}
	return out
}
