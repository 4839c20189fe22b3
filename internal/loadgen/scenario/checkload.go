package scenario

import (
	"slices"
	"strings"
)

// Largest numbers of users and of arrivals under way at once.
const maxUsers = 1_000_000

// Range of a coefficient of variation: below it a gamma process is as good as
// constant, above it nearly all arrivals come in a few bursts.
const minCV, maxCV = 0.001, 100.0

// protocolsOf says which protocols' workloads have a key that not all have.
func protocolsOf() map[string][]Protocol {
	return map[string][]Protocol{
		"load":             {SSE, WebSocket, HTTP, Background, Retry},
		"request":          {SSE, HTTP, Background, Retry},
		"dialect":          {SSE},
		"slow":             {SSE},
		"leave":            {SSE},
		"resume":           {SSE},
		"idle_timeout":     {SSE},
		"http2":            {SSE, HTTP, Background, Retry},
		"keepalive":        {SSE, HTTP, Background, Retry},
		"compression":      {HTTP, Background, Retry},
		"room":             {WebSocket},
		"steps":            {HTTP},
		"targets":          {HTTP},
		"checks":           {HTTP, Background, Retry},
		"extract":          {HTTP, Background, Cron},
		"follow_redirects": {HTTP, Background, Retry},
		"job":              {Background},
		"cron":             {Cron},
		"upstream":         {Retry},
		"policy":           {Retry},
	}
}

// requiredBy lists the keys that a workload of protocol p must have.
func requiredBy(p Protocol) []string {
	switch p {
	case SSE:
		return []string{"load", "request"}
	case WebSocket:
		return []string{"load", "room"}
	case HTTP:
		return []string{"load"}
	case Background:
		return []string{"load", "request", "job"}
	case Cron:
		return []string{"cron"}
	case Retry:
		return []string{"load", "request", "upstream", "policy"}
	}
	return nil
}

// workload checks one workload: its keys go with its protocol, its load makes
// sense, its templates run.
func (c *checker) workload(at, name string, w *Workload) {
	c.keysOfProtocol(at, w.Protocol)
	c.positive(at+".timeout", w.Timeout > 0)
	c.connect(at, w)
	if c.given(at+".load") && !c.bad[at+".load"] {
		c.load(at+".load", w)
	}
	if w.Room != nil && !c.bad[at+".room"] {
		c.room(at+".room", w)
	}
	if w.Upstream != nil && !c.bad[at+".upstream"] {
		c.upstream(at+".upstream", w.Upstream)
	}
	c.stream(at, w)
	c.steps(at, w)
	if w.Cron != nil && !c.bad[at+".cron"] {
		c.cron(at, w)
	}
	c.templates(at, name, w)
	if slices.Contains([]Protocol{HTTP, Background, Retry}, w.Protocol) {
		c.http(at, w)
	}
	if w.Job != nil && !c.bad[at+".job"] {
		c.job(at+".job", w.Job)
	}
	if w.Policy != nil && !c.bad[at+".policy"] {
		c.policy(at+".policy", w.Policy)
	}
}

// keysOfProtocol reports keys that go only with other protocols, and what is
// missing.
func (c *checker) keysOfProtocol(at string, p Protocol) {
	if p == "" {
		return // reported by the decoder
	}
	for key, protocols := range protocolsOf() {
		if path := join(at, key); c.given(path) && !slices.Contains(protocols, p) {
			var names []string
			for _, other := range protocols {
				names = append(names, string(other))
			}
			c.wrongKey(path, "only a workload of protocol %s has this key", strings.Join(names, " or "))
		}
	}
	for _, required := range requiredBy(p) {
		if !c.given(join(at, required)) {
			c.wrong(join(at, required), "this key is required with protocol %s", p)
		}
	}
}

func (c *checker) load(at string, w *Workload) {
	l := &w.Load
	models := c.which(at, "rate", "stages", "sine", "trace", "weight", "users")
	if len(models) != 1 {
		c.wrongKey(at, "want exactly one of rate, stages, sine, trace, weight and users, found %s", orNone(models))
		return
	}
	switch {
	case models[0] == "users":
		c.without(at, "goes only with rate, stages, sine or weight", "arrivals", "cv", "max_in_flight")
	case w.Protocol == WebSocket:
		c.wrongKey(join(at, models[0]), "a websocket workload is made of users who stay; give users instead")
		return
	default:
		c.without(at, "goes only with users", "ramp", "think")
	}
	if models[0] == "trace" {
		c.without(at, "has no meaning with a trace, which says it itself", "arrivals", "cv", "shape")
	}
	if w.Protocol == WebSocket {
		c.without(at, "has no meaning in a websocket workload: its users stay until the end", "think", "session", "shape")
	}
	c.positive(at+".rate", l.Rate > 0)
	c.within(at+".users", l.Users, 1, maxUsers)
	c.within(at+".max_in_flight", l.MaxInFlight, 1, maxUsers)
	if total := c.scenario.Warmup + c.scenario.Duration; c.good(at+".ramp") && total > 0 && l.Ramp > total {
		c.wrong(at+".ramp", "is longer than warm-up and duration together, %s: some users would never begin", total)
	}
	c.stages(at+".stages", l.Stages)
	if c.given(at + ".sine") {
		c.sine(at+".sine", l.Sine)
	}
	c.variation(at, l.Arrivals, l.CV)
	workload := strings.TrimSuffix(at, ".load")
	c.trace(workload, l)
	c.session(workload, l)
}

// without reports keys of a load that do not go with its model.
func (c *checker) without(at, why string, keys ...string) {
	for _, key := range keys {
		if path := join(at, key); c.given(path) {
			c.wrongKey(path, "%s", why)
		}
	}
}

func (c *checker) stages(at string, stages []Stage) {
	if !c.good(at) {
		return
	}
	highest, known := Rate(0), true
	for i, stage := range stages {
		item := c.item(at, i)
		c.positive(item+".duration", stage.Duration > 0)
		highest = max(highest, stage.Rate)
		known = known && c.good(item+".rate")
	}
	switch {
	case len(stages) == 0:
		c.wrong(at, "want at least one stage")
	case known && highest == 0:
		c.wrong(at, "at least one stage must have a rate above 0/s")
	}
}

func (c *checker) sine(at string, s *Sine) {
	if s == nil {
		return
	}
	c.positive(at+".mean", s.Mean > 0)
	c.positive(at+".period", s.Period > 0)
	if c.good(at+".mean") && c.good(at+".amplitude") && s.Amplitude > s.Mean {
		c.wrong(at+".amplitude", "%s is above the mean of %s: the rate would fall below 0/s", s.Amplitude, s.Mean)
	}
}

// variation checks that the cv of the load or mix at path goes with gamma arrivals
// that are given with it, and only with them.
func (c *checker) variation(at string, arrivals Arrivals, cv float64) {
	path, given := at+".cv", c.given(at+".arrivals")
	switch gamma := given && arrivals == ArrivalsGamma; {
	case c.bad[at+".arrivals"]:
	case gamma && !c.given(path):
		c.wrong(at+".arrivals", "gamma needs cv, the coefficient of variation of the gaps")
	case gamma && c.good(path) && (cv < minCV || cv > maxCV):
		c.wrong(path, "must be from %v to %v, is %v", minCV, maxCV, cv)
	case !gamma && c.given(path):
		c.wrongKey(path, "goes only with arrivals: gamma")
	}
}
