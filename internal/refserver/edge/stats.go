package edge

import (
	"cmp"
	"slices"
	"time"
)

// counts are a pool's, for good.
type counts struct {
	booted, bootFailed, retired uint64
	ended                       map[ending]uint64

	killed, waited, refused, idle, tooBig uint64

	begun, settled, lost, tasksRefused uint64

	cpu time.Duration
}

// ending is how a worker ended: "killed", "early_drop" or "terminated", and why.
type ending struct {
	event  string
	reason Reason
}

// FunctionStats is what one function's workers have done, and what they do now.
// Workers balance: Booted = EarlyDropped + the sum of Killed + Terminated + those
// that live and have booted, but for workers that ended before they had. Tasks
// balance: TasksBegun = TasksSettled + TasksLost + TasksPending. A request is in one at
// most of RequestsKilled, RequestsRefused, IdleTimeouts and TooBig; else its function
// has answered it.
type FunctionStats struct {
	Function  string `json:"function"`
	BootFault bool   `json:"boot_fault"`

	Booted       uint64            `json:"booted"`
	BootFailed   uint64            `json:"boot_failed"`
	Retired      uint64            `json:"retired"`
	EarlyDropped uint64            `json:"early_dropped"`
	Killed       map[Reason]uint64 `json:"killed"`
	Terminated   uint64            `json:"terminated"`

	RequestsKilled  uint64  `json:"requests_killed"`       // unacknowledged when their worker died, those that waited for its boot included
	RequestsWaited  uint64  `json:"requests_waited"`       // found no free worker
	RequestsRefused uint64  `json:"requests_refused"`      // got none, or one that did not start: 503; whose client left while it waited included
	IdleTimeouts    uint64  `json:"requests_idle_timeout"` // sent nothing for too long, be it that they had no worker yet
	TooBig          uint64  `json:"requests_too_big"`      // a buffered response above the limit
	RequestsNow     int     `json:"requests_unacked"`      // in workers now
	SocketsNow      int     `json:"sockets"`               // upgraded, and open
	WaitingNow      int     `json:"requests_waiting"`      // for a worker
	TasksBegun      uint64  `json:"tasks_begun"`           // waitUntil
	TasksSettled    uint64  `json:"tasks_settled"`         // ended by themselves
	TasksLost       uint64  `json:"tasks_lost"`            // pending when their worker died
	TasksRefused    uint64  `json:"tasks_refused"`         // ErrTooManyTasks
	TasksPending    int     `json:"tasks_pending"`         // now
	CPUSeconds      float64 `json:"cpu_seconds"`           // charged by Compute

	Workers []WorkerStats `json:"workers"` // that live, by ID
}

// WorkerStats is one worker that lives.
type WorkerStats struct {
	ID         uint64  `json:"id"`
	State      string  `json:"state"` // booting, active, retired
	AgeSeconds float64 `json:"age_seconds"`
	Requests   int     `json:"requests"` // all it was given
	Unacked    int     `json:"unacked"`
	Sockets    int     `json:"sockets"`
	Tasks      int     `json:"tasks"`
	CPUSeconds float64 `json:"cpu_seconds"`
	Memory     int64   `json:"memory_bytes"`
}

// Stats is each function's workers as they are now, by name.
func (s *Server) Stats() []FunctionStats {
	all := make([]FunctionStats, 0, len(s.pools))
	for _, p := range s.pools {
		all = append(all, p.stats())
	}
	slices.SortFunc(all, func(a, b FunctionStats) int { return cmp.Compare(a.Function, b.Function) })
	return all
}

func (p *pool) stats() FunctionStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := &p.counts
	s := FunctionStats{
		Function: p.name, BootFault: p.fault,
		Booted: c.booted, BootFailed: c.bootFailed, Retired: c.retired, Killed: map[Reason]uint64{},
		RequestsKilled: c.killed, RequestsWaited: c.waited, RequestsRefused: c.refused, IdleTimeouts: c.idle, TooBig: c.tooBig,
		WaitingNow: len(p.waiting),
		TasksBegun: c.begun, TasksSettled: c.settled, TasksLost: c.lost, TasksRefused: c.tasksRefused,
		CPUSeconds: c.cpu.Seconds(),
		Workers:    make([]WorkerStats, 0, len(p.live)),
	}
	for how, n := range c.ended {
		switch how.event {
		case eventKilled:
			s.Killed[how.reason] += n
		case eventEarlyDrop:
			s.EarlyDropped += n
		case eventTerminated:
			s.Terminated += n
		}
	}
	for w := range p.live {
		age := 0.0
		if w.state != booting {
			age = time.Since(w.since).Seconds()
		}
		s.RequestsNow += w.unacked
		s.SocketsNow += w.sockets
		s.TasksPending += w.pending
		s.Workers = append(s.Workers, WorkerStats{
			ID: w.id, State: w.state.String(), AgeSeconds: age, Requests: w.requests, Unacked: w.unacked,
			Sockets: w.sockets, Tasks: w.pending, CPUSeconds: w.cpu.Seconds(), Memory: w.memory,
		})
	}
	slices.SortFunc(s.Workers, func(a, b WorkerStats) int { return cmp.Compare(a.ID, b.ID) })
	return s
}
