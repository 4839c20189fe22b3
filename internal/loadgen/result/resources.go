package result

import "time"

// Resources is what the server under test used: all processes of the tree that
// the command started, the command's own group and every descendant, also those in
// a session of their own. Set where loadgen started the server itself.
//
// CPU is user and system time. That of a process which another of the tree has
// waited for is in, however short its life; see CPUErrorNS for how exact it is.
// Memory is resident memory added up over the processes, so that a page which
// several share counts once for each. The kernel keeps it a processor at a time, and
// its sum may be off by some hundred KiB a processor and process.
type Resources struct {
	// Command that started the server, as given, with credentials left out.
	Command string `json:"command"`
	// Method is where the figures come from: "proc", Linux's /proc. Empty where this
	// system has no figures.
	Method string `json:"method,omitempty"`
	// EarlierRuns is how many runs the same server had served before this one. Its
	// memory before the load may hold what they left, and less of it is then new.
	EarlierRuns int `json:"earlier_runs,omitempty"`
	// Idle is the server before the load, from when sampling began to the start of
	// the run. A server that is still busy with starting shows it here.
	Idle *Usage `json:"idle,omitempty"`
	// Measured is the measured part: without warm-up and drain, but up to the end of
	// the drain where the run was interrupted.
	Measured *Usage `json:"measured,omitempty"`
	// After is the server right after the drain, not at rest yet: what it has not
	// given back then is no leak.
	After *ResourceSample `json:"after,omitempty"`
	// PerOperation is CPU for each piece of work. Empty where it is not known.
	PerOperation []PerOperation `json:"per_operation,omitempty"`
	// BytesOut is the body bytes and the payload of messages that loadgen received in
	// the measured part: what the server sent, without headers and framing. 0 where
	// no workload counts them.
	BytesOut int64 `json:"bytes_out,omitempty"`
	// PerConnection is memory for each connection held.
	PerConnection *PerConnection `json:"per_connection,omitempty"`
	// Series is the first sample of each second, from before the load to after the
	// drain. Between gives the figures of a part of it.
	Series []ResourceSample `json:"series,omitempty"`
	// Ended says that the server ended before it was asked to.
	Ended *ServerEnd `json:"ended,omitempty"`
	// Unknown says in words which figures are missing or doubtful, and why.
	Unknown []string `json:"unknown,omitempty"`
}

// A ResourceSample is the tree at one instant.
type ResourceSample struct {
	AtNS time.Duration `json:"at_ns"` // offset from the run's start; below 0 before it
	// CPUNS is what the tree has used since the server was started.
	CPUNS time.Duration `json:"cpu_ns"`
	// CPUErrorNS is by how much CPUNS may be short, by the resolution of what the
	// kernel tells.
	CPUErrorNS time.Duration `json:"cpu_error_ns,omitempty"`
	RSSBytes   int64         `json:"rss_bytes"`
	FDs        int           `json:"fds"`
	Threads    int           `json:"threads"`
	Processes  int           `json:"processes"` // without those that have ended and wait to be waited for
}

// Usage is what the tree used over a span of the run.
type Usage struct {
	FromNS time.Duration `json:"from_ns"` // offsets from the run's start
	ToNS   time.Duration `json:"to_ns"`
	// CPUNS is the CPU time used in the span.
	CPUNS time.Duration `json:"cpu_ns"`
	// CPUErrorNS is by how much CPUNS may be off, either way: the resolution of the
	// readings at both ends (one clock tick each for user and system time of a process
	// whose children have ended, or all of a process's time where the kernel has no
	// finer clock of it), and what lies between an end of the span and the sample
	// nearest to it.
	CPUErrorNS time.Duration `json:"cpu_error_ns"`
	// Cores is CPUNS over the length of the span.
	Cores   float64 `json:"cores"`
	Samples int     `json:"samples"` // within the span; means and peaks are theirs
	// RSSMeanBytes is the mean of the samples, RSSSpreadBytes their standard
	// deviation. A peak between two samples is not seen.
	RSSMeanBytes   float64 `json:"rss_mean_bytes"`
	RSSSpreadBytes float64 `json:"rss_spread_bytes"`
	RSSPeakBytes   int64   `json:"rss_peak_bytes"`
	FDsMean        float64 `json:"fds_mean"`
	FDsPeak        int     `json:"fds_peak"`
	ThreadsMean    float64 `json:"threads_mean"`
	ThreadsPeak    int     `json:"threads_peak"`
	ProcessesPeak  int     `json:"processes_peak"`
}

// PerOperation is CPU time for each operation of one kind: the CPU time of the
// measured part ÷ the operations of the measured part. It holds everything the tree
// did meanwhile, idle work too. Where a run has several workloads only the mix is
// known, because the kernel does not tell what a process works for.
type PerOperation struct {
	// Workload the operations are of; empty for the mix of all.
	Workload string `json:"workload,omitempty"`
	// Operation names what is counted: "arrival" is one that finished, "delivery" a
	// message received by a member, "token" a chunk of content.
	Operation string  `json:"operation"`
	Count     int64   `json:"count"`
	CPUNS     float64 `json:"cpu_ns"`
	// ErrorNS is by how much CPUNS may be off, either way: the error of the CPU time,
	// and the work on arrivals that were under way at the start or the end of the
	// measured part and are in one of the two numbers only. At most all of the work
	// of as many arrivals as there were more at one end than at the other.
	ErrorNS float64 `json:"error_ns"`
	// IdleNS is the part of CPUNS that the server would have used without any load,
	// at its rate before it. 0 where that is not known.
	IdleNS float64 `json:"idle_ns"`
}

// PerConnection is memory for each connection: resident memory in the last half of
// the measured part, less that before the load, ÷ the connections held meanwhile.
type PerConnection struct {
	// Bytes may be 0 or below where the server had the memory already.
	Bytes float64 `json:"bytes"`
	// ErrorBytes is one standard deviation: the spread of the samples before and at
	// the plateau, added as squares, ÷ the connections. A figure below it is not
	// told from noise.
	ErrorBytes float64 `json:"error_bytes"`
	// Connections is the mean number held, as loadgen counted them at the end of each
	// second of the plateau.
	Connections float64 `json:"connections"`
	// FDs is how many more descriptors the server held at the plateau than before
	// the load: about as many as connections, or more where it opens others for them.
	FDs          float64 `json:"fds"`
	BeforeBytes  float64 `json:"before_bytes"`
	PlateauBytes float64 `json:"plateau_bytes"`
}

// ServerEnd is how a server under test ended that was not asked to.
type ServerEnd struct {
	AtNS   time.Duration `json:"at_ns"`  // offset from the run's start, as it was noticed
	Status string        `json:"status"` // "exit status 1", "signal: killed"
}
