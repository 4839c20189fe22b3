package scenario

import (
	"strings"
	"time"
)

// maxAttempts is the largest number of attempts a policy may have.
const maxAttempts = 100

// Defaults of a Policy.
const (
	defaultAttempts  = 3
	defaultBase      = Duration(time.Second)
	defaultCap       = Duration(20 * time.Second)
	defaultTolerance = Duration(100 * time.Millisecond)
)

// hasCap says of a rule whether its waits have an upper bound of their own.
func (b Backoff) hasCap() bool {
	return b == BackoffFull || b == BackoffEqual || b == BackoffDecorrelated || b == BackoffExponential
}

// completePolicy puts a policy's defaults in.
func (c *checker) completePolicy(at string, p *Policy) {
	if p.Backoff == "" && !c.given(at+".backoff") {
		p.Backoff = BackoffGuide
	}
	guide, none := p.Backoff == BackoffGuide, p.Backoff == BackoffNone
	if !c.given(at + ".attempts") {
		p.Attempts = defaultAttempts
		if none {
			p.Attempts = 1
		}
	}
	if !c.given(at+".base") && !none {
		p.Base = defaultBase
	}
	if !c.given(at+".cap") && p.Backoff.hasCap() {
		p.Cap = max(defaultCap, p.Base)
	}
	if !c.given(at+".on") && !none {
		p.On = Statuses{{500, 599}}
		if !guide {
			p.On = Statuses{{408, 408}, {429, 429}, {500, 599}}
		}
	}
	if p.OnErrors == nil && !c.given(at+".on_errors") {
		again := !guide && !none
		p.OnErrors = &again
	}
	if !c.given(at + ".tolerance") {
		p.Tolerance = defaultTolerance
	}
}

// policy checks what a retry workload's target says of itself.
func (c *checker) policy(at string, p *Policy) {
	c.positive(at+".base", p.Base > 0)
	switch p.Backoff {
	case BackoffNone:
		for _, key := range []string{"base", "cap", "retry_after", "on", "on_errors"} {
			if path := join(at, key); c.given(path) {
				c.wrongKey(path, "has no use: with backoff none there is one attempt")
			}
		}
		c.within(at+".attempts", p.Attempts, 1, 1)
	default:
		c.within(at+".attempts", p.Attempts, 1, maxAttempts)
	}
	limit := at + ".cap"
	switch {
	case !c.good(limit) || c.bad[at+".backoff"] || p.Backoff == BackoffNone:
	case !p.Backoff.hasCap():
		c.wrongKey(limit, "the waits of backoff %s have none", p.Backoff)
	case p.Cap < p.Base && !c.bad[at+".base"]:
		c.wrong(limit, "is shorter than the base, %s", p.Base)
	}
	if path := at + ".on"; c.good(path) && len(p.On) == 0 {
		c.wrong(path, "want at least one status such as 5xx")
	}
}

// attempts checks that a retry workload's requests hand their name on, and where it is
// looked for.
func (c *checker) attempts(at string, w *Workload, sample *Data, runnable bool) {
	correlate := at + ".upstream.correlate"
	if u := w.Upstream; u != nil && !c.bad[at+".upstream"] {
		c.correlation(correlate, u.Correlate, sample, runnable)
		if c.given(correlate + ".id") {
			c.wrongKey(correlate+".id", "has no use here: attempts come before there is an answer; the request hands {{ .ID }} out")
		}
	}
	r := w.Request
	if r == nil || c.bad[at+".request"] {
		return
	}
	texts := []string{r.Path, r.Body}
	for _, value := range r.Headers {
		texts = append(texts, value)
	}
	all := strings.Join(texts, "\n")
	if named := strings.Contains(all, ".Callback") || strings.Contains(all, ".ID"); !named {
		c.wrongKey(at+".request", "does not name the arrival, so that its attempts could not be told from others: hand the target {{ .Callback }} as the upstream's address, or {{ .ID }} for it to pass on, as upstream.correlate says")
	}
}
