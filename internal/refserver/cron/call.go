package cron

import (
	"context"
	"time"
)

// Call is one run of a job, as it is asked of a function.
type Call struct {
	Job       string    // the job's name; its id in decimal where it has none
	RunID     int64     // of the run, unique among all runs of all jobs
	Function  string    // the function's name
	Body      []byte    // the request's body, JSON; empty is {}
	Scheduled time.Time // the instant for which the run was scheduled
}

// Caller calls functions. It may be called concurrently.
type Caller interface {
	// Call returns when the function has answered, with the answer's HTTP status.
	// An error says that there was no answer; the status is 0 then. It returns
	// soon after ctx is done.
	Call(ctx context.Context, c Call) (status int, err error)
}
