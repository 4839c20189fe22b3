package driver

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
	"github.com/edgeload/edgeload/internal/loadgen/sink"
)

// sinkSide is loadgen's own endpoint in a run: it plays the scenario's upstreams that are
// no workload's, and accounts for all that came, whoever it was for.
type sinkSide struct {
	sink      *sink.Sink
	upstreams []*upstream
}

// newSinkSide joins a checked scenario to its sink.
func newSinkSide(sc *scenario.Scenario, s *sink.Sink) *sinkSide {
	side := &sinkSide{sink: s}
	if sc.Sink == nil {
		return side
	}
	for i, name := range slices.Sorted(maps.Keys(sc.Sink.Upstreams)) {
		side.upstreams = append(side.upstreams, &upstream{
			// Each draws apart from the others, by the one seed.
			name: name, script: sink.NewScript(sc.Sink.Upstreams[name], sc.Seed+uint64(i)), replies: make(map[string]int64),
		})
	}
	return side
}

// Begin listens for the upstreams' calls.
func (s *sinkSide) Begin(run engine.Run) error {
	for i, u := range s.upstreams {
		u.run = run
		remove, err := s.sink.Handle(u.name, u)
		if err != nil {
			for _, begun := range s.upstreams[:i] {
				begun.remove()
			}
			return err
		}
		u.remove = remove
	}
	return nil
}

// End listens no more and tells res what came. Workloads have left their names by then.
func (s *sinkSide) End(res *result.Result) {
	for _, u := range s.upstreams {
		u.remove()
	}
	account := s.sink.Take()
	if res == nil {
		return
	}
	out := &result.Sink{
		URL: s.sink.URL(), Connections: account.Connections, Calls: callsByName(account.Calls), Strays: callsByName(account.Strays),
		Broken: account.Broken, Unanswered: account.Unanswered, Refused: account.Refused,
	}
	for _, u := range s.upstreams {
		var replies int64
		for _, n := range u.replies {
			replies += n
		}
		out.Balances = append(out.Balances, result.Balance{Name: u.name + ": calls = replies", Left: account.Calls[u.name], Right: replies})
		for i := range out.Calls {
			if out.Calls[i].Name == u.name {
				out.Calls[i].Replies = u.replies
			}
		}
	}
	res.Sink = out
	res.Warnings = append(res.Warnings, sinkWarnings(out)...)
}

// callsByName is counts in the order of their names.
func callsByName(counts map[string]int64) []result.SinkCalls {
	var out []result.SinkCalls
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, result.SinkCalls{Name: name, Calls: counts[name]})
	}
	return out
}

// sinkWarnings are the doubts about what came: it may be missed elsewhere.
func sinkWarnings(s *result.Sink) []string {
	var out []string
	if len(s.Strays) > 0 {
		var names []string
		for _, c := range s.Strays {
			names = append(names, fmt.Sprintf("/%s %d", c.Name, c.Calls))
		}
		out = append(out, "the sink got calls that are nobody's: "+strings.Join(names, ", ")+
			": they came outside of their run, or to a mistaken address")
	}
	if s.Broken > 0 {
		out = append(out, fmt.Sprintf("the sink got %d requests that were no calls: not HTTP, too long, or never whole", s.Broken))
	}
	if s.Refused > 0 {
		out = append(out, fmt.Sprintf("the sink refused %d connections: it has no room for as many, or no descriptors", s.Refused))
	}
	return out
}

// An upstream answers the calls of one name by a script.
type upstream struct {
	name   string
	script *sink.Script
	run    engine.Run
	remove func()

	mu      sync.Mutex
	calls   uint64
	replies map[string]int64
}

// Serve answers a call.
func (u *upstream) Serve(c *sink.Call) sink.Answer {
	u.mu.Lock()
	n := u.calls
	u.calls++
	u.mu.Unlock()
	a := u.script.Answer(int(n), n, u.run.Clock.Since(c.Whole)-u.run.Warmup)
	u.mu.Lock()
	u.replies[replyName(a)]++
	u.mu.Unlock()
	return punctual(u.run, a)
}

// replyName is what an answer is, in a word: a status, reset or hang.
func replyName(a sink.Answer) string {
	switch {
	case a.Reset:
		return "reset"
	case a.Hang:
		return "hang"
	}
	return strconv.Itoa(a.Status)
}

// punctual has an answer wait by the run's own timers, which are less late than Go's. They
// go with the run: the handler is to be removed before its end.
func punctual(run engine.Run, a sink.Answer) sink.Answer {
	if a.After <= 0 && a.Stream == nil {
		return a
	}
	timer := run.NewTimer()
	a.Wait = func(ctx context.Context, until time.Time) bool { return timer.Wait(ctx, run.Clock.Since(until), nil) }
	return a
}
