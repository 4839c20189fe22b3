package driver

import (
	"errors"
	"fmt"
	"io"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
)

// classRedirect is the class of a redirect that was not to be followed further;
// a status that is no success is the class "http <code>", a check that does not
// hold the class "check <name>", a value that is not there to be taken out the class
// "extract <name>".
const classRedirect = "redirect"

// An httpOutcome is how a request ended. Each has exactly one.
type httpOutcome int

const (
	httpOutcomeSucceeded httpOutcome = iota
	httpOutcomeCheckFailed
	httpOutcomeHTTPError
	httpOutcomeTimeout
	httpOutcomeTruncated
	httpOutcomeConnectionError
	httpOutcomeUnfinished
	httpOutcomeNotSent

	httpOutcomeCount
)

// answered says that there was a whole answer.
func (o httpOutcome) answered() bool { return o <= httpOutcomeHTTPError }

// metric is the counter of o.
func (o httpOutcome) metric() engine.MetricID {
	return [httpOutcomeCount]engine.MetricID{
		httpOutcomeSucceeded:       httpSucceeded,
		httpOutcomeCheckFailed:     httpCheckFailed,
		httpOutcomeHTTPError:       httpHTTPError,
		httpOutcomeTimeout:         httpTimeout,
		httpOutcomeTruncated:       httpTruncated,
		httpOutcomeConnectionError: httpConnectionError,
		httpOutcomeUnfinished:      httpUnfinished,
		httpOutcomeNotSent:         httpNotSent,
	}[o]
}

// An httpEnding is an outcome with the class of its failure and an example,
// where it is one.
type httpEnding struct {
	outcome        httpOutcome
	class, example string
}

// broken says how a request ended whose exchange ended with err.
func (x *httpExchange) broken(err error) httpEnding {
	class, example := classify(err)
	if x.answer != nil {
		example = excerpt(fmt.Sprintf("%s, after %s and %d bytes of the body", example, x.answer.Status, x.size))
	}
	switch {
	case errors.Is(err, errCut):
		return httpEnding{httpOutcomeUnfinished, classUnfinished, example}
	case errors.Is(err, errTimeout), class == classTimeout:
		return httpEnding{httpOutcomeTimeout, classTimeout, example}
	case x.answer != nil && (class == classClosed || class == classStreamReset || errors.Is(err, io.ErrUnexpectedEOF)):
		return httpEnding{httpOutcomeTruncated, classTruncated, example}
	}
	return httpEnding{httpOutcomeConnectionError, class, example}
}

// judge says how a whole answer is to be taken: by its status, unless a check is
// on that, then by the checks in their order, and then by what is to be taken out of
// it. The first that does not hold gives the failure its class.
func (x *httpExchange) judge() httpEnding {
	if checks := &x.step.checks; !checks.onStatus && !checks.statusFine(x.answer.StatusCode) {
		return httpEnding{httpOutcomeHTTPError, fmt.Sprintf("http %d", x.answer.StatusCode), x.described()}
	}
	if class, problem := x.step.checks.failed(x); class != "" {
		return httpEnding{httpOutcomeCheckFailed, class, excerpt(problem)}
	}
	vars, class, problem := x.step.extracts.from(x)
	if class != "" {
		return httpEnding{httpOutcomeCheckFailed, class, excerpt(problem)}
	}
	x.vars = vars
	return httpEnding{outcome: httpOutcomeSucceeded}
}

// described is the answer in short, for an example.
func (x *httpExchange) described() string {
	text := x.answer.Status
	if contentType := x.answer.Header.Get("Content-Type"); contentType != "" {
		text += ", " + contentType
	}
	if len(x.kept) > 0 {
		text += ": " + string(x.kept[:min(len(x.kept), maxExample)])
	}
	return excerpt(text)
}
