// Package scenario is the file format: what a load test is made of, read from
// YAML with strict keys, filled with defaults, checked as a whole and published
// as a JSON Schema.
//
// ReadFile gives a Scenario in which every default is set, every template
// compiles and runs, and every feed file can be read; or else Problems, all of
// them at once, each with file, line, column and the offending line. A Scenario
// written as JSON, as results hold it, is read back by encoding/json.
//
// Values have notations of their own: Duration "30s", Rate "50/s", SizeDist
// "4KiB", SourceRange "127.0.0.16/28", Threshold "p(95) < 800ms". Any scalar may hold ${NAME} or
// ${NAME:-default} from the environment; $$ is a dollar. Paths, header values
// and bodies are Templates, whose random parts depend on the seed and the
// arrival alone. Anchors, aliases and merge keys (<<) work as in YAML 1.1; tags
// and several documents are refused.
//
// The package knows the format and nothing of the net, of histograms or of how
// a workload is run.
package scenario

// A Scenario is one file: where the load goes, for how long, what traffic it is
// made of and what must hold of the result.
type Scenario struct {
	// Version of the format; 1.
	Version int `yaml:"version" json:"version"`
	// Name of the run's folder and title: lower-case letters, digits, "-", "_" and ".".
	Name string `yaml:"name" json:"name"`
	// Description is free text for the report.
	Description string `yaml:"description,omitempty" json:"description,omitempty"`
	// Target is the base URL (http or https) that request paths are resolved against.
	Target string `yaml:"target" json:"target"`
	// Seed fixes every random choice of the run; default 1.
	Seed uint64 `yaml:"seed,omitempty" json:"seed"`
	// Warmup comes first: its load is sent, its samples are thrown away.
	Warmup Duration `yaml:"warmup,omitempty" json:"warmup"`
	// Duration of the measured part. Default: the sum of the longest stages.
	Duration Duration `yaml:"duration,omitempty" json:"duration"`
	// Drain is how long work in flight may go on after the last arrival before
	// it is cut and counted as unfinished; default 10s.
	Drain Duration `yaml:"drain,omitempty" json:"drain"`
	// Sink is loadgen's own endpoint, which the target calls.
	Sink *Sink `yaml:"sink,omitempty" json:"sink,omitempty"`
	// Mix is a stream of arrivals that the workloads with a load.weight share.
	Mix *Mix `yaml:"mix,omitempty" json:"mix,omitempty"`
	// Workloads by name: lower-case letters, digits and "_".
	Workloads map[string]*Workload `yaml:"workloads" json:"workloads"`
	// Thresholds by metric ("<workload>.<metric>", as chat.ttft), each a list of
	// conditions such as "p(95) < 800ms".
	Thresholds map[string][]Threshold `yaml:"thresholds,omitempty" json:"thresholds,omitempty"`

	// Environments by name: what changes where one of them is asked for.
	Environments map[string]Environment `yaml:"environments,omitempty" json:"-"`
	// Environment is the one that went over the file; empty without.
	Environment string `yaml:"-" json:"environment,omitempty"`

	// Secrets are the values of credentials that came from the environment, the longest
	// first. They are never to be shown: see Scrub.
	Secrets []string `yaml:"-" json:"-"`

	// Dir is the folder of the file, which feed files are relative to; "." for a
	// scenario that comes from elsewhere.
	Dir string `yaml:"-" json:"-"`
}

// Protocol says which driver does a workload's arrivals.
type Protocol string

// Protocols.
const (
	SSE        Protocol = "sse"
	WebSocket  Protocol = "websocket"
	HTTP       Protocol = "http"
	Background Protocol = "background"
	Cron       Protocol = "cron"
	Retry      Protocol = "retry"
)

// A Workload is one kind of traffic inside a scenario.
type Workload struct {
	// Protocol is sse (an event stream an arrival), websocket (a member of a room
	// an arrival), http (a request and its answer), background (a request and the work
	// it leaves behind), cron (an instant of a schedule, and the call that comes for
	// it) or retry (a logical request, and the attempts it makes of it upstream).
	Protocol Protocol `yaml:"protocol" json:"protocol"`
	// Load says how arrivals come. A cron workload has none: its schedule says it.
	Load Load `yaml:"load,omitempty" json:"load"`
	// Request is what an arrival sends, of any protocol but websocket and cron.
	Request *Request `yaml:"request,omitempty" json:"request,omitempty"`
	// Steps are several requests that an http workload's arrival makes one after the
	// other, in place of Request.
	Steps []Step `yaml:"steps,omitempty" json:"steps,omitempty"`
	// Targets is a file of requests that an http workload sends in place of Request.
	Targets *Targets `yaml:"targets,omitempty" json:"targets,omitempty"`
	// Checks are what the answers of an http, background or retry workload must satisfy. Unless one of them
	// is on the status, that must be 2xx or 3xx.
	Checks []Check `yaml:"checks,omitempty" json:"checks,omitempty"`
	// Extract takes values out of an answer by name, for later templates of the same
	// arrival, which see them as {{ .Vars.name }}. In a cron workload the answer is that
	// to register, and remove sees them.
	Extract map[string]*Extract `yaml:"extract,omitempty" json:"extract,omitempty"`
	// Job is the work that a background workload's requests leave behind.
	Job *Job `yaml:"job,omitempty" json:"job,omitempty"`
	// Cron is the schedule that a cron workload watches.
	Cron *CronJob `yaml:"cron,omitempty" json:"cron,omitempty"`
	// Upstream is what the sink plays for a retry workload's target.
	Upstream *Upstream `yaml:"upstream,omitempty" json:"upstream,omitempty"`
	// Policy is how a retry workload's target says that it tries again.
	Policy *Policy `yaml:"policy,omitempty" json:"policy,omitempty"`
	// FollowRedirects is how many redirects a request follows;
	// default 0: a redirect is an answer like any other.
	FollowRedirects int `yaml:"follow_redirects,omitempty" json:"follow_redirects,omitempty"`
	// Dialect of the event stream: anthropic, openai, text or auto (default).
	Dialect Dialect `yaml:"dialect,omitempty" json:"dialect,omitempty"`
	// Slow has clients of an sse workload read slowly.
	Slow *SlowRead `yaml:"slow,omitempty" json:"slow,omitempty"`
	// Leave has clients of an sse workload go away early.
	Leave *Leave `yaml:"leave,omitempty" json:"leave,omitempty"`
	// Resume has clients of an sse workload take up a stream that broke off.
	Resume *Resume `yaml:"resume,omitempty" json:"resume,omitempty"`
	// IdleTimeout is how long a client of an sse workload waits for the next byte of
	// its stream, heartbeats among them; default: to the timeout.
	IdleTimeout Duration `yaml:"idle_timeout,omitempty" json:"idle_timeout,omitempty"`
	// Room is what a websocket workload joins.
	Room *Room `yaml:"room,omitempty" json:"room,omitempty"`
	// Feed supplies columns to templates, one row an arrival.
	Feed *Feed `yaml:"feed,omitempty" json:"feed,omitempty"`
	// Timeout of one stream or request from its actual start, or of one room
	// connection's set-up; default 60s for sse and retry, 30s for http and background, 10s for websocket.
	Timeout Duration `yaml:"timeout,omitempty" json:"timeout"`
	// HTTP2 asks for HTTP/2: on https by ALPN (always offered), on http by prior
	// knowledge. Default false: HTTP/1.1 on http.
	HTTP2 bool `yaml:"http2,omitempty" json:"http2,omitempty"`
	// KeepAlive false has each request open a connection of its own; default true. Not
	// of a websocket workload.
	KeepAlive *bool `yaml:"keepalive,omitempty" json:"keepalive,omitempty"`
	// Compression asks for answers compressed by gzip; checks look at what they hold.
	// Default false. Of http, background and retry workloads.
	Compression bool `yaml:"compression,omitempty" json:"compression,omitempty"`
	// InsecureSkipVerify accepts any TLS certificate.
	InsecureSkipVerify bool `yaml:"insecure_skip_verify,omitempty" json:"insecure_skip_verify,omitempty"`
	// Source is the addresses of this machine that connections come from, in turn:
	// addresses and ranges, at most 4096 in all, of one family. Default: the
	// system's choice.
	Source []SourceRange `yaml:"source,omitempty" json:"source,omitempty"`
	// Connect bounds how fast connections are opened.
	Connect Connect `yaml:"connect,omitempty" json:"connect,omitzero"`
}

// Connect bounds how fast a workload opens connections: a target's queue of
// those it has still to accept is short. What waits for its turn is in
// connect_wait, and in every latency from the intended start.
type Connect struct {
	// Rate is how many connects are begun a second; 20 ms of it may come at once.
	// Default 5000/s.
	Rate Rate `yaml:"rate,omitempty" json:"rate"`
	// AtOnce is how many connects may be under way at once, TLS and upgrade
	// included; default 500.
	AtOnce int `yaml:"at_once,omitempty" json:"at_once"`
}

// Dialect is the manner in which a stream's events carry tokens.
type Dialect string

// Dialects.
const (
	DialectAuto      Dialect = "auto"
	DialectAnthropic Dialect = "anthropic"
	DialectOpenAI    Dialect = "openai"
	DialectText      Dialect = "text"
)

// Load says how arrivals come: exactly one of Rate, Stages, Sine, Trace, Weight (open
// model) and Users (closed model).
type Load struct {
	// Rate is a constant arrival rate such as 50/s, 600/m or 10/h.
	Rate Rate `yaml:"rate,omitempty" json:"rate,omitempty"`
	// Stages are ramps and steps, one after the other. They begin when the
	// warm-up ends; during the warm-up the first stage's starting rate holds.
	Stages []Stage `yaml:"stages,omitempty" json:"stages,omitempty"`
	// Sine is a rate that swings about a mean.
	Sine *Sine `yaml:"sine,omitempty" json:"sine,omitempty"`
	// Trace is a file of arrivals to come again.
	Trace *Trace `yaml:"trace,omitempty" json:"trace,omitempty"`
	// Weight is the workload's share of the scenario's mix, against the other weights.
	Weight float64 `yaml:"weight,omitempty" json:"weight,omitempty"`
	// Shape is a preset of real traffic: chat-azure23, code-azure23, rag-long or
	// bursty. It sets Arrivals, unless they are given, and the tokens that templates
	// see as {{ .InputTokens }} and {{ .OutputTokens }}.
	Shape Shape `yaml:"shape,omitempty" json:"shape,omitempty"`
	// Arrivals is the process about the rate: constant (default), poisson, gamma or bursty.
	Arrivals Arrivals `yaml:"arrivals,omitempty" json:"arrivals,omitempty"`
	// CV is the coefficient of variation of a gamma process's gaps; above 1 is
	// burstier than poisson. Required with gamma.
	CV float64 `yaml:"cv,omitempty" json:"cv,omitempty"`
	// MaxInFlight bounds arrivals under way at once; an arrival that finds no
	// room is dropped and counted. Default 10000.
	MaxInFlight int `yaml:"max_in_flight,omitempty" json:"max_in_flight,omitempty"`
	// Users is the closed model: so many users, each beginning its next arrival
	// when its last has ended.
	Users int `yaml:"users,omitempty" json:"users,omitempty"`
	// Ramp spreads the users' beginnings evenly over this time.
	Ramp Duration `yaml:"ramp,omitempty" json:"ramp,omitempty"`
	// Think is a user's pause between an end and the next beginning.
	Think Duration `yaml:"think,omitempty" json:"think,omitempty"`
	// Session makes each arrival, or each beginning of a user, a session of several
	// questions.
	Session *Session `yaml:"session,omitempty" json:"session,omitempty"`
}

// Arrivals is an arrival process.
type Arrivals string

// Arrival processes.
const (
	ArrivalsConstant Arrivals = "constant"
	ArrivalsPoisson  Arrivals = "poisson"
	ArrivalsGamma    Arrivals = "gamma"
	// ArrivalsBursty is several gamma processes at once whose rates differ widely.
	ArrivalsBursty Arrivals = "bursty"
)

// A Stage moves the rate in a straight line from where it was (0 before the
// first) to Rate within Duration; with Step it jumps there and holds.
type Stage struct {
	// Duration of the stage; above 0.
	Duration Duration `yaml:"duration" json:"duration"`
	// Rate at the stage's end; 0/s is allowed.
	Rate Rate `yaml:"rate" json:"rate"`
	// Step jumps to Rate at the stage's beginning instead of moving there.
	Step bool `yaml:"step,omitempty" json:"step,omitempty"`
}

// Sine is Mean + Amplitude·sin(2πt/Period), with Amplitude at most Mean.
type Sine struct {
	// Mean rate; above 0/s.
	Mean Rate `yaml:"mean" json:"mean"`
	// Amplitude of the swing, from 0/s to Mean.
	Amplitude Rate `yaml:"amplitude" json:"amplitude"`
	// Period of one swing; above 0.
	Period Duration `yaml:"period" json:"period"`
}

// A Request is what one arrival sends. Path, header values and body are
// templates (see Data).
type Request struct {
	// Method defaults to POST with a body and GET without.
	Method string `yaml:"method,omitempty" json:"method"`
	// Path begins with "/" and may have a query. A template.
	Path string `yaml:"path" json:"path"`
	// Headers by name; each value is a template.
	Headers map[string]string `yaml:"headers,omitempty" json:"headers,omitempty"`
	// Body as it is sent. A template.
	Body string `yaml:"body,omitempty" json:"body,omitempty"`
}

// A Check is a condition on each answer of an http workload. It looks at exactly
// one of the status, a header, the body as JSON, and the body.
type Check struct {
	// Name of the failure in reports; default: the check as it is written.
	Name string `yaml:"name,omitempty" json:"name,omitempty"`
	// Status the answer must have: a code (200), a class (2xx), or a list of these.
	Status Statuses `yaml:"status,omitempty" json:"status,omitempty"`
	// Header is a condition on a header of the answer.
	Header *HeaderCheck `yaml:"header,omitempty" json:"header,omitempty"`
	// JSON is a condition on a value within the body.
	JSON *JSONCheck `yaml:"json,omitempty" json:"json,omitempty"`
	// Body is a condition on the body as a whole.
	Body *BodyCheck `yaml:"body,omitempty" json:"body,omitempty"`
}

// A HeaderCheck holds where one of the header's values satisfies it; with no
// condition, where the header is there. It has at most one condition.
type HeaderCheck struct {
	// Name of the header.
	Name string `yaml:"name" json:"name"`
	// Equals is the value.
	Equals *Literal `yaml:"equals,omitempty" json:"equals,omitempty"`
	// Contains is a part of the value.
	Contains string `yaml:"contains,omitempty" json:"contains,omitempty"`
	// Matches is a regular expression (RE2) that matches a part of the value.
	Matches string `yaml:"matches,omitempty" json:"matches,omitempty"`
	// Absent: the header must not be there.
	Absent bool `yaml:"absent,omitempty" json:"absent,omitempty"`
}

// A JSONCheck holds where one of the values that the path leads to satisfies it;
// with no condition, where there is one. It has at most one condition.
type JSONCheck struct {
	// Path to the values, as $.items[0].id; see JSONPath.
	Path JSONPath `yaml:"path" json:"path"`
	// Equals is the value: as JSON (7, true, null, [1, 2], "7" with its quotes),
	// or, where it is none, text.
	Equals *Literal `yaml:"equals,omitempty" json:"equals,omitempty"`
	// Contains is a part of the value, which is text.
	Contains string `yaml:"contains,omitempty" json:"contains,omitempty"`
	// Matches is a regular expression (RE2) that matches a part of the value,
	// which is text.
	Matches string `yaml:"matches,omitempty" json:"matches,omitempty"`
	// Absent: the path must lead to nothing.
	Absent bool `yaml:"absent,omitempty" json:"absent,omitempty"`
}

// A BodyCheck is one condition on the whole body.
type BodyCheck struct {
	// Equals is the body.
	Equals *Literal `yaml:"equals,omitempty" json:"equals,omitempty"`
	// Contains is a part of the body.
	Contains string `yaml:"contains,omitempty" json:"contains,omitempty"`
	// Matches is a regular expression (RE2) that matches a part of the body.
	Matches string `yaml:"matches,omitempty" json:"matches,omitempty"`
}

// Targets is a file of requests in one of vegeta's formats, one an arrival.
type Targets struct {
	// File is relative to the scenario file.
	File string `yaml:"file" json:"file"`
	// Format is http or json, as vegeta calls them; default json for a file named
	// .json, .jsonl or .ndjson, otherwise http.
	Format TargetFormat `yaml:"format,omitempty" json:"format,omitempty"`
	// Order is sequential (default, wrapping around) or random.
	Order FeedOrder `yaml:"order,omitempty" json:"order,omitempty"`
}

// TargetFormat is a format of target files.
type TargetFormat string

// Target formats.
const (
	TargetsHTTP TargetFormat = "http"
	TargetsJSON TargetFormat = "json"
)

// A Feed is a file of rows, CSV with a header line or JSONL, whose columns
// templates see as {{ .Feed.column }}.
type Feed struct {
	// File is relative to the scenario file.
	File string `yaml:"file" json:"file"`
	// Order is sequential (default, wrapping around) or random.
	Order FeedOrder `yaml:"order,omitempty" json:"order,omitempty"`
}

// FeedOrder says which row of a feed, or which request of Targets, an arrival gets.
type FeedOrder string

// Feed orders.
const (
	FeedSequential FeedOrder = "sequential"
	FeedRandom     FeedOrder = "random"
)
