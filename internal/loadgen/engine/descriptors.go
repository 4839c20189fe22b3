package engine

import "fmt"

// spareDescriptors is what the program needs beside its connections: standard
// streams, poller, timers, files.
const spareDescriptors = 50

// checkDescriptors refuses a plan whose users need more connections at once than
// this process may open descriptors: the run would only measure its own limit.
// Open models are bounded by MaxInFlight and are not counted: how many
// connections they need depends on the target. A limit of 0 is unknown.
func checkDescriptors(workloads []Workload, limit int) error {
	need := 0
	for _, w := range workloads {
		need += w.Users
	}
	if limit == 0 || need == 0 || need+spareDescriptors <= limit {
		return nil
	}
	return fmt.Errorf("%d users need as many connections, and this process may open %d descriptors, %d of them for other use: "+
		"raise the limit (ulimit -n %d) or lower users", need, limit, spareDescriptors, need+spareDescriptors)
}
