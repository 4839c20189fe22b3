package driver

import (
	"errors"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
)

// Classes of failure that only event streams have; an HTTP status other than
// 200 is the class "http <code>".
const (
	classTruncated = "truncated"
	classInBand    = "in-band error"
	classNotStream = "not an event stream"
	classTemplate  = "template"
	classIdle      = "idle timeout"
)

// An outcome is how a stream ended. Each stream has exactly one.
type outcome int

const (
	outcomeComplete outcome = iota
	// outcomeTruncated: the server ended a stream it had begun, by the end of the
	// body, by closing the connection or by HTTP/2's RST_STREAM.
	outcomeTruncated
	outcomeInBandError
	outcomeHTTPError
	outcomeTimeout
	outcomeConnectionError
	outcomeUnfinished
	outcomeNotSent
	// outcomeLeft: the client went away, as the scenario has it.
	outcomeLeft

	outcomeCount
)

// metric is the counter of o.
func (o outcome) metric() engine.MetricID {
	return [outcomeCount]engine.MetricID{
		outcomeComplete:        sseComplete,
		outcomeTruncated:       sseTruncated,
		outcomeInBandError:     sseInBandError,
		outcomeHTTPError:       sseHTTPError,
		outcomeTimeout:         sseTimeout,
		outcomeConnectionError: sseConnectionError,
		outcomeUnfinished:      sseUnfinished,
		outcomeNotSent:         sseNotSent,
		outcomeLeft:            sseLeft,
	}[o]
}

// fine says that nothing went wrong.
func (o outcome) fine() bool { return o == outcomeComplete || o == outcomeLeft }

// An ending is an outcome with the class of its failure and an example, where
// it is one.
type ending struct {
	outcome        outcome
	class, example string
}

// ending says how a stream that is over ended by its own account.
func (s *sseStream) ending() ending {
	if s.failed {
		return ending{outcomeInBandError, classInBand, s.failure}
	}
	return ending{outcome: outcomeComplete}
}

// broken says what err, with which an exchange ended, did to the stream.
func broken(err error) ending {
	class, example := classify(err)
	switch {
	case errors.Is(err, errCut):
		return ending{outcomeUnfinished, classUnfinished, example}
	case errors.Is(err, errTimeout), class == classTimeout:
		return ending{outcomeTimeout, classTimeout, example}
	}
	return ending{outcomeConnectionError, class, example}
}
