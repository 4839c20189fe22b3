package engine

import (
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// The engine's own metrics of a workload.
const (
	ownOffered MetricID = iota
	ownStarted
	ownFinished
	ownDropped
	ownLate
	ownDropRatio
	ownLateness

	// Only of a workload with sessions.
	ownSessions
	ownSessionsCompleted
	ownSessionsAbandoned
	ownSessionsUnfinished
	ownTurns
)

// lateLimit is the lateness beyond which an arrival counts as late.
const lateLimit = 10 * time.Millisecond

// OwnMetrics returns the metrics the engine itself keeps for every workload.
func OwnMetrics() []Metric {
	return []Metric{
		ownOffered:   {Name: "offered", Kind: result.Counter, Unit: result.One, Help: "arrivals that came due"},
		ownStarted:   {Name: "started", Kind: result.Counter, Unit: result.One, Help: "arrivals begun"},
		ownFinished:  {Name: "finished", Kind: result.Counter, Unit: result.One, Help: "arrivals that came to an end, well or badly"},
		ownDropped:   {Name: "dropped", Kind: result.Counter, Unit: result.One, Help: "arrivals never begun: too many in flight, or no time left"},
		ownLate:      {Name: "late", Kind: result.Counter, Unit: result.One, Help: "arrivals begun more than " + lateLimit.String() + " after their intended start"},
		ownDropRatio: {Name: "drop_ratio", Kind: result.Ratio, Unit: result.One, Num: ownDropped, Den: ownOffered, Help: "dropped ÷ offered"},
		ownLateness:  {Name: "lateness", Kind: result.Histogram, Unit: result.Nanoseconds, Gauge: Lateness, Help: "actual − intended start: the generator's own delay"},

		ownSessions:           {Name: "sessions", Kind: result.Counter, Unit: result.One, Help: "sessions begun; they and what follows are counted by the intended start of their first turn"},
		ownSessionsCompleted:  {Name: "sessions_completed", Kind: result.Counter, Unit: result.One, Help: "sessions whose turns have all succeeded"},
		ownSessionsAbandoned:  {Name: "sessions_abandoned", Kind: result.Counter, Unit: result.One, Help: "sessions that a turn ended which failed or was dropped"},
		ownSessionsUnfinished: {Name: "sessions_unfinished", Kind: result.Counter, Unit: result.One, Help: "sessions that the end of the run came before"},
		ownTurns:              {Name: "turns_per_session", Kind: result.Histogram, Unit: result.One, Help: "turns begun in each session that was completed or abandoned"},
	}
}

const (
	intervalWidth = time.Second
	lookEvery     = 20 * time.Millisecond
)

// watch looks at what is in flight, and once a second closes an interval,
// samples the generator's health, which it has begun to measure after the warm-up,
// and tells the observer, until over is closed.
func (r *run) watch(over <-chan struct{}, health *healthWatch) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	next := intervalWidth
	measuring := false
	for {
		select {
		case <-over:
			return
		case <-ticker.C:
		}
		now := r.clock.Now()
		if !measuring && now >= r.warmup {
			measuring = true
			health.start()
		}
		for _, w := range r.workloads {
			w.flight.look(now)
		}
		if now >= next {
			health.sample()
			r.closeInterval(now)
			next = (now/intervalWidth + 1) * intervalWidth
		}
	}
}

func (r *run) closeInterval(now time.Duration) {
	snap := Snapshot{Elapsed: now, Total: r.end, Warmup: now < r.warmup}
	for _, w := range r.workloads {
		width := now
		if n := len(w.own.intervals); n > 0 {
			width -= w.own.intervals[n-1].end
		}
		own, driven := w.drain(now)
		head := driven.samples[w.Headline]
		snap.Workloads = append(snap.Workloads, WorkloadSnapshot{
			Name:       w.Name,
			InFlight:   own.inFlight,
			Finished:   w.own.total(ownFinished),
			Failed:     w.driven.failed(),
			Rate:       float64(head.n) / width.Seconds(),
			Headline:   w.Metrics[w.Headline].Name,
			HeadlineNS: time.Duration(head.quantile(.95)),
			Samples:    head.n,
		})
	}
	if r.plan.Observe != nil {
		r.plan.Observe(snap)
	}
}
