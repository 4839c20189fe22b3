package result

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// EnvelopeVersion is the version of the envelope file that this package writes.
const EnvelopeVersion = 1

// An Envelope is how much load the instrument carries on one class of machine
// with its error within a bound: what loadgen calibrate leaves behind.
type Envelope struct {
	Version int       `json:"version"`
	Written time.Time `json:"written"`
	Machine Machine   `json:"machine"` // where it was measured, and where it holds
	Build   Build     `json:"build"`
	// BoundNS is what the error's p99 had to stay within.
	BoundNS time.Duration `json:"bound_ns"`
	// ReceiveSource is where receive instants came from; see Health.
	ReceiveSource string             `json:"receive_source"`
	Limits        []EnvelopeLimit    `json:"limits"`
	Levels        []CalibrationLevel `json:"levels"` // all that was measured
}

// An EnvelopeLimit is the highest level of one protocol up to which every level
// held: the run VALID and the error's p99 within the bound.
type EnvelopeLimit struct {
	Protocol scenario.Protocol `json:"protocol"`
	// Busy is how many busy loops ran beside the target.
	Busy int `json:"busy"`
	// InFlight is streams or connections at once; 0 when not even the lowest level held.
	InFlight int `json:"in_flight"`
	// EventsPerSecond is chunks or deliveries a second.
	EventsPerSecond float64 `json:"events_per_second"`
}

// A CalibrationLevel is what one run against the known-answer server came to.
type CalibrationLevel struct {
	Protocol scenario.Protocol `json:"protocol"`
	Busy     int               `json:"busy"`
	// InFlight and EventsPerSecond are the load that was asked for.
	InFlight        int     `json:"in_flight"`
	EventsPerSecond float64 `json:"events_per_second"`
	// Samples are the events whose error is known.
	Samples int64 `json:"samples"`
	// ErrorP50NS, ErrorP99NS and ErrorMaxNS are of the error of the receive
	// instant: instant by loadgen − instant right before the server's write. Of
	// rooms there is no maximum: the server knows the run's end a few
	// milliseconds too early, and a message written in these counts as late.
	ErrorP50NS time.Duration `json:"error_p50_ns"`
	ErrorP99NS time.Duration `json:"error_p99_ns"`
	ErrorMaxNS time.Duration `json:"error_max_ns,omitempty"`
	// LatenessP99NS is the run's lateness of arrivals and publishes.
	LatenessP99NS time.Duration `json:"lateness_p99_ns"`
	// SendLagP99NS is the delay of requests or publishes on their way out; 0
	// where the run does not know it.
	SendLagP99NS  time.Duration `json:"send_lag_p99_ns,omitempty"`
	CPUCores      float64       `json:"cpu_cores"`
	ReceiveSource string        `json:"receive_source"`
	Validity      Validity      `json:"validity"`
	// Failure is the most frequent way in which traffic failed, if any did, or by
	// how much the load fell short.
	Failure string `json:"failure,omitempty"`
}

// EnvelopeName is the file of the envelope of the machines of one fingerprint.
func EnvelopeName(fingerprint string) string { return "envelope-" + fingerprint + ".json" }

// Encode is the envelope as its file holds it.
func (e *Envelope) Encode() ([]byte, error) {
	b, err := json.MarshalIndent(e, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encode envelope: %w", err)
	}
	return append(b, '\n'), nil
}

// WriteEnvelope writes the envelope to path, whose folder is made where it is
// not there. Whoever reads path meanwhile gets the old file or the new one.
func WriteEnvelope(path string, e *Envelope) (err error) {
	b, err := e.Encode()
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write envelope: %w", err)
	}
	tmp, err := os.CreateTemp(dir, ".unfinished-")
	if err != nil {
		return fmt.Errorf("write envelope: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write envelope: %w", err), os.Remove(tmp.Name()))
		}
	}()
	_, err = tmp.Write(b)
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// ReadEnvelope reads an envelope file. A file that is not there is an error that
// is fs.ErrNotExist.
func ReadEnvelope(path string) (*Envelope, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read envelope: %w", err)
	}
	e := new(Envelope)
	if err := json.Unmarshal(b, e); err != nil {
		return nil, fmt.Errorf("%s: not an envelope file: %w", path, err)
	}
	if e.Version != EnvelopeVersion {
		return nil, fmt.Errorf("%s: envelope file version %d, this program reads version %d", path, e.Version, EnvelopeVersion)
	}
	if e.Machine.Fingerprint == "" || e.BoundNS <= 0 {
		return nil, fmt.Errorf("%s: not a whole envelope file: it has no machine or no bound", path)
	}
	for _, l := range e.Limits {
		if l.InFlight < 0 || l.EventsPerSecond < 0 {
			return nil, fmt.Errorf("%s: a limit of %s is below 0", path, l.Protocol)
		}
	}
	return e, nil
}

// FindEnvelope reads the envelope of the machines of one fingerprint from dir;
// nil, without an error, where there is none.
func FindEnvelope(dir, fingerprint string) (*Envelope, error) {
	e, err := ReadEnvelope(filepath.Join(dir, EnvelopeName(fingerprint)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return e, err
}

// envelopeSlack is by how much a run may exceed a level, as a share: rates vary
// a little from run to run.
const envelopeSlack = .02

// Check says in what r went beyond the envelope: one reason for each protocol
// whose load exceeded it, or one for protocols that exceed it together. The
// levels without busy loops count; how busy the machine was in r is for Judge.
// A protocol that was not calibrated is not judged. A run whose receive instants
// come from elsewhere than the envelope's has one reason for that alone.
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
	var shares int
	for _, p := range []scenario.Protocol{scenario.SSE, scenario.WebSocket} {
		i := slices.IndexFunc(e.Limits, func(l EnvelopeLimit) bool { return l.Protocol == p && l.Busy == 0 })
		if i < 0 {
			continue
		}
		load := loadOf(r, p)
		share, reason := e.exceeds(e.Limits[i], load)
		if reason != nil {
			reasons = append(reasons, *reason)
		}
		if share > 0 {
			sum += share
			shares++
		}
	}
	if len(reasons) == 0 && shares > 1 && sum > 1+envelopeSlack {
		reasons = append(reasons, Reason{
			State: Degraded, Check: "envelope",
			Detail: fmt.Sprintf("streams and rooms together took %.0f%% of what this machine was calibrated for", 100*sum),
			Remedy: "run them apart, lower the load, or give loadgen a larger machine and calibrate it",
		})
	}
	return reasons
}

// A load is what one protocol's workloads came to.
type load struct {
	inFlight, events float64 // at once, on average; a second
}

// loadOf adds up the workloads of protocol p over the measured part of r.
func loadOf(r *Result, p scenario.Protocol) load {
	var l load
	measured := time.Duration(r.Scenario.Duration)
	if r.Interrupted {
		measured = min(measured, r.ElapsedNS-time.Duration(r.Scenario.Warmup))
	}
	events := "chunks"
	if p == scenario.WebSocket {
		events = "received"
	}
	for _, w := range r.Workloads {
		if w.Protocol != p {
			continue
		}
		l.inFlight += w.InFlight.Looked
		for _, m := range w.Metrics {
			if m.Name == events && measured > 0 {
				l.events += m.Value / measured.Seconds()
			}
		}
	}
	return l
}

// exceeds is the share of a limit that a load takes, and a reason where that is
// more than all of it.
func (e *Envelope) exceeds(limit EnvelopeLimit, l load) (share float64, reason *Reason) {
	holders, events := "streams", "chunks/s"
	if limit.Protocol == scenario.WebSocket {
		holders, events = "connections", "deliveries/s"
	}
	if l.inFlight == 0 && l.events == 0 {
		return 0, nil
	}
	if limit.InFlight == 0 {
		return 0, &Reason{
			State: Degraded, Check: "envelope",
			Detail: fmt.Sprintf("no calibrated level of %s kept the error's p99 within %v on this machine", holders, e.BoundNS),
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
