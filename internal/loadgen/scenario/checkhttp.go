package scenario

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// maxRedirects is the largest number of redirects a request may follow.
const maxRedirects = 20

// http checks what only workloads of requests and answers have.
func (c *checker) http(at string, w *Workload) {
	var sources []string
	for _, key := range []string{"request", "steps", "targets"} {
		if c.given(join(at, key)) {
			sources = append(sources, key)
		}
	}
	switch {
	case w.Protocol != HTTP:
	case len(sources) > 1:
		c.wrongKey(join(at, sources[1]), "goes in place of %s; leave one of them out", sources[0])
	case len(sources) == 0:
		c.wrong(at+".request", "protocol %s wants request, steps or targets", HTTP)
	}
	if w.Compression && w.Request != nil {
		for name := range w.Request.Headers {
			if strings.EqualFold(name, "Accept-Encoding") {
				c.wrongKey(at+".compression", "sets Accept-Encoding itself; leave out the header")
			}
		}
	}
	c.within(at+".follow_redirects", w.FollowRedirects, 0, maxRedirects)
	if t := w.Targets; t != nil && !c.bad[at+".targets"] {
		c.targets(at, t)
	}
	if checks := at + ".checks"; c.good(checks) && len(w.Checks) == 0 {
		c.wrong(checks, "want at least one check such as {status: 200}")
	}
	for i := range w.Checks {
		if item := c.item(at+".checks", i); c.good(item) {
			c.answerCheck(item, w, &w.Checks[i])
		}
	}
}

// targets reads the file of requests.
func (c *checker) targets(at string, t *Targets) {
	if c.given(at + ".feed") {
		c.wrongKey(at+".feed", "has no use: the requests of a target file are no templates")
	}
	file := at + ".targets.file"
	switch {
	case !c.good(file) || c.bad[at+".targets.format"]:
	case t.File == "":
		c.wrong(file, "names no file")
	case targetProblem(c.scenario.Target) != "": // reported, and needed to read the file
	default:
		if _, err := OpenTargets(c.scenario, t); err != nil {
			c.wrong(file, "%s", err)
		}
	}
}

// answerCheck checks one of a workload's checks.
func (c *checker) answerCheck(at string, w *Workload, k *Check) {
	var looks []string
	for _, key := range []string{"status", "header", "json", "body"} {
		if c.given(join(at, key)) {
			looks = append(looks, key)
		}
	}
	if len(looks) != 1 {
		c.wrongKey(at, "want exactly one of status, header, json and body, found %s", orNone(looks))
		return
	}
	on := join(at, looks[0])
	if c.bad[on] {
		return
	}
	switch {
	case k.Header != nil:
		if name := on + ".name"; c.good(name) && !tokenSyntax.MatchString(k.Header.Name) {
			c.wrong(name, "%q is no header name", k.Header.Name)
		}
		c.condition(on, 0, k.Header.Contains, k.Header.Matches)
	case k.JSON != nil:
		c.condition(on, 0, k.JSON.Contains, k.JSON.Matches)
		c.readable(on, w)
	case k.Body != nil:
		c.condition(on, 1, k.Body.Contains, k.Body.Matches)
		c.readable(on, w)
	case c.good(on) && len(k.Status) == 0:
		c.wrong(on, "want at least one status")
	}
}

func orNone(words []string) string {
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}

// condition checks that there is at most one condition, and at least so many.
func (c *checker) condition(at string, least int, contains, matches string) {
	var found []string
	for _, key := range []string{"equals", "contains", "matches", "absent"} {
		if c.given(join(at, key)) {
			found = append(found, key)
		}
	}
	switch {
	case len(found) > 1:
		c.wrongKey(at, "want one condition, found %s; give each a check of its own", strings.Join(found, ", "))
	case len(found) < least:
		c.wrongKey(at, "want one of equals, contains and matches")
	}
	if path := at + ".contains"; c.good(path) && contains == "" {
		c.wrong(path, "everything contains nothing; give some text")
	}
	if path := at + ".matches"; c.good(path) {
		if matches == "" {
			c.wrong(path, "everything matches nothing; give an expression")
		} else if _, err := regexp.Compile(matches); err != nil {
			c.wrong(path, "no regular expression: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		}
	}
}

// readable reports a check on a body that there is none of, or that is asked for
// in a coding.
func (c *checker) readable(at string, w *Workload) {
	if w.Request == nil {
		return
	}
	if w.Request.Method == "HEAD" {
		c.wrongKey(at, "the answer to a HEAD request has no body")
	}
	for name, value := range w.Request.Headers {
		if strings.EqualFold(name, "Accept-Encoding") && !strings.EqualFold(strings.TrimSpace(value), "identity") {
			c.wrongKey(at, "looks at the bytes as they come, and the request asks for them in a coding by %s", name)
		}
	}
}

// String is the check as it would be written in one line; what a header that
// carries a credential is compared with is left out.
func (k Check) String() string {
	switch {
	case k.Name != "":
		return k.Name
	case k.Header != nil:
		h := *k.Header
		if Secret(h.Name) && (h.Equals != nil || h.Contains+h.Matches != "") {
			return "header " + h.Name + " " + redactedValue
		}
		return "header " + h.Name + condition(h.Equals, h.Contains, h.Matches, h.Absent)
	case k.JSON != nil:
		return "json " + k.JSON.Path.Text + condition(k.JSON.Equals, k.JSON.Contains, k.JSON.Matches, k.JSON.Absent)
	case k.Body != nil:
		return "body" + condition(k.Body.Equals, k.Body.Contains, k.Body.Matches, false)
	}
	return "status " + k.Status.String()
}

func condition(equals *Literal, contains, matches string, absent bool) string {
	switch {
	case equals != nil:
		return fmt.Sprintf(" equals %s", *equals)
	case contains != "":
		return " contains " + strconv.Quote(contains)
	case matches != "":
		return " matches " + strconv.Quote(matches)
	case absent:
		return " absent"
	}
	return ""
}
