package scenario

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// tokenPattern is a header's name or a method: a token of RFC 9110, section 5.6.2.
const tokenPattern = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"

var tokenSyntax = regexp.MustCompile(tokenPattern)

// ownHeaders, in lower case, are set by the instrument or by HTTP itself: another value would
// break the connection or what is measured on it.
func ownHeaders() []string {
	return []string{
		"connection", "content-length", "host", "keep-alive", "proxy-connection", "te", "trailer",
		"transfer-encoding", "upgrade", "sec-websocket-accept", "sec-websocket-extensions",
		"sec-websocket-key", "sec-websocket-version",
	}
}

// sampleSink is the sink's address in sample data: text that stands in no scenario.
const sampleSink = "http://sink.sample.invalid"

// templates checks a workload's feed, request line and headers, and runs each
// template once with sample data.
func (c *checker) templates(at, name string, w *Workload) {
	sample := &Data{User: -1, Workload: name, RunID: "sample", Seed: c.scenario.Seed, Sink: sampleSink}
	if w.Load.Users > 0 {
		sample.User = 0
	}
	if w.Protocol == WebSocket {
		sample.Room = "room-0"
	}
	runnable := c.feed(at+".feed", w.Feed, sample)
	if w.Load.Session != nil {
		sample.InSession = &Turn{Keeps: w.Protocol == SSE}
	}
	if w.Load.Trace != nil || w.Load.Shape != "" {
		rows := c.openTrace(at, &w.Load)
		runnable = runnable && (w.Load.Trace == nil || rows != nil)
		sample.Lengths = NewLengths(w.Load.Shape, rows, name, c.scenario.Seed)
	}
	if r := w.Request; r != nil && !c.bad[at+".request"] {
		c.request(at+".request", r, sample, runnable)
	}
	c.stepTemplates(at, w, sample, runnable)
	c.extracts(at+".extract", w.Request, w.Extract)
	c.jobTemplates(at+".job", w, sample, runnable)
	if w.Protocol == Retry {
		c.attempts(at, w, sample, runnable)
	}
	if w.Protocol == Cron && w.Cron != nil && !c.bad[at+".cron"] {
		c.cronTemplates(at, w, sample)
	}
	if r := w.Room; r != nil && !c.bad[at+".room"] {
		c.path(at+".room.path", r.Path, sample, runnable)
		c.headers(at+".room.headers", r.Headers, sample, runnable)
		c.roomTemplates(at+".room", r, sample, runnable)
		if runnable && w.Load.Users > r.Members && c.oneRoom(at+".room", r, sample) {
			c.wrong(at+".room.path", "does not name the room: %d users in rooms of %d would all meet in one; write {{ .Room }}", w.Load.Users, r.Members)
		}
	}
}

// request checks a request line, headers and body.
func (c *checker) request(at string, r *Request, sample *Data, runnable bool) {
	c.method(at, r)
	c.path(at+".path", r.Path, sample, runnable)
	c.headers(at+".headers", r.Headers, sample, runnable)
	c.template(at+".body", r.Body, sample, runnable)
}

// feed opens the feed and takes its first row into sample. False means that
// templates cannot be tried because of it.
func (c *checker) feed(at string, f *Feed, sample *Data) bool {
	switch {
	case f == nil:
		return !c.given(at)
	case c.bad[at] || !c.good(at+".file"):
		return false
	case f.File == "":
		c.wrong(at+".file", "names no file")
		return false
	}
	rows, err := OpenFeed(c.scenario.Dir, f, c.scenario.Seed)
	if err != nil {
		c.wrong(at+".file", "%s", err)
		return false
	}
	sample.Feed = rows.rows[0]
	return true
}

// template compiles the text at path and, where possible, runs it.
func (c *checker) template(path, text string, sample *Data, run bool) (string, bool) {
	if !c.good(path) {
		return "", false
	}
	t, err := CompileTemplate(path, text)
	if err != nil {
		c.wrong(path, "bad template: %s", err)
		return "", false
	}
	if !run && t.parsed != nil {
		return "", false
	}
	out, err := t.Append(nil, sample)
	if err != nil {
		c.wrong(path, "bad template: %s%s", err, c.hint(err, sample))
		return "", false
	}
	if strings.Contains(string(out), sampleSink) && !c.scenario.NeedsSink() {
		c.wrong(path, "asks for the sink's address, and the scenario has no sink: add the key sink, as sink: {}")
		return "", false
	}
	return string(out), true
}

// hint names what there is where a column was asked for that is not.
func (c *checker) hint(err error, sample *Data) string {
	if !strings.Contains(err.Error(), "map has no entry for key") {
		return ""
	}
	if strings.Contains(err.Error(), "<.Vars.") {
		return varsHint(sample)
	}
	if sample.Feed == nil {
		return "; the workload has no feed"
	}
	var columns []string
	for column := range sample.Feed {
		columns = append(columns, column)
	}
	slices.Sort(columns)
	return "; the feed's columns: " + strings.Join(columns, ", ")
}

func (c *checker) path(path, text string, sample *Data, run bool) {
	switch {
	case !c.good(path):
		return
	case strings.HasPrefix(text, "{{") && len(sample.Vars) > 0: // an answer gives it, as in a Location
		sample = withPaths(sample)
	case !strings.HasPrefix(text, "/"):
		c.wrong(path, `%q: a path begins with "/"`, text)
		return
	}
	if out, ok := c.template(path, text, sample, run); ok {
		if problem := pathProblem(out); problem != "" {
			c.wrong(path, "%s", problem)
		}
	}
}

// pathProblem says why text cannot stand in a request line; "" where it can.
func pathProblem(text string) string {
	if i := strings.IndexFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }); i >= 0 {
		return fmt.Sprintf("%q: a path has no blanks; write %%20, or urlquery in a template", text)
	}
	u, err := url.ParseRequestURI(text)
	switch {
	case err != nil:
		return fmt.Sprintf("%q is no path such as /functions/v1/stream-ai", text)
	case u.Host != "" || strings.HasPrefix(text, "//"):
		return fmt.Sprintf("%q: a path begins with one slash", text)
	case strings.Contains(text, "#"):
		return fmt.Sprintf("%q: a path has no fragment", text)
	}
	return ""
}

func (c *checker) headers(at string, headers map[string]string, sample *Data, run bool) {
	if !c.good(at) {
		return
	}
	first := make(map[string]string)
	for _, name := range sortedKeys(headers) {
		path := join(at, name)
		lower := strings.ToLower(name)
		before, twice := first[lower]
		switch {
		case !tokenSyntax.MatchString(name):
			c.wrongKey(path, "%q is no header name", name)
			continue
		case slices.Contains(ownHeaders(), lower):
			c.wrongKey(path, "this header is the instrument's own; leave it out")
			continue
		case twice:
			c.wrongKey(path, "the same header as %q", before)
		}
		first[lower] = name
		if out, ok := c.template(path, headers[name], sample, run); ok && strings.ContainsFunc(out, isControl) {
			c.wrong(path, "a header's value has no line breaks or control characters")
		}
	}
}

// isControl reports what a header's value must not hold.
func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

func (c *checker) method(at string, r *Request) {
	path := at + ".method"
	if c.good(path) && (!tokenSyntax.MatchString(r.Method) || r.Method != strings.ToUpper(r.Method) || r.Method == "CONNECT") {
		c.wrong(path, "%q: want an HTTP method such as GET or POST", r.Method)
		return
	}
	if body := at + ".body"; c.good(body) && r.Body != "" && (r.Method == "GET" || r.Method == "HEAD") {
		c.wrongKey(body, "a %s request has no body; use POST, or leave the body out", r.Method)
	}
}

// oneRoom reports whether two rooms get the same request, so that the server
// could not tell them apart.
func (c *checker) oneRoom(at string, r *Room, sample *Data) bool {
	values := map[string]string{at + ".path": r.Path, at + ".topic": r.Topic}
	if r.Envelope != nil {
		for i, hello := range r.Envelope.Hello {
			values[c.item(at+".envelope.hello", i)] = hello
		}
	}
	for name, value := range r.Headers {
		values[at+".headers."+name] = value
	}
	one := *sample
	one.Ref = "1"
	other := one
	other.Room = "room-1"
	for path, text := range values {
		t, err := CompileTemplate(path, text)
		if err != nil || c.bad[path] {
			return false
		}
		a, errA := t.Append(nil, &one)
		b, errB := t.Append(nil, &other)
		if errA != nil || errB != nil || string(a) != string(b) {
			return false
		}
	}
	return true
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
