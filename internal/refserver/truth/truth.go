// Package truth is the reference server's ground truth: what it knows to have
// happened to work that outlives a request, as counts that are exact and records
// with instants.
//
// A Ledger takes one Record for each event in the life of a thing: a worker that
// boots and is killed, a background job that is queued, completes or is lost, an
// attempt at an upstream, a cron job that fires. Counts are kept for good, and beyond
// a bound of names under one name; of the records the newest are kept, up to a bound,
// and how many were let go is counted.
//
// A Ledger that was opened with a file (Open) writes each record there before Add
// returns, one line of JSON in one write: what a process had promised is there
// after it was killed, by SIGKILL too. It does not survive the machine's end: the
// file is not synced, because a target that waits for a disk at each event is no
// target for a load test.
//
// The package knows no function, no protocol and no database.
package truth

import "time"

// Kind is what a record is of.
type Kind string

// The kinds there are.
const (
	Worker Kind = "worker" // Name: the function, ID: the worker
	Job    Kind = "job"    // a waitUntil task. Name: the function, ID: the job
	Retry  Kind = "retry"  // a logical request that is tried several times. Name: the function, ID: the request
	Cron   Kind = "cron"   // a scheduled run. Name: the cron job, ID: the run
)

// Record is one event.
type Record struct {
	Seq    uint64    `json:"seq"` // from 1, in the order of Add
	At     time.Time `json:"at"`  // when it happened
	Kind   Kind      `json:"kind"`
	Name   string    `json:"name"`
	ID     string    `json:"id"`
	Event  string    `json:"event"`            // what happened: "queued", "completed", "lost", …
	Due    time.Time `json:"due,omitzero"`     // the instant at which it should have happened, where there is one
	Detail string    `json:"detail,omitempty"` // why
}

// Count is how often an event happened.
type Count struct {
	Kind  Kind   `json:"kind"`
	Name  string `json:"name"`
	Event string `json:"event"`
	Count uint64 `json:"count"`
}

// DefaultKeep is how many records a Ledger keeps where nothing else is asked for.
const DefaultKeep = 200_000
