package peers_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/wire"
)

// A server that stands still for one second of ten: a tenth of the requests
// waits, evenly between 0 and a second.
const (
	freezeRun   = 10 * time.Second
	freezeAfter = 4 * time.Second
	freezeStep  = 500 * time.Millisecond // between one tool's server and the next one's
	freezeFor   = time.Second
)

// frozen is quantile q, in ms, of the latencies that must be seen where the
// server stood for d and otherwise answered at once.
func frozen(q float64, d time.Duration) float64 {
	return max(0, ms(int64(d))-(1-q)*ms(int64(freezeRun)))
}

// freeze is the part in which the server stands still.
func (b *bench) freeze() *table {
	t := b.tools
	t1 := &table{
		Title: fmt.Sprintf("A server that stands still for %v of %v, %d requests/s", freezeFor, freezeRun, *freezeRate),
		Text: fmt.Sprintf("SIGSTOP, then SIGCONT. A tenth of the requests waits, evenly between 0 and %v: p95 must be %.0f ms and p99 %.0f ms\n"+
			"(the ratios are to the same from the time it really stood). The tools run side by side, each at a server of its own, and the\n"+
			"servers stand still one after the other. All ask for %s.\n"+
			"Counted: requests in the tool's latencies, of %.0f that were due. A client whose users wait for answers has one slow request a\n"+
			"user, so its p99 sees the freeze only where more than 1 %% of the counted requests are users.",
			freezeFor, frozen(.95, freezeFor), frozen(.99, freezeFor), wire.PathHealth, float64(*freezeRate)*freezeRun.Seconds()),
		Columns: []column{{"p95", "p95, ms"}, {"off95", "÷ truth"}, {"p99", "p99, ms"}, {"off99", "÷ truth"}, {"counted", "counted"}},
	}
	const users = 20
	http := func(run func(context.Context, hit) (answer, child, error), over int) func(context.Context, string, int) (outcome, error) {
		return func(ctx context.Context, addr string, _ int) (outcome, error) {
			a, c, err := run(ctx, hit{URL: "http://" + addr + wire.PathHealth, For: freezeRun, Rate: *freezeRate, Over: over})
			if err != nil {
				return outcome{}, err
			}
			f := figures{"counted": a.Requests}
			for k, v := range a.Latency {
				f[k] = v
			}
			return outcome{child: c, Events: a.Requests, Figures: f, Note: a.Note}, nil
		}
	}
	cs := []contestant{
		by(t.Loadgen, "loadgen", http(t.loadgenHTTP, 0)),
		by(t.Vegeta, "vegeta", http(t.vegeta, connections)),
		by(t.K6, fmt.Sprintf("k6 arrival rate, %d VUs", connections), http(t.k6Arrivals, connections)),
		by(t.K6, fmt.Sprintf("k6, %d VUs that sleep", users), http(t.k6Users, users)),
		by(t.Hey, fmt.Sprintf("hey -c %d -q", users), http(t.hey, users)),
		by(t.Autocannon, fmt.Sprintf("autocannon -c %d -R", users), http(t.autocannon, users)),
		by(t.PlainGo, "net/http, from the due instant", http(ownHTTP("plain-http"), connections)),
		{Name: "wrk", Why: "it cannot hold a rate"},
	}
	t1.Rows = rows(cs)
	for round := range *rounds {
		outcomes := make([]outcome, len(cs))
		b.together(cs, t1.Rows, func(c contestant, s *server) (outcome, error) {
			after := freezeAfter + time.Duration(slices.IndexFunc(cs, func(other contestant) bool { return other.Name == c.Name }))*freezeStep
			var stood time.Duration
			var broke error
			var wg sync.WaitGroup
			wg.Go(func() {
				<-time.After(after)
				stood, broke = s.freeze(freezeFor)
			})
			o, err := c.Run(b.ctx, s.Addr, 0)
			wg.Wait()
			if err := errors.Join(err, broke); err != nil {
				return o, err
			}
			o.Figures["off99"] = o.Figures["p99"] / frozen(.99, stood)
			if p95, ok := o.Figures["p95"]; ok {
				o.Figures["off95"] = p95 / frozen(.95, stood)
			}
			return o, nil
		}, outcomes)
		for i, o := range outcomes {
			if t1.Rows[i].Why == "" {
				b.note(t1.Rows[i], round, o, nil)
			}
		}
		logf("freeze, round %d of %d", round+1, *rounds)
	}
	return t1
}

func TestFrozen(t *testing.T) {
	for q, want := range map[float64]float64{.95: 500, .99: 900, .5: 0} {
		if got := frozen(q, time.Second); got < want-1e-6 || got > want+1e-6 {
			t.Errorf("quantile %g = %g ms, want %g", q, got, want)
		}
	}
}
