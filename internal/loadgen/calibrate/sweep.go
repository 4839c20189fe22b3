package calibrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// DefaultBound of the errors' p99. It is a judgement: a small part of the tens of
// milliseconds that a first token or a delivery takes.
const DefaultBound = time.Millisecond

// Options of a sweep. Levels and Run must be set.
type Options struct {
	// Levels in the order they are run.
	Levels []Level
	// Bound that the p99 of each error is to stay within; default DefaultBound.
	Bound time.Duration
	// Run does one level and returns its result.
	Run func(context.Context, Level) (*result.Result, error)
	// Observe, when set, is told of each level as it is done.
	Observe func(result.CalibrationLevel)
}

// Sweep runs all levels and returns what was measured, with the limits. A level
// that is INVALID, or some of whose traffic failed, is an answer; one that could
// not be run ends the sweep with an error, and so does a sweep in which no
// event's error came to be known.
func Sweep(ctx context.Context, o Options) (*result.Envelope, error) {
	if o.Bound <= 0 {
		o.Bound = DefaultBound
	}
	e := &result.Envelope{
		Version: result.EnvelopeVersion, Machine: result.ThisMachine(), Build: result.ThisBuild(), BoundNS: o.Bound,
	}
	for _, l := range o.Levels {
		r, err := o.Run(ctx, l)
		if err != nil {
			return nil, fmt.Errorf("%v: %w", l, err)
		}
		if r.Interrupted {
			return nil, fmt.Errorf("%v: interrupted: %w", l, context.Canceled)
		}
		level := l.read(r)
		if e.ReceiveSource == "" {
			e.ReceiveSource = level.ReceiveSource
		}
		e.Levels = append(e.Levels, level)
		if o.Observe != nil {
			o.Observe(level)
		}
	}
	if i := slices.IndexFunc(e.Levels, func(l result.CalibrationLevel) bool { return l.Samples() > 0 }); i < 0 {
		return nil, errors.New("no level gave an event whose error is known" + firstFailure(e.Levels))
	}
	e.Written = time.Now().UTC()
	e.Limits = limits(e.Levels, o.Bound)
	return e, nil
}

// limits finds, for each kind and condition, the highest level below which
// and at which every level held.
func limits(levels []result.CalibrationLevel, bound time.Duration) []result.EnvelopeLimit {
	type condition struct {
		kind result.LoadKind
		busy int
	}
	var order []condition
	by := make(map[condition][]result.CalibrationLevel)
	for _, l := range levels {
		c := condition{l.Kind, l.Busy}
		if by[c] == nil {
			order = append(order, c)
		}
		by[c] = append(by[c], l)
	}
	var out []result.EnvelopeLimit
	for _, c := range order {
		limit := result.EnvelopeLimit{Kind: c.kind, Busy: c.busy}
		rising := by[c]
		slices.SortStableFunc(rising, func(a, b result.CalibrationLevel) int { return a.InFlight - b.InFlight })
		for _, l := range rising {
			if !Held(l, bound) {
				break
			}
			limit.InFlight, limit.EventsPerSecond = l.InFlight, l.EventsPerSecond
		}
		out = append(out, limit)
	}
	return out
}

func firstFailure(levels []result.CalibrationLevel) string {
	for _, l := range levels {
		if l.Failure != "" {
			return ": " + l.Failure
		}
	}
	return ""
}

// Held reports whether a level is inside the envelope by itself: a run of it is
// VALID, with room to be so again, nothing failed, and its errors are within the
// bound.
func Held(l result.CalibrationLevel, bound time.Duration) bool {
	return l.Validity.State == result.Valid && l.Failure == "" && l.Tight == "" && l.Samples() > 0 && l.ErrorP99NS() <= bound
}
