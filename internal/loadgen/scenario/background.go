package scenario

// A Job is what each request of a background workload leaves behind: work that
// goes on after its answer, as waitUntil has it. How loadgen learns that it is done
// is exactly one of Callback, which is the default, and Poll.
type Job struct {
	// Callback is a call to the sink when the job is done; where it names the job.
	// Default: the target calls {{ .Callback }}, which names it by its path.
	Callback *Correlation `yaml:"callback,omitempty" json:"callback,omitempty"`
	// Poll asks the target whether the job is done.
	Poll *Poll `yaml:"poll,omitempty" json:"poll,omitempty"`
	// Failed is a check of the callback's body, or of a poll's answer: where it holds
	// the job has ended without being done.
	Failed *Check `yaml:"failed,omitempty" json:"failed,omitempty"`
	// Deadline is how long after its acknowledgement a job may be done; later it is
	// lost. Default 30s. A run's drain is at least as long.
	Deadline Duration `yaml:"deadline,omitempty" json:"deadline"`
}

// A Poll asks until a job is done.
type Poll struct {
	// Request of each question; its templates see what was extracted from the
	// acknowledgement as {{ .Vars.name }}.
	Request Request `yaml:"request" json:"request"`
	// Every is the time between the end of one question and the next; default 100ms.
	// A completion is known that much later at worst, which the result says.
	Every Duration `yaml:"every,omitempty" json:"every"`
	// Done is what the answer satisfies once the job is done.
	Done Check `yaml:"done" json:"done"`
}

// A Correlation says where a call to the sink names the arrival it belongs to:
// at most one of a header, a parameter of the query, and a value in the body. With
// none it is the path, which the target was given as {{ .Callback }}.
type Correlation struct {
	// Header whose value it is.
	Header string `yaml:"header,omitempty" json:"header,omitempty"`
	// Query is the name of the parameter.
	Query string `yaml:"query,omitempty" json:"query,omitempty"`
	// JSON is the path to the value in the body.
	JSON JSONPath `yaml:"json,omitempty" json:"json,omitzero"`
	// ID is the value, a template that sees what was extracted from the answer as
	// {{ .Vars.name }}; default: {{ .ID }}, which the request handed out.
	ID string `yaml:"id,omitempty" json:"id,omitempty"`
}

// An Extract takes a value out of an answer, for later templates of the same
// arrival to see as {{ .Vars.name }}: exactly one of a header and a value in the
// body. An answer without it is a failed check.
type Extract struct {
	// Header whose first value it is.
	Header string `yaml:"header,omitempty" json:"header,omitempty"`
	// JSON is the path to the value in the body; text without its quotes.
	JSON JSONPath `yaml:"json,omitempty" json:"json,omitzero"`
}
