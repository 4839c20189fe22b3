package scenario

import (
	"math/rand/v2"
	"strings"
	"time"
)

// A Step is one of several requests that an http workload's arrival makes one after
// the other, as a user does who logs in and then asks. Each is an arrival of its own,
// due when the one before has ended and the think time is over; one that fails ends
// the arrival's session.
type Step struct {
	// Name in metrics, as latency{step=login}: lower-case letters, digits and "_".
	Name string `yaml:"name" json:"name"`
	// Request of the step; its templates see what earlier ones extracted.
	Request Request `yaml:"request" json:"request"`
	// Checks are what its answer must satisfy.
	Checks []Check `yaml:"checks,omitempty" json:"checks,omitempty"`
	// Extract takes values out of its answer by name.
	Extract map[string]*Extract `yaml:"extract,omitempty" json:"extract,omitempty"`
	// Think is the pause before the step, not with the first; default 0s.
	Think TimeDist `yaml:"think,omitempty" json:"think,omitzero"`
}

// ThinkBefore is the pause before the step, which is number turn of that session.
func (s *Step) ThinkBefore(seed uint64, workload string, session uint64, turn int) time.Duration {
	return max(0, s.Think.Draw(rand.New(draws(seed, hashOf("step", workload, s.Name), mix(session)+uint64(turn)))))
}

// StepTag is the tag of a step's own metrics.
func StepTag(name string) string { return "{step=" + name + "}" }

// maxSteps bounds the steps of a workload.
const maxSteps = 100

// steps checks the steps of a workload.
func (c *checker) steps(at string, w *Workload) {
	if !c.given(at + ".steps") {
		return
	}
	if n := len(w.Steps); c.good(at+".steps") && (n < 1 || n > maxSteps) {
		c.wrong(at+".steps", "want from 1 to %d steps, found %d", maxSteps, n)
	}
	for _, key := range []string{"checks", "extract"} {
		if path := join(at, key); c.given(path) {
			c.wrongKey(path, "belongs to a step, where there are steps")
		}
	}
	if path := at + ".load.session"; c.given(path) {
		c.wrongKey(path, "has no use: the steps are the session")
	}
	first := make(map[string]bool)
	for i := range w.Steps {
		s, item := &w.Steps[i], c.item(at+".steps", i)
		if name := item + ".name"; c.good(name) {
			switch {
			case !workloadSyntax.MatchString(s.Name):
				c.wrong(name, "%q: want at most 64 lower-case letters, digits and _, beginning with a letter", s.Name)
			case first[s.Name]:
				c.wrong(name, "an earlier step has this name")
			}
			first[s.Name] = true
		}
		for j := range s.Checks {
			if check := c.item(item+".checks", j); c.good(check) {
				c.answerCheck(check, &Workload{Request: &s.Request}, &s.Checks[j])
			}
		}
	}
}

// stepTemplates runs the templates of each step with what those before extract.
func (c *checker) stepTemplates(at string, w *Workload, sample *Data, runnable bool) {
	before := *sample
	if len(w.Steps) > 0 {
		before.InSession = &Turn{}
	}
	for i := range w.Steps {
		s, item := &w.Steps[i], c.item(at+".steps", i)
		if request := item + ".request"; !c.bad[request] {
			c.request(request, &s.Request, &before, runnable)
		}
		c.extracts(item+".extract", &s.Request, s.Extract)
		seen := make(map[string]string, len(before.Vars)+len(s.Extract))
		for name, value := range before.Vars {
			seen[name] = value
		}
		for name := range s.Extract {
			seen[name] = "sample"
		}
		before.Vars = seen
	}
}

// completeSteps puts in the defaults of steps.
func (c *checker) completeSteps(at string, w *Workload) {
	for i := range w.Steps {
		request := c.item(at+".steps", i) + ".request"
		c.completeRequest(request, &w.Steps[i].Request)
	}
}

// withoutStep is metric without the tag of one of w's steps.
func withoutStep(w *Workload, metric string) string {
	for i := range w.Steps {
		if base, ok := strings.CutSuffix(metric, StepTag(w.Steps[i].Name)); ok && (base == "latency" || base == "failed") {
			return base
		}
	}
	return metric
}
