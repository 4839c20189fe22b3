package engine

import "fmt"

// spareDescriptors is what the program needs beside its connections: standard
// streams, poller, timers, files.
const spareDescriptors = 50

// mostDescriptors is how many descriptors a plan may come to need at once, within
// the limit, where one is known.
func mostDescriptors(workloads []Workload, limit int) int {
	most := spareDescriptors
	for _, w := range workloads {
		most += w.Users
		if w.Schedule != nil {
			most += waitersAhead + w.MaxInFlight
		}
	}
	if limit > 0 {
		most = min(most, limit)
	}
	return most
}

// checkDescriptors refuses a plan whose users need more connections at once than
// this process may open descriptors: the run would only measure its own limit.
// A user who waits for the turn to connect has a descriptor later all the same,
// and however many addresses connections come from, each takes one. Open models
// are bounded by MaxInFlight and are not counted, but for their timers: how many
// connections they need depends on the target. A limit of 0 is unknown.
func checkDescriptors(workloads []Workload, limit int) error {
	users, other := 0, spareDescriptors
	for _, w := range workloads {
		users += w.Users
		if w.Schedule != nil {
			other += waitersAhead
		}
	}
	if limit == 0 || users == 0 || users+other <= limit {
		return nil
	}
	return fmt.Errorf("%d users need as many connections, and this process may open %d descriptors, %d of them for other use: "+
		"raise the limit (ulimit -n %d) or lower users to %d", users, limit, other, users+other, max(0, limit-other))
}
