package target

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

const (
	// sampleEvery is the time between two samples.
	sampleEvery = 250 * time.Millisecond
	// idleTime is for how long the server is looked at before a run.
	idleTime = time.Second
	// deathGrace is for how long a run goes on whose server has ended: what that
	// looks like from outside belongs into its result.
	deathGrace = time.Second
)

// An EndedError is a server under test that ended before it was asked to.
type EndedError struct {
	At     time.Duration // after the start of the run; below 0 before it
	Status string        // "exit status 1", "signal: killed"
	Output string        // the last of what it wrote
}

// Error is one line; it ends in the last line the server wrote, if any.
func (e *EndedError) Error() string {
	s := "the server under test ended before the run: " + e.Status
	if e.At >= 0 {
		s = fmt.Sprintf("the server under test ended %v into the run: %s", e.At.Round(time.Millisecond), e.Status)
	}
	if line := lastLine(e.Output); line != "" {
		s += "; its last output: " + line
	}
	return s
}

// A Sampler reads what a server's process tree uses while runs go on, one after
// the other. It belongs to one goroutine.
type Sampler struct {
	process *Process
	scan    *scanner
	tree    *tree
	runs    int
}

// NewSampler returns a sampler of the process and all that it has started and will
// start.
func NewSampler(p *Process) *Sampler {
	scan := newScanner(p.PID(), p.mark)
	return &Sampler{process: p, scan: scan, tree: newTree(3 * scan.tick)}
}

// During looks at the server at rest for a second, then carries out one run of sc,
// sampling four times a second, and puts what the tree used into its result. Run
// must call began with the instant that its result counts from. It is told to end,
// as by an interrupt, a second after nothing of the server is left; the error is
// then an *EndedError, beside the result. A server that is not there to begin with
// is an error without a run.
func (s *Sampler) During(ctx context.Context, sc *scenario.Scenario, run func(ctx context.Context, began func(time.Time)) (*result.Result, error)) (*result.Result, error) {
	w := newWatch(s, sc)
	idle, cancelIdle := context.WithTimeout(ctx, idleTime)
	w.follow(idle, func() { cancelIdle() })
	cancelIdle()
	if w.dead {
		return nil, s.ended(ctx, -1)
	}

	running, cancel := context.WithCancel(ctx)
	defer cancel()
	over, end := context.WithCancel(context.WithoutCancel(ctx))
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		w.follow(over, cancel)
	}()
	res, err := run(running, w.tellStart)
	end()
	<-watched
	s.runs++
	if w.start.IsZero() {
		return res, err // it did not begin
	}
	if !w.dead {
		w.look()
	}
	var died *EndedError
	if w.dead {
		died = s.ended(ctx, w.deadAt.Sub(w.start))
		err = errors.Join(err, died)
	}
	if res != nil {
		res.Resources = w.resources(res, died)
		if died != nil {
			res.Warnings = append(res.Warnings, died.Error())
		}
	}
	return res, err
}

// Alive reports whether anything of the tree still runs.
func (s *Sampler) Alive() bool {
	procs, err := s.scan.scan()
	if err != nil {
		return s.process.groupLeft()
	}
	return running(procs)
}

func running(procs []proc) bool {
	for _, p := range procs {
		if !p.ended {
			return true
		}
	}
	return false
}

// ended says how the server ended, of which nothing is left.
func (s *Sampler) ended(ctx context.Context, at time.Duration) *EndedError {
	_ = s.process.Stop(ctx) // there is nothing to stop; this reads the last of its output
	e := &EndedError{At: at, Status: "unknown status", Output: s.process.Output()}
	if exit, ok := s.process.Ended(); ok {
		e.Status = exit.Status
	}
	return e
}

// A watch is the samples of one run. One goroutine at a time uses it, but for
// tellStart.
type watch struct {
	*Sampler
	began   chan time.Time
	start   time.Time       // what the run counts from; zero until it is known
	marks   []time.Duration // instants of the run that must have a sample
	at      []time.Time     // of each sample
	samples []result.ResourceSample
	failed  error // why there are no samples
	dead    bool
	deadAt  time.Time
	origin  time.Time // samples are taken at whole steps from here
	opaque  int       // processes whose descriptors were not told, at most
}

func newWatch(s *Sampler, sc *scenario.Scenario) *watch {
	return &watch{
		Sampler: s, began: make(chan time.Time, 1), origin: time.Now(),
		marks: []time.Duration{time.Duration(sc.Warmup), time.Duration(sc.Warmup + sc.Duration)},
	}
}

// tellStart says what the run counts from, once.
func (w *watch) tellStart(start time.Time) { w.began <- start }

// follow takes samples until over ends. Died is called a while after nothing of
// the server is left.
func (w *watch) follow(over context.Context, died func()) {
	next := time.NewTimer(0)
	defer next.Stop()
	exited := w.process.Exited()
	if w.dead {
		exited = nil
	}
	var grace <-chan time.Time
	for {
		select {
		case <-over.Done():
			select {
			case w.start = <-w.began: // both came at once
			default:
			}
			return
		case <-grace:
			died()
			grace = nil
			continue
		case w.start = <-w.began:
			w.origin = w.start
			next.Reset(min(w.pause(time.Now()), max(0, time.Until(w.start))))
			continue
		case <-exited:
			exited = nil // others of the tree may go on
		case <-next.C:
		}
		if w.dead {
			continue
		}
		w.look()
		if w.dead {
			timer := time.NewTimer(deathGrace)
			defer timer.Stop()
			grace = timer.C
			continue
		}
		next.Reset(w.pause(time.Now()))
	}
}

// look takes one sample.
func (w *watch) look() {
	procs, err := w.scan.scan()
	now := time.Now()
	if err != nil {
		w.failed = err
		w.dead = !w.process.groupLeft()
	} else {
		w.dead = !running(procs)
		w.opaque = max(w.opaque, w.scan.unreadable)
		if !w.dead {
			w.at = append(w.at, now)
			w.samples = append(w.samples, sampleOf(procs, w.tree.account(procs)))
		}
	}
	if w.dead {
		w.deadAt = now
	}
}

func sampleOf(procs []proc, cpu time.Duration) result.ResourceSample {
	s := result.ResourceSample{CPUNS: cpu}
	for _, p := range procs {
		s.CPUErrorNS += p.short
		if p.ended {
			continue
		}
		s.RSSBytes += p.rss
		s.Threads += p.threads
		s.FDs += max(0, p.fds)
		s.Processes++
	}
	return s
}

// pause is the time from now to the next sample.
func (w *watch) pause(now time.Time) time.Duration {
	since := now.Sub(w.origin)
	steps := since / sampleEvery
	if since < 0 && since%sampleEvery != 0 {
		steps--
	}
	next := (steps + 1) * sampleEvery
	if w.origin.Equal(w.start) {
		for _, mark := range w.marks {
			if mark > since && mark < next {
				next = mark
			}
		}
	}
	return next - since
}
