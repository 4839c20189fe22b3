package driver

import (
	"bytes"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// maxClass bounds the text of a check in its class of failure, in bytes.
const maxClass = 120

// httpChecks are the compiled checks of a workload.
type httpChecks struct {
	all      []httpCheck
	onStatus bool // one of them is on the status
	readBody bool // one of them reads the body
}

// An httpCheck is one compiled check.
type httpCheck struct {
	class  string
	status scenario.Statuses // empty: not on the status
	header string            // empty: not on a header
	secret bool              // whose values are not shown
	path   *jsonPath         // nil: not on a value in the body; nor a header: on the body
	absent bool
	text   textCondition
}

// A textCondition is what text must be like; the zero value takes any.
type textCondition struct {
	equals   string // where exactly
	exactly  bool
	contains string
	part     []byte // contains again
	matches  *regexp.Regexp
}

func newTextCondition(equals *scenario.Literal, contains, matches string) (c textCondition, err error) {
	if equals != nil {
		c.equals, c.exactly = string(*equals), true
	}
	c.contains, c.part = contains, []byte(contains)
	if matches != "" {
		c.matches, err = regexp.Compile(matches)
	}
	return c, err
}

// holds reports whether text satisfies the condition.
func (c *textCondition) holds(text []byte) bool {
	switch {
	case c.exactly:
		return string(text) == c.equals
	case c.matches != nil:
		return c.matches.Match(text)
	}
	return bytes.Contains(text, c.part)
}

// holdsText is holds for a string: to turn one into bytes costs an allocation.
func (c *textCondition) holdsText(text string) bool {
	switch {
	case c.exactly:
		return text == c.equals
	case c.matches != nil:
		return c.matches.MatchString(text)
	}
	return strings.Contains(text, c.contains)
}

// newHTTPChecks compiles checks, which the scenario's own checks have passed.
func newHTTPChecks(checks []scenario.Check) (httpChecks, error) {
	var out httpChecks
	for i, k := range checks {
		c := httpCheck{class: oneLine("check "+k.String(), maxClass), status: k.Status}
		var err error
		switch {
		case k.Header != nil:
			c.header, c.absent, c.secret = http.CanonicalHeaderKey(k.Header.Name), k.Header.Absent, scenario.Secret(k.Header.Name)
			c.text, err = newTextCondition(k.Header.Equals, k.Header.Contains, k.Header.Matches)
		case k.JSON != nil:
			c.absent, out.readBody = k.JSON.Absent, true
			c.path, err = newJSONPath(k.JSON)
		case k.Body != nil:
			out.readBody = true
			c.text, err = newTextCondition(k.Body.Equals, k.Body.Contains, k.Body.Matches)
		case len(k.Status) > 0:
			out.onStatus = true
		default:
			err = fmt.Errorf("looks at nothing")
		}
		if err != nil {
			return httpChecks{}, fmt.Errorf("check %d: %w", i+1, err)
		}
		out.all = append(out.all, c)
	}
	return out, nil
}

// statusFine reports whether a status is a success: by the checks on it, or
// without one where it is 2xx or 3xx.
func (c *httpChecks) statusFine(code int) bool {
	if !c.onStatus {
		return code >= 200 && code < 400
	}
	for i := range c.all {
		if on := c.all[i].status; len(on) > 0 && !on.Contains(code) {
			return false
		}
	}
	return true
}

// failed returns the class of the first check that x's answer does not satisfy,
// and what is wrong; "" where it satisfies all.
func (c *httpChecks) failed(x *httpExchange) (class, problem string) {
	for i := range c.all {
		if problem := c.all[i].problem(x); problem != "" {
			return c.all[i].class, problem
		}
	}
	return "", ""
}

// holds reports whether the answer satisfies the check.
func (c *httpCheck) holds(x *httpExchange) bool {
	switch {
	case len(c.status) > 0:
		return c.status.Contains(x.answer.StatusCode)
	case c.header != "":
		values := x.answer.Header[c.header]
		return c.absent && len(values) == 0 || !c.absent && slices.ContainsFunc(values, c.text.holdsText)
	case x.size > len(x.kept):
		return false
	case c.path != nil:
		root, err := x.parsed()
		if err != nil {
			return false
		}
		first, found := c.path.lead(root, c.path.steps)
		return c.absent && first == nil || !c.absent && found
	}
	return c.text.holds(x.kept)
}

// problem says what is wrong with the answer; "" where nothing is.
func (c *httpCheck) problem(x *httpExchange) string {
	switch {
	case c.holds(x):
		return ""
	case len(c.status) > 0:
		return x.described()
	case c.header != "":
		return c.headerProblem(x.answer.Header)
	case x.size > len(x.kept):
		return fmt.Sprintf("a body of %d bytes; checks look at %d at most", x.size, maxChecked)
	case c.path != nil:
		return c.path.problem(x)
	}
	return x.described()
}

// headerProblem says what is wrong with the header's values, under whatever case its
// name came.
func (c *httpCheck) headerProblem(h http.Header) string {
	values := h[c.header]
	switch {
	case len(values) == 0:
		return "no header " + c.header
	case c.secret:
		return fmt.Sprintf("header %s is there, its value left out", c.header)
	}
	return fmt.Sprintf("%s: %s", c.header, strings.Join(values, ", "))
}
