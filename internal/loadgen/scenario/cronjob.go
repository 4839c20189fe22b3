package scenario

// A CronJob is what a cron workload watches: calls that are to come to the sink at
// the instants of a schedule. Each instant is an arrival.
type CronJob struct {
	// Schedule in five fields (minute, hour, day of month, month, day of week), or
	// "N seconds".
	Schedule string `yaml:"schedule" json:"schedule"`
	// Timezone that the five fields are meant in; default UTC.
	Timezone string `yaml:"timezone,omitempty" json:"timezone,omitempty"`
	// Anchor says which instants an "N seconds" schedule means: epoch (default;
	// those whose Unix time is a multiple of N) or first, those that follow the first
	// call that comes, as where a scheduler counts from its own start. The run begins
	// when that call has come.
	Anchor CronAnchor `yaml:"anchor,omitempty" json:"anchor,omitempty"`
	// Missed is how long after its instant a call may come; later it is missed.
	// Default: the shortest time between two instants, at most 30s. Unless the file says
	// otherwise a run's drain is longer.
	Missed Duration `yaml:"missed,omitempty" json:"missed"`
	// Scheduled is where a call names the instant it was scheduled for, in RFC 3339
	// or in Unix seconds, which may be off by a second: exactly one of a header, a
	// parameter of the query, and a value in the body. Default: it does not, and belongs
	// to the nearest.
	Scheduled *Correlation `yaml:"scheduled,omitempty" json:"scheduled,omitempty"`
	// Takes is how long the sink takes to answer a call: longer than the schedule's
	// gap, and runs overlap. Default 0s.
	Takes Duration `yaml:"takes,omitempty" json:"takes,omitempty"`
	// Register is a request to the target before the run that makes the job, whose
	// address to call is {{ .Callback }}. Unless it is answered 2xx there is no run.
	Register *Request `yaml:"register,omitempty" json:"register,omitempty"`
	// Remove is a request to the target after the run, interrupted or not, that removes
	// the job; it sees what was extracted from the answer to Register.
	Remove *Request `yaml:"remove,omitempty" json:"remove,omitempty"`
}

// CronAnchor is where the instants of an "N seconds" schedule are counted from.
type CronAnchor string

// Cron anchors.
const (
	AnchorEpoch CronAnchor = "epoch"
	AnchorFirst CronAnchor = "first"
)
