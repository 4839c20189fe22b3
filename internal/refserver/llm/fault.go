package llm

import (
	"strconv"
	"strings"
	"time"
)

// FaultKind is what goes wrong with an answer.
type FaultKind string

// The kinds there are. Those of the second group strike once so many output
// tokens, reasoning included, have been sent, at the instant of the last of them.
const (
	FaultStatus    FaultKind = "status"    // an error status instead of an answer
	FaultReasoning FaultKind = "reasoning" // so many tokens of reasoning come before the text, paced as it is
	FaultRoleOnly  FaultKind = "role-only" // the first chunk, at once, carries a role or a type and no text
	FaultSplit     FaultKind = "split"     // every event is written in two pieces; the text is not ASCII, and a chunk is cut within a character
	FaultPing      FaultKind = "ping"      // pings at that interval while the stream lasts

	FaultErrorEvent FaultKind = "error-event" // an error event, and nothing after it
	FaultCut        FaultKind = "cut"         // the connection is cut
	FaultTruncate   FaultKind = "truncate"    // the stream ends in order, but for its last events
	FaultStall      FaultKind = "stall"       // nothing for that long; what follows is later by as much
	FaultMalformed  FaultKind = "malformed"   // an event whose data is broken JSON; the stream goes on
	FaultEmpty      FaultKind = "empty"       // a chunk with no text; the stream goes on
)

// faultKinds are all kinds, as metrics list them.
var faultKinds = []FaultKind{
	FaultStatus, FaultReasoning, FaultRoleOnly, FaultSplit, FaultPing,
	FaultErrorEvent, FaultCut, FaultTruncate, FaultStall, FaultMalformed, FaultEmpty,
}

// Fault is one thing that goes wrong, and how often.
type Fault struct {
	Kind FaultKind

	After      int           // the second group: tokens sent before it strikes
	Status     int           // status: 400 to 599
	RetryAfter time.Duration // status: 0 for no Retry-After
	Tokens     int           // reasoning: how many
	Off        bool          // role-only: the first chunk carries its text with the role
	For        time.Duration // stall: its length; ping: the interval
	Type       string        // error-event: the error's type; empty for overloaded_error, with OpenAI server_error

	Probability float64 // that an answer has it, above 0 to 1
	First       int     // only the first so many answers that draw it have it; 0: no bound
}

// String returns the fault in the notation of ParseFaults.
func (f Fault) String() string {
	b := []byte(f.Kind)
	if f.Kind.strikes() {
		b = strconv.AppendInt(append(b, '@'), int64(f.After), 10)
	}
	switch f.Kind {
	case FaultStatus:
		b = strconv.AppendInt(append(b, ':'), int64(f.Status), 10)
		if f.RetryAfter > 0 {
			b = append(append(b, ",retry-after:"...), f.RetryAfter.String()...)
		}
	case FaultReasoning:
		b = strconv.AppendInt(append(b, ':'), int64(f.Tokens), 10)
	case FaultRoleOnly:
		if f.Off {
			b = append(b, ":off"...)
		}
	case FaultPing:
		b = append(append(b, ':'), f.For.String()...)
	case FaultStall:
		b = append(append(b, ','), f.For.String()...)
	case FaultErrorEvent:
		if f.Type != "" {
			b = append(append(b, ','), f.Type...)
		}
	}
	if f.Probability < 1 {
		b = strconv.AppendFloat(append(b, '~'), f.Probability, 'g', -1, 64)
	}
	if f.First > 0 {
		b = strconv.AppendInt(append(b, '#'), int64(f.First), 10)
	}
	return string(b)
}

// strikes reports whether the kind belongs to the second group.
func (k FaultKind) strikes() bool {
	switch k {
	case FaultErrorEvent, FaultCut, FaultTruncate, FaultStall, FaultMalformed, FaultEmpty:
		return true
	}
	return false
}

// Faults is what goes wrong with answers. Its zero value is nothing. Its values
// may be copied and used concurrently.
type Faults struct {
	list   []Fault
	seed   uint64 // of the probabilities
	seeded bool
}

// noFaults is the notation of the zero value.
const noFaults = "none"

// IsZero reports whether nothing goes wrong.
func (f Faults) IsZero() bool { return len(f.list) == 0 }

// String returns the notation, "none" for no faults.
func (f Faults) String() string {
	parts := make([]string, 0, len(f.list)+1)
	for _, fault := range f.list {
		parts = append(parts, fault.String())
	}
	if f.seeded {
		parts = append(parts, "seed:"+strconv.FormatUint(f.seed, 10))
	}
	if len(parts) == 0 {
		return noFaults
	}
	return strings.Join(parts, ";")
}

// MarshalText returns the notation.
func (f Faults) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText is ParseFaults, for flags and files.
func (f *Faults) UnmarshalText(text []byte) (err error) {
	*f, err = ParseFaults(string(text))
	return err
}
