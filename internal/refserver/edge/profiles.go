package edge

import (
	"fmt"
	"strings"
	"time"
)

// MB is the megabyte of the profiles, 2^20 bytes: the platform's runtime takes its
// limits in MiB, whatever its documentation calls them.
const MB = 1 << 20

// Profile is a named set of limits.
type Profile struct {
	Name    string
	About   string // in one line
	Limits  Limits
	Workers int // of each function, where nothing else is asked for
}

// requestWait is how long a request waits for a worker where the platform limits
// that: the default of its runtime.
const requestWait = 10 * time.Second

// Profiles are the profiles there are, the default first.
//
// The profile guide has the figures of the guide's table, CPU time from its free
// column. The guide says that each invocation runs in an isolate of its own, and
// also that work handed to waitUntil goes on after the answer; per_request is the
// policy that has both: one request at a time has the worker, and the worker
// outlives it. So that requests run side by side, as they do on the guide's platform,
// there are many workers. What the table does not limit, it does not limit either.
func Profiles() []Profile {
	platform := Limits{
		CPUSoft: time.Second, CPU: 2 * time.Second, Memory: 256 * MB,
		RequestIdle: 150 * time.Second, RequestWait: requestWait,
	}
	free, pro := platform, platform
	free.WallClock, pro.WallClock = 150*time.Second, 400*time.Second
	return []Profile{
		{Name: "unlimited", About: "no limits, for benchmarks of the server itself", Workers: 1},
		{Name: "guide", About: "the guide's table: 400 ms CPU (free), 150 MB, 6 MB response; one request at a time in a worker, up to 1,000 workers", Workers: 1000,
			Limits: Limits{Policy: PerRequest, CPU: 400 * time.Millisecond, Memory: 150 * MB, ResponseBytes: 6 * MB, RequestWait: requestWait}},
		{Name: "supabase-free", About: "2 s CPU, 256 MB, 150 s wall clock, 150 s request idle", Limits: free, Workers: 1},
		{Name: "supabase-pro", About: "2 s CPU, 256 MB, 400 s wall clock, 150 s request idle", Limits: pro, Workers: 1},
	}
}

// ParseProfile returns the profile of that name.
func ParseProfile(name string) (Profile, error) {
	var names []string
	for _, p := range Profiles() {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Profile{}, fmt.Errorf("profile %q: want %s", name, strings.Join(names, ", "))
}
