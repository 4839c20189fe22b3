package peers_test

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// An outcome is what one run of one client came to.
type outcome struct {
	child   child
	Events  float64 // what its CPU is divided by: events, messages or requests
	Figures figures // latencies and the like, in the units of the table
	Note    string  // what must be known about this run, for the foot of the table
}

// A contestant is one client in one part.
type contestant struct {
	Name string
	Why  string // not empty: why it does not run
	// Run runs it once with n streams, sockets or connections against the server.
	Run func(ctx context.Context, addr string, n int) (outcome, error)
}

// by is the contestant that t runs, or the reason why t cannot.
func by(t tool, name string, run func(ctx context.Context, addr string, n int) (outcome, error)) contestant {
	return contestant{Name: name, Why: t.Why, Run: run}
}

// A bench is the run of the whole comparison.
type bench struct {
	*testing.B
	ctx   context.Context
	tools *tools
}

func BenchmarkPeers(b *testing.B) {
	ctx, stop := signal.NotifyContext(b.Context(), os.Interrupt)
	defer stop()
	begin := time.Now()
	t, err := install(ctx, b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	logf("installed in %.0f s", time.Since(begin).Seconds())
	bb := &bench{B: b, ctx: ctx, tools: t}
	text := t.preface()
	for _, p := range strings.Split(*only, ",") {
		switch p {
		case "sse":
			for _, n := range bb.sizes(*streams) {
				text += "\n" + bb.sse(n).markdown()
			}
		case "ws":
			for _, n := range bb.sizes(*sockets) {
				text += "\n" + bb.ws(n).markdown()
			}
		case "http":
			text += "\n" + bb.http().markdown()
		case "pace":
			text += "\n" + bb.pace().markdown()
		case "freeze":
			text += "\n" + bb.freeze().markdown()
		default:
			b.Fatalf("-only %s: there is no part %q", *only, p)
		}
	}
	fmt.Print("\n" + text)
	if err := os.WriteFile(*out, []byte(text), 0o644); err != nil {
		b.Error(err)
	}
	logf("done in %.0f s; the tables are in %s", time.Since(begin).Seconds(), filepath.Clean(*out))
}

// logf says on stderr how far things are.
func logf(format string, args ...any) { fmt.Fprintf(os.Stderr, "peers: "+format+"\n", args...) }

// preface says what was compared, and where.
func (t *tools) preface() string {
	var b strings.Builder
	where := "all of them"
	if *cores != "" {
		where = "client and server share " + *cores
	}
	fmt.Fprintf(&b, "# loadgen beside its peers\n\nOn %s; cores used: %s. %d rounds in alternating order; median (least–most).\n\n", t.Machine, where, *rounds)
	for _, tool := range t.list() {
		fmt.Fprintf(&b, "- %s: %s", tool.Name, tool.Version)
		if tool.Why != "" {
			fmt.Fprintf(&b, "; not run: %s", tool.Why)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func (b *bench) sizes(list string) []int {
	var ns []int
	for _, s := range strings.Split(list, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			b.Fatalf("%q is no list of sizes", list)
		}
		ns = append(ns, n)
	}
	return ns
}

// server runs f against a fresh server.
func (b *bench) server(f func(*server) (outcome, error)) (o outcome, err error) {
	s, err := startServer(b.tools.Server.Argv[0], "--log-level", "error",
		"--sim-ttft", fmt.Sprintf("constant:%v", simTTFT), "--sim-gap", fmt.Sprintf("constant:%v", simGap), "--sim-tokens", fmt.Sprintf("constant:%d", simTokens))
	if err != nil {
		return outcome{}, err
	}
	defer func() {
		if e := s.stop(); err == nil && e != nil {
			err = e
		}
	}()
	return f(s)
}

// rows is a row for each contestant.
func rows(cs []contestant) []*row {
	var rs []*row
	for _, c := range cs {
		rs = append(rs, &row{Name: c.Name, Why: c.Why})
	}
	return rs
}

// perMillion is CPU-seconds for a million events.
func perMillion(cpu time.Duration, events float64) float64 { return cpu.Seconds() / events * 1e6 }

// alternate runs each contestant once a round, one after the other and in the
// opposite order every other round. base, where it is not 0, is the load of a
// run whose CPU and memory count as the client's start-up.
func (b *bench) alternate(title string, cs []contestant, n, base int) []*row {
	rs := rows(cs)
	starts := make([]outcome, len(cs))
	if base > 0 {
		b.together(cs, rs, func(c contestant, s *server) (outcome, error) { return c.Run(b.ctx, s.Addr, base) }, starts)
	}
	for round := range *rounds {
		order := make([]int, len(cs))
		for i := range order {
			order[i] = i
		}
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, i := range order {
			if rs[i].Why != "" {
				continue
			}
			o, err := b.server(func(s *server) (outcome, error) { return cs[i].Run(b.ctx, s.Addr, n) })
			b.note(rs[i], round, o, err)
			if err == nil {
				o.account(starts[i], n-base)
				logf("%s, round %d of %d: %s took %.1f s, %.1f CPU-s a million", title, round+1, *rounds, cs[i].Name, o.child.Took.Seconds(), o.Figures["cpu"])
			}
		}
	}
	return rs
}

// together runs each contestant once, all at the same time, each against a
// server of its own.
func (b *bench) together(cs []contestant, rs []*row, run func(contestant, *server) (outcome, error), into []outcome) {
	errs := make([]error, len(cs))
	var wg sync.WaitGroup
	for i := range cs {
		if rs[i].Why != "" {
			continue
		}
		wg.Go(func() {
			into[i], errs[i] = b.server(func(s *server) (outcome, error) { return run(cs[i], s) })
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			rs[i].Why = "its first run broke: " + lastLines(err.Error(), 2)
			b.Errorf("%s: %v", cs[i].Name, err)
		}
	}
}

// note enters one round into a row.
func (b *bench) note(r *row, round int, o outcome, err error) {
	if b.ctx.Err() != nil {
		b.Fatal("interrupted")
	}
	if err != nil {
		b.Errorf("%s, round %d: %v", r.Name, round+1, err)
		o.Figures, o.Note = nil, err.Error()
	}
	r.Rounds = append(r.Rounds, o.Figures)
	if o.Note != "" {
		r.Faults = append(r.Faults, fmt.Sprintf("round %d: %s", round+1, o.Note))
	}
}

// account turns what the process used into figures: what it used beyond start,
// for each event and for each of the extra streams or sockets.
func (o *outcome) account(start outcome, extra int) {
	o.Figures["gross"] = perMillion(o.child.CPU, o.Events)
	o.Figures["cpu"] = perMillion(o.child.CPU-start.child.CPU, o.Events-start.Events)
	if start.child.Peak > 0 {
		o.Figures["start"] = float64(start.child.Peak) / (1 << 20)
		o.Figures["memory"] = float64(o.child.Peak-start.child.Peak) / (1 << 10) / float64(extra)
	}
}
