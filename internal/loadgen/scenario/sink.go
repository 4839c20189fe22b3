package scenario

// NeedsSink says that a run of the scenario has loadgen's own endpoint.
func (s *Scenario) NeedsSink() bool {
	if s.Sink != nil {
		return true
	}
	for _, w := range s.Workloads {
		if w != nil && (w.Protocol == Background || w.Protocol == Cron || w.Protocol == Retry) {
			return true
		}
	}
	return false
}

// IsName says that text could name a workload or an upstream.
func IsName(text string) bool { return workloadSyntax.MatchString(text) }

// A Sink is loadgen's own HTTP endpoint, which a target calls: for completions,
// webhooks and cron, and as the upstream that it depends on. Templates see its
// address as {{ .Sink }}, and an address of one arrival alone as {{ .Callback }}. It
// is there whenever a workload of protocol background, cron or retry is, or when the
// scenario has this section.
type Sink struct {
	// Listen is the host and port listened on; default 127.0.0.1:0, which takes a
	// free port.
	Listen string `yaml:"listen,omitempty" json:"listen,omitempty"`
	// URL is the address under which the target reaches it; default http:// and
	// what is listened on, or 127.0.0.1 where that is every address.
	URL string `yaml:"url,omitempty" json:"url,omitempty"`
	// Upstreams are services played for the target, by name: NAME is at {{ .Sink }}/NAME,
	// and takes any path below it. Names are those of workloads, and no workload's.
	Upstreams map[string]*Upstream `yaml:"upstreams,omitempty" json:"upstreams,omitempty"`
}

// An Upstream is a service that the sink plays for a target, by a script: Replies or
// Odds, but for an Outage. With neither it always answers 200, and without a Stream "ok",
// as Slack's webhooks do.
type Upstream struct {
	// Replies are given in turn, the last again and again: for each logical request
	// of a retry workload, for all calls of the sink's upstreams.
	Replies []Reply `yaml:"replies,omitempty" json:"replies,omitempty"`
	// Odds are the chances of replies: {503: 10%, reset: 1%}. What is left of 100 % is 200.
	Odds map[string]Share `yaml:"odds,omitempty" json:"odds,omitempty"`
	// Delay before each reply, from the call's last byte; default 0s.
	Delay TimeDist `yaml:"delay,omitempty" json:"delay,omitzero"`
	// Outage is a time in which every call gets the same reply.
	Outage *Outage `yaml:"outage,omitempty" json:"outage,omitempty"`
	// Stream makes the body of a 2xx an LLM API's event stream, and that of an error
	// such an API's; default: a small JSON object.
	Stream *LLMStream `yaml:"stream,omitempty" json:"stream,omitempty"`
	// Correlate says where a call names its logical request, in a retry workload; other
	// upstreams have none.
	Correlate *Correlation `yaml:"correlate,omitempty" json:"correlate,omitempty"`
}

// An Outage is a window of the run, warm-up included.
type Outage struct {
	// From is when it begins, from the start of the measured part.
	From Duration `yaml:"from" json:"from"`
	// For is how long it lasts.
	For Duration `yaml:"for" json:"for"`
	// Reply to every call meanwhile; default 503.
	Reply Reply `yaml:"reply,omitempty" json:"reply,omitzero"`
}

// An LLMStream is an event stream of an LLM API with a stated timing. Each event has
// the instant at which it was written in a comment before it, as the reference
// server's have.
type LLMStream struct {
	// Dialect of the stream: anthropic (default) or openai.
	Dialect Dialect `yaml:"dialect,omitempty" json:"dialect,omitempty"`
	// TTFT is when the first token is written, from the call's last byte and the
	// upstream's delay; default 300ms. What comes before it in the dialect is written at once.
	TTFT TimeDist `yaml:"ttft,omitempty" json:"ttft"`
	// Gap between tokens; default 20ms. A late token does not move the next.
	Gap TimeDist `yaml:"gap,omitempty" json:"gap"`
	// Tokens of an answer, one a chunk, at least 1; default 128.
	Tokens CountDist `yaml:"tokens,omitempty" json:"tokens"`
}
