package scenario

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Names in a scenario.
const (
	namePattern     = `^[a-z0-9][a-z0-9._-]{0,63}$`
	workloadPattern = `^[a-z][a-z0-9_]{0,63}$`
)

var (
	nameSyntax     = regexp.MustCompile(namePattern)
	workloadSyntax = regexp.MustCompile(workloadPattern)
)

// A checker completes a decoded scenario and reports what its types alone
// cannot rule out. It is silent about what the decoder has already reported.
type checker struct {
	*decoder
	scenario *Scenario
	options  Options
	traces   map[string]*TraceRows // by path; nil for one that could not be read
	hidden   []string              // credentials that stand in the file
}

// given reports whether the file has the key at path.
func (c *checker) given(path string) bool {
	_, ok := c.keys[path]
	return ok
}

// good reports whether the value at path was given and could be taken.
func (c *checker) good(path string) bool {
	_, ok := c.values[path]
	return ok && !c.bad[path]
}

// wrong reports what is wrong with the value at path; where the file has none,
// at the key that should hold it.
func (c *checker) wrong(path, format string, args ...any) {
	p, ok := c.values[path]
	for at := path; !ok && at != ""; {
		at = at[:max(strings.LastIndexByte(at, '.'), 0)]
		p, ok = c.keys[at]
	}
	c.problem(p, path, format, args...)
}

// wrongKey reports what is wrong with the key at path being there.
func (c *checker) wrongKey(path, format string, args ...any) {
	c.problem(c.keys[path], path, format, args...)
}

// item is the path of a list's element.
func (c *checker) item(at string, i int) string { return fmt.Sprintf("%s[%d]", at, i) }

// positive reports a given value that is not above zero.
func (c *checker) positive(path string, isPositive bool) {
	if c.good(path) && !isPositive {
		c.wrong(path, "must be above 0")
	}
}

// within reports a given number below least or above most.
func (c *checker) within(path string, n, least, most int) {
	if c.good(path) && (n < least || n > most) {
		c.wrong(path, "must be from %d to %d, is %d", least, most, n)
	}
}

// override applies the options that replace values of the file.
func (c *checker) override() {
	s := c.scenario
	if c.options.Target != "" {
		s.Target = c.options.Target
	}
	if c.options.Duration > 0 {
		s.Duration = c.options.Duration
	}
	if c.options.Rate <= 0 {
		return
	}
	if s.Mix != nil && c.given("mix.rate") {
		s.Mix.Rate = c.options.Rate
	}
	open := 0
	for name, w := range s.Workloads {
		at := "workloads." + name + ".load"
		if w == nil || c.bad[at] || !c.given(at) || c.given(at+".users") {
			continue
		}
		open++
		if c.given(at+".weight") && c.given("mix.rate") {
			continue
		}
		if !c.given(at + ".rate") {
			c.wrongKey(at, "has no constant rate that the rate given for the run, %s, could replace", c.options.Rate)
			continue
		}
		w.Load.Rate = c.options.Rate
	}
	if open == 0 && len(s.Workloads) > 0 {
		c.wrongKey("workloads", "no workload has a rate that the rate given for the run, %s, could replace", c.options.Rate)
	}
}

// complete puts the defaults in.
func (c *checker) complete() {
	s := c.scenario
	if !c.given("seed") {
		s.Seed = 1
	}
	if !c.given("drain") {
		s.Drain = Duration(10 * time.Second)
	}
	c.completeMix()
	unset := s.Duration == 0 && !c.given("duration")
	for name, w := range s.Workloads {
		if w == nil {
			continue
		}
		if w.Load.Trace != nil {
			if !c.given("workloads." + name + ".load.trace.speed") {
				w.Load.Trace.Speed = 1
			}
			w.Load.Trace.complete()
		}
		if unset {
			s.Duration = max(s.Duration, w.Load.stagesDuration())
			if rows := c.openTrace("workloads."+name, &w.Load); rows != nil {
				s.Duration = max(s.Duration, Duration(rows.Length()))
			}
		}
	}
	if s.Sink != nil {
		for name, u := range s.Sink.Upstreams {
			c.completeUpstream("sink.upstreams."+name, u)
		}
	}
	for name, w := range s.Workloads {
		if w != nil {
			c.completeWorkload("workloads."+name, w)
		}
	}
}

func (l *Load) stagesDuration() (sum Duration) {
	for _, stage := range l.Stages {
		sum = min(sum+stage.Duration, Duration(maxDuration))
	}
	return sum
}

func (c *checker) completeWorkload(at string, w *Workload) {
	if !c.given(at + ".timeout") {
		w.Timeout = defaultTimeout(w.Protocol)
	}
	c.completeConnect(at, w)
	c.completeStream(at, w)
	if w.Protocol == SSE && w.Dialect == "" {
		w.Dialect = DialectAuto
	}
	if !c.given(at+".load.users") && w.Protocol != Cron {
		if w.Load.Arrivals == "" && w.Load.Trace == nil {
			w.Load.Arrivals, w.Load.CV = w.Load.Shape.arrivals()
		}
		if !c.given(at + ".load.max_in_flight") {
			w.Load.MaxInFlight = 10000
		}
	}
	if w.Request != nil {
		c.completeRequest(at+".request", w.Request)
	}
	c.completeSteps(at, w)
	if r := w.Room; r != nil {
		c.completeRoom(at+".room", r)
	}
	if w.Job != nil {
		c.completeJob(at+".job", w.Job)
	}
	if w.Policy != nil {
		c.completePolicy(at+".policy", w.Policy)
	}
	if w.Cron != nil {
		c.completeCron(at+".cron", w)
	}
	c.completeUpstream(at+".upstream", w.Upstream)
	if w.Feed != nil && w.Feed.Order == "" {
		w.Feed.Order = FeedSequential
	}
	if w.Targets != nil {
		w.Targets.complete()
	}
}

// completeRequest puts a request's default method in.
func (c *checker) completeRequest(at string, r *Request) {
	if r.Method != "" || c.given(at+".method") {
		return
	}
	r.Method = "GET"
	if c.given(at + ".body") {
		r.Method = "POST"
	}
}

func defaultTimeout(p Protocol) Duration {
	switch p {
	case WebSocket:
		return Duration(10 * time.Second)
	case HTTP, Background, Cron:
		return Duration(30 * time.Second)
	}
	return Duration(60 * time.Second)
}

// check reports what does not make sense as a whole.
func (c *checker) check() {
	s := c.scenario
	if c.good("version") && s.Version != 1 {
		c.wrong("version", "this program reads version 1, found %d", s.Version)
	}
	if c.good("name") && !nameSyntax.MatchString(s.Name) {
		c.wrong("name", "%q: want at most 64 lower-case letters, digits, -, _ and ., beginning with a letter or digit", s.Name)
	}
	c.target()
	c.positive("duration", s.Duration > 0)
	if s.Duration > Duration(maxDuration) {
		c.wrong("duration", "%s is above the limit of %s", s.Duration, Duration(maxDuration))
	}
	if s.Duration == 0 && !c.given("duration") && !c.unsure() {
		c.problem(c.keys[""], "duration", "this key is required: no workload has stages or a trace that could give it")
	}
	if c.good("workloads") && len(s.Workloads) == 0 {
		c.wrong("workloads", "want at least one workload")
	}
	if s.Sink != nil && !c.bad["sink"] {
		c.sink("sink", s.Sink)
	}
	c.mix()
	for name, w := range s.Workloads {
		at := "workloads." + name
		if !workloadSyntax.MatchString(name) {
			c.wrongKey(at, "%q: want at most 64 lower-case letters, digits and _, beginning with a letter", name)
		}
		if w != nil {
			c.workload(at, name, w)
		}
	}
	for metric, conditions := range s.Thresholds {
		at := "thresholds." + metric
		if c.good(at) && len(conditions) == 0 {
			c.wrong(at, "want at least one condition such as 'p(95) < 800ms'")
		}
		m := c.metric(at, metric)
		for i, condition := range conditions {
			item := c.item(at, i)
			if m == nil || condition.Text == "" || !c.good(item) {
				continue
			}
			if err := condition.Fits(m.Kind, m.Unit); err != nil {
				c.wrong(item, "%v", err)
			}
		}
	}
}

// unsure reports whether a problem with the workloads may be why the duration
// is not known.
func (c *checker) unsure() bool {
	for path := range c.bad {
		if strings.HasPrefix(path, "workloads") && (strings.Contains(path, "stages") || strings.Contains(path, "trace")) || strings.HasPrefix(path, "mix") {
			return true
		}
	}
	return c.bad["workloads"]
}

func (c *checker) target() {
	given := c.options.Target != ""
	if !given && !c.good("target") {
		return
	}
	if problem := targetProblem(c.scenario.Target); problem != "" {
		if given {
			problem += " (the target given for the run)"
		}
		c.wrong("target", "%s", problem)
	}
}

// targetProblem says why target is no base URL; "" where it is one.
func targetProblem(target string) string {
	u, err := url.Parse(target)
	switch {
	case err != nil:
		return fmt.Sprintf("%q is no URL such as http://127.0.0.1:8080", target)
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return fmt.Sprintf("%q: want http:// or https:// and a host, such as http://127.0.0.1:8080", target)
	case u.User != nil:
		return "a target holds no user and password, which would stand in every report; use a header"
	case strings.Trim(u.Path, "/") != "":
		return fmt.Sprintf("%q: a target has no path; it belongs in the workload's path", target)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return fmt.Sprintf("%q: a target has no query and no fragment; they belong in the workload's path", target)
	}
	return ""
}

// metric checks a threshold's name, "<workload>.<metric>", and returns the metric
// where it is known.
func (c *checker) metric(at, name string) *Metric {
	workload, metric, ok := strings.Cut(name, ".")
	if !ok || metric == "" {
		c.wrongKey(at, "want <workload>.<metric>, as chat.ttft")
		return nil
	}
	w, known := c.scenario.Workloads[workload]
	if !known {
		var names []string
		for n := range c.scenario.Workloads {
			names = append(names, n)
		}
		c.wrongKey(at, "no workload %q%s", workload, suggest(workload, names))
		return nil
	}
	if c.options.Metrics == nil || w == nil || w.Protocol == "" {
		return nil
	}
	var names []string
	base := withoutStep(w, metric)
	for _, m := range c.options.Metrics[w.Protocol] {
		if m.Name == base {
			return &m
		}
		names = append(names, m.Name)
	}
	c.wrongKey(at, "a workload of protocol %s has no metric %q%s", w.Protocol, metric, suggest(metric, names))
	return nil
}
