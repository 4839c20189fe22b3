package result

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// EnvelopeVersion is the version of the envelope file that this package writes.
const EnvelopeVersion = 2

// An Envelope is how much load the instrument carries on one class of machine
// with its errors within a bound: what loadgen calibrate leaves behind.
type Envelope struct {
	Version int       `json:"version"`
	Written time.Time `json:"written"`
	Machine Machine   `json:"machine"` // where it was measured, and where it holds
	Build   Build     `json:"build"`
	// BoundNS is what the p99 of each error had to stay within.
	BoundNS time.Duration `json:"bound_ns"`
	// ReceiveSource is where receive instants came from; see Health.
	ReceiveSource string             `json:"receive_source"`
	Limits        []EnvelopeLimit    `json:"limits"`
	Levels        []CalibrationLevel `json:"levels"` // all that was measured
}

// A Transport is what carries a workload's traffic, as far as the instrument's
// error depends on it.
type Transport string

// Transports.
const (
	Plain Transport = "plain" // HTTP/1.1 or WebSocket over TCP
	TLS   Transport = "tls"   // the same over TLS
	HTTP2 Transport = "http2" // HTTP/2, calibrated over TLS
)

// A LoadKind is what load is calibrated apart and judged apart.
type LoadKind struct {
	Protocol scenario.Protocol `json:"protocol"`
	Over     Transport         `json:"over"`
}

// String is the kind in words, as "streams over TLS".
func (k LoadKind) String() string {
	s := "streams"
	if k.Protocol == scenario.WebSocket {
		s = "rooms"
	}
	switch k.Over {
	case TLS:
		s += " over TLS"
	case HTTP2:
		s += " over HTTP/2"
	}
	return s
}

// An EnvelopeLimit is the highest level of one kind up to which every level
// held: the run VALID and the errors' p99 within the bound.
type EnvelopeLimit struct {
	Kind LoadKind `json:"kind"`
	// Busy is how many busy loops ran beside the target.
	Busy int `json:"busy"`
	// InFlight is streams or connections at once; 0 when not even the lowest level held.
	InFlight int `json:"in_flight"`
	// EventsPerSecond is chunks or deliveries a second.
	EventsPerSecond float64 `json:"events_per_second"`
}

// A Spread is a distribution of times in short; all 0 where nothing was measured.
type Spread struct {
	Samples int64         `json:"samples"`
	P50NS   time.Duration `json:"p50_ns"`
	P99NS   time.Duration `json:"p99_ns"`
	P999NS  time.Duration `json:"p999_ns"`
	MaxNS   time.Duration `json:"max_ns"`
}

// NewSpread takes from a distribution of nanoseconds what a spread has.
func NewSpread(d *Distribution) Spread {
	return Spread{
		Samples: d.Count, P50NS: time.Duration(d.P50), P99NS: time.Duration(d.P99),
		P999NS: time.Duration(d.P999), MaxNS: time.Duration(d.Max),
	}
}

// A CalibrationLevel is what one run against the known-answer server came to.
type CalibrationLevel struct {
	Kind LoadKind `json:"kind"`
	Busy int      `json:"busy"`
	// InFlight and EventsPerSecond are the load that was asked for.
	InFlight        int     `json:"in_flight"`
	EventsPerSecond float64 `json:"events_per_second"`
	// TTFT and ITL are the errors of a stream's first token and of its gaps, Fanout
	// that of a delivery in a room: figure by loadgen − figure by the server's stamp
	// right before the write, by its size. A level has those of its protocol.
	TTFT   Spread `json:"ttft_error,omitzero"`
	ITL    Spread `json:"itl_error,omitzero"`
	Fanout Spread `json:"fanout_error,omitzero"`
	// SendLag is the delay of requests or publishes on their way out, against their
	// intended instant; of HTTP/2 it is not known.
	SendLag Spread `json:"send_lag,omitzero"`
	// LatenessP99NS is the run's lateness of arrivals and publishes.
	LatenessP99NS time.Duration `json:"lateness_p99_ns"`
	CPUCores      float64       `json:"cpu_cores"`
	ReceiveSource string        `json:"receive_source"`
	Validity      Validity      `json:"validity"`
	// Failure is the most frequent way in which traffic failed, if any did, or by
	// how much the load fell short.
	Failure string `json:"failure,omitempty"`
	// Tight names the gauge of health that came close to its limit though the run
	// was VALID: run again, it may not be.
	Tight string `json:"tight,omitempty"`
}

// Samples are the events whose error is known.
func (l CalibrationLevel) Samples() int64 {
	return l.TTFT.Samples + l.ITL.Samples + l.Fanout.Samples
}

// ErrorP99NS is the largest p99 among the level's errors, which the bound is for.
func (l CalibrationLevel) ErrorP99NS() time.Duration {
	return max(l.TTFT.P99NS, l.ITL.P99NS, l.Fanout.P99NS)
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
		return nil, fmt.Errorf("%s: envelope file version %d, this program reads version %d: calibrate anew with loadgen calibrate, or remove the file", path, e.Version, EnvelopeVersion)
	}
	if e.Machine.Fingerprint == "" || e.BoundNS <= 0 {
		return nil, fmt.Errorf("%s: not a whole envelope file: it has no machine or no bound", path)
	}
	for _, l := range e.Limits {
		if l.InFlight < 0 || l.EventsPerSecond < 0 {
			return nil, fmt.Errorf("%s: a limit of %v is below 0", path, l.Kind)
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
