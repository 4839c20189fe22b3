package driver

import (
	"container/heap"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// pollsAtOnce bounds the questions under way of one workload. What waits for its turn
// makes poll_resolution longer.
const pollsAtOnce = 256

// A poller asks the target about jobs until they are done: at once after the
// acknowledgement, and then as often as the scenario says. Its requests have connections
// of their own and are in none of the workload's figures of requests.
type poller struct {
	*httpDriver
	of      *background
	every   time.Duration
	done    httpCheck
	discard *engine.Recorder // what the requests record

	stopped context.Context // ends with the driver
	asking  sync.WaitGroup  // questions under way
	turns   chan struct{}   // of pollsAtOnce
	wake    chan struct{}   // there is a question, or one that is due sooner

	mu  sync.Mutex
	due questions // one at most of each job
}

func newPoller(of *background, p *scenario.Poll) (*poller, error) {
	w := *of.of.workload
	w.Request, w.Checks, w.Extract, w.Job = &p.Request, nil, nil, nil
	out := &poller{
		of: of, every: timeoutOr(p.Every, 100*time.Millisecond),
		discard: engine.NewRecorder(httpMetrics(), 0).At(-1),
		turns:   make(chan struct{}, pollsAtOnce), wake: make(chan struct{}, 1),
	}
	checks, err := newHTTPChecks([]scenario.Check{p.Done})
	if err != nil {
		return nil, fmt.Errorf("job: poll: done: %w", err)
	}
	out.done = checks.all[0]
	opened := of.of
	opened.workload = &w
	if out.httpDriver, err = openHTTP(opened, out); err != nil {
		return nil, fmt.Errorf("job: poll: %w", err)
	}
	out.checks.readBody = true
	return out, nil
}

// begin begins to ask, until ctx ends.
func (p *poller) begin(ctx context.Context, run engine.Run) error {
	if err := p.Begin(run); err != nil {
		return err
	}
	p.stopped = ctx
	p.of.beside.Go(p.askAll)
	return nil
}

// end waits for the questions under way and closes the connections.
func (p *poller) end() {
	p.asking.Wait()
	p.following.Wait()
	p.transport.close()
	p.dialer.close()
}

// soon asks about the job of seq as soon as it is its turn.
func (p *poller) soon(seq uint64) { p.ask(question{p.run.Clock.Now(), seq}) }

// ask asks when q is due.
func (p *poller) ask(q question) {
	p.mu.Lock()
	heap.Push(&p.due, q)
	first := p.due[0] == q
	p.mu.Unlock()
	if first {
		select {
		case p.wake <- struct{}{}:
		default: // it is awake
		}
	}
}

// next is the question that is due first.
func (p *poller) next() (q question, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.due) == 0 {
		return question{}, false
	}
	return p.due[0], true
}

// take takes the question that is due first.
func (p *poller) take() (q question) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q, _ = heap.Pop(&p.due).(question)
	return q
}

// askAll asks each question when it is due.
func (p *poller) askAll() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		q, ok := p.next()
		wait := time.Hour
		if ok {
			wait = q.due - p.run.Clock.Now()
		}
		if wait > 0 {
			timer.Reset(wait)
			select {
			case <-p.stopped.Done():
				return
			case <-p.wake:
			case <-timer.C:
			}
			continue
		}
		select {
		case <-p.stopped.Done():
			return
		case p.turns <- struct{}{}:
		}
		seq := p.take().seq
		p.asking.Go(func() { p.send(seq) })
	}
}

// send asks about the job of seq, unless it has ended. A question stays on the target,
// whatever address its answer gave: load is not for servers that a scenario does not
// name.
func (p *poller) send(seq uint64) {
	a, vars, rec, ok := p.of.jobs.asking(seq)
	if !ok {
		<-p.turns
		return
	}
	rec.Add(backgroundPolls, 1)
	a.Started = p.run.Clock.Now()
	req, err := p.requests.buildFor(p.requests.dataBehind(&p.run, a, vars))
	if err == nil && !sameServer(req.URL, p.requests.base) {
		err = fmt.Errorf("%s is on another server: make that the target", req.URL.Redacted())
	}
	if err != nil {
		<-p.turns
		p.inVain(seq, rec, classTemplate, excerpt(err.Error()))
		return
	}
	x, ok := p.exchanges.Get().(*httpExchange)
	if !ok {
		x = &httpExchange{driver: p.httpDriver}
	}
	answered := make(chan struct{})
	x.begin(p.log.context(p.stopped, p.discard), &p.httpStep, a, p.discard, func(bool) { close(answered) })
	x.send(req)
	<-answered
	<-p.turns
}

// before is not called: a question is no arrival.
func (p *poller) before(engine.Arrival, *engine.Recorder) {}

// after takes the answer to a question.
func (p *poller) after(x *httpExchange, end httpEnding, over func(done bool)) {
	defer over(true)
	seq, sent := x.arrival.Seq, x.arrival.Started
	since, questions, rec := p.of.jobs.asked(seq)
	if rec == nil {
		return // it has ended
	}
	heard := hearing{at: x.first, polled: true, resolution: max(0, x.first-since), questions: questions}
	switch answered := end.outcome.answered(); {
	case answered && p.done.holds(x):
		p.of.hear(seq, heard)
	case answered && p.of.failed != nil && p.of.failed.holds(x):
		heard.failed, heard.example = true, x.described()
		p.of.hear(seq, heard)
	case answered && (len(p.done.status) > 0 || p.checks.statusFine(x.answer.StatusCode)):
		p.of.jobs.notYet(seq, sent)
		p.again(seq)
	default:
		p.inVain(seq, rec, end.class, end.example)
	}
}

// inVain counts a question that told nothing, and asks again later.
func (p *poller) inVain(seq uint64, rec *engine.Recorder, class, example string) {
	rec.Add(backgroundPollErrors, 1)
	rec.Error("poll: "+class, example)
	p.again(seq)
}

// again asks about the job of seq once more when it is time.
func (p *poller) again(seq uint64) { p.ask(question{p.run.Clock.Now() + p.every, seq}) }

// A question is one about the job of an arrival.
type question struct {
	due time.Duration
	seq uint64
}

// questions is a heap, the one that is due first at its head.
type questions []question

func (q questions) Len() int           { return len(q) }
func (q questions) Less(i, j int) bool { return q[i].due < q[j].due }
func (q questions) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }

// Push and Pop are heap.Interface.
func (q *questions) Push(x any) {
	if next, ok := x.(question); ok {
		*q = append(*q, next)
	}
}

func (q *questions) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}
