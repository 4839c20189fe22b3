package peers_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/edgeload/edgeload/internal/wire"
)

// connections of the HTTP parts; the tools that hold a rate get the same.
const connections = 64

// A hit is one way to ask for /healthz: how long, how often a second (0: a
// closed loop), over how many connections.
type hit struct {
	URL  string
	For  time.Duration
	Rate int
	Over int
}

// An answer is what a tool reports of it. Times are milliseconds; a tool that
// does not report an aggregate leaves it out.
type answer struct {
	Requests float64
	Latency  figures // p50, p95, p99
	Note     string  // what must be known about the run
}

// http is one run of a tool at a rate, 0 for a closed loop.
func (t *tools) http(run func(context.Context, hit) (answer, child, error), rate int) func(context.Context, string, int) (outcome, error) {
	return func(ctx context.Context, addr string, n int) (outcome, error) {
		h := hit{URL: "http://" + addr + wire.PathHealth, For: *httpTime, Rate: rate, Over: n}
		a, c, err := run(ctx, h)
		if err != nil {
			return outcome{}, err
		}
		if a.Requests == 0 {
			return outcome{}, errors.New("not one request was answered")
		}
		f := figures{"rps": a.Requests / h.For.Seconds()}
		for k, v := range a.Latency {
			f[k] = v
		}
		return outcome{child: c, Events: a.Requests, Figures: f, Note: a.Note}, nil
	}
}

// http is the part with a closed loop: as many requests as there are answers.
func (b *bench) http() *table {
	t := b.tools
	t1 := &table{
		Title: fmt.Sprintf("GET %s, %d connections, closed loop", wire.PathHealth, connections),
		Text: fmt.Sprintf("As fast as answers come, for %v a run. CPU of the client's process, start-up included. loadgen's latency is from the\n"+
			"moment a user was ready. Latency is what the tool reports, in ms; vegeta's report is a second process, which is not counted.", *httpTime),
		Columns: []column{{"rps", "requests/s"}, {"times", "÷ vegeta"}, {"gross", "CPU-s a million requests"}, {"p50", "p50"}, {"p99", "p99"}},
	}
	t1.Rows = b.alternate("closed loop", []contestant{
		by(t.Loadgen, "loadgen", t.http(t.loadgenHTTP, 0)),
		by(t.Wrk, "wrk", t.http(t.wrk, 0)),
		by(t.Autocannon, "autocannon", t.http(t.autocannon, 0)),
		by(t.Hey, "hey", t.http(t.hey, 0)),
		by(t.Vegeta, "vegeta", t.http(t.vegeta, 0)),
		by(t.K6, "k6", t.http(t.k6Users, 0)),
		by(t.PlainGo, "net/http", t.http(ownHTTP("plain-http"), 0)),
		by(t.FloorGo, "floor", t.http(ownHTTP("floor-http"), 0)),
	}, connections, 0)
	t1.relative("rps", "vegeta", "times")
	return t1
}

// pace is the part with a fixed rate.
func (b *bench) pace() *table {
	t := b.tools
	const noRate = "it cannot hold a rate"
	t1 := &table{
		Title:   fmt.Sprintf("GET %s at %d/s", wire.PathHealth, *httpRate),
		Text:    fmt.Sprintf("For %v a run, %d connections or users where the tool wants a number. As above.", *httpTime, connections),
		Columns: []column{{"rps", "requests/s"}, {"gross", "CPU-s a million requests"}, {"p50", "p50"}, {"p99", "p99"}},
	}
	t1.Rows = b.alternate("paced", []contestant{
		by(t.Loadgen, "loadgen", t.http(t.loadgenHTTP, *httpRate)),
		{Name: "wrk", Why: noRate},
		by(t.Autocannon, "autocannon -R", t.http(t.autocannon, *httpRate)),
		by(t.Hey, "hey -q", t.http(t.hey, *httpRate)),
		by(t.Vegeta, "vegeta", t.http(t.vegeta, *httpRate)),
		by(t.K6, "k6 arrival rate", t.http(t.k6Arrivals, *httpRate)),
		by(t.PlainGo, "net/http", t.http(ownHTTP("plain-http"), *httpRate)),
	}, connections, 0)
	return t1
}
