package engine

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/rxtime"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// questionSize is the length of a request and of its answer, in bytes.
const questionSize = 100

// answer is the server: it sends back what it gets until its standard input ends.
func answer() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(l.Addr())
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, questionSize)
				for {
					if _, err := io.ReadFull(c, buf); err != nil {
						return
					}
					if _, err := c.Write(buf); err != nil {
						return
					}
				}
			}()
		}
	}()
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// startAnswerer starts the server as a process of its own and returns its address.
func startAnswerer(t testing.TB) string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), answererEnv+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// Metrics of an asker.
const (
	askSendLag MetricID = iota
	askLatency
	askUnstamped
)

func askMetrics() []Metric {
	return []Metric{
		askSendLag:   {Name: "send_lag", Kind: result.Histogram, Unit: result.Nanoseconds},
		askLatency:   {Name: "latency", Kind: result.Histogram, Unit: result.Nanoseconds},
		askUnstamped: {Name: "unstamped", Kind: result.Counter, Unit: result.One},
	}
}

// An asker is the least a driver can do: each arrival sends a small request over
// a connection that is kept, and waits for the answer.
type asker struct {
	addr  string
	clock *rxtime.Clock
	run   Run
	idle  chan *asking
	free  func()
}

type asking struct {
	*rxtime.Conn
	question [questionSize]byte
}

func newAsker(addr string) *asker {
	return &asker{addr: addr, clock: rxtime.NewClock(), idle: make(chan *asking, 10_000), free: rxtime.Hold()}
}

func (d *asker) Begin(r Run) error {
	d.run = r
	for range 64 { // opening them is not what is measured
		c, err := d.dial()
		if err != nil {
			return err
		}
		d.idle <- c
	}
	return nil
}

func (d *asker) dial() (*asking, error) {
	c, err := net.Dial("tcp", d.addr)
	if err != nil {
		return nil, err
	}
	a := &asking{Conn: d.clock.Wrap(c)}
	a.StampWrites()
	return a, nil
}

func (d *asker) Do(_ context.Context, a Arrival, rec *Recorder, over func(done bool)) {
	var c *asking
	select {
	case c = <-d.idle:
	default:
		var err error
		if c, err = d.dial(); err != nil {
			rec.Error("dial", err.Error())
			over(false)
			return
		}
	}
	if _, err := c.Write(c.question[:]); err != nil {
		rec.Error("write", err.Error())
		over(false)
		return
	}
	sent, _ := c.LastSent()
	rec.Record(askSendLag, int64(max(0, d.run.Clock.Since(sent.At)-a.Intended)))
	if !sent.Kernel {
		rec.Add(askUnstamped, 1)
	}
	if _, err := io.ReadFull(c, c.question[:]); err != nil {
		rec.Error("read", err.Error())
		over(false)
		return
	}
	at, _ := c.LastRead()
	rec.Record(askLatency, int64(d.run.Clock.Since(at)-a.Intended))
	d.idle <- c
	over(true)
}

func (d *asker) End(*Recorder) {
	close(d.idle)
	for c := range d.idle {
		_ = c.Close()
	}
	d.free()
}

// pacing runs the asker at rate for duration.
func pacing(t testing.TB, rate float64, warmup, duration time.Duration, spin bool) *result.Result {
	t.Helper()
	gap := time.Duration(float64(time.Second) / rate)
	plan := Plan{
		Spin: spin,
		Scenario: &scenario.Scenario{
			Version: 1, Name: "pacing", Drain: scenario.Duration(time.Second),
			Warmup: scenario.Duration(warmup), Duration: scenario.Duration(duration),
		},
		Workloads: []Workload{{
			Name: "ask", Driver: newAsker(startAnswerer(t)), Metrics: askMetrics(),
			Schedule: &every{gap: gap, end: warmup + duration}, MaxInFlight: 1000,
		}},
	}
	res, err := plan.Run(t.Context(), "id")
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// Punctuality at 5,000 arrivals a second, with and without spinning. A round is
// 30 s measured.
func BenchmarkPacing(b *testing.B) {
	for _, spin := range []bool{false, true} {
		b.Run(fmt.Sprintf("spin=%v", spin), func(b *testing.B) {
			for range b.N {
				b.Log("\n" + figures(pacing(b, 5000, 2*time.Second, 30*time.Second, spin)))
			}
		})
	}
}

// A thousand arrivals a second for two seconds: none dropped, all answered, and
// most requests leave within the time a wait in epoll would be late by.
func TestPacing(t *testing.T) {
	res := pacing(t, 1000, 0, 2*time.Second, false)
	t.Log("\n" + figures(res))
	wantCounts(t, res.Workloads[0], map[string]float64{"offered": 2000, "started": 2000, "finished": 2000, "dropped": 0})
	lag := metric(t, res.Workloads[0], "send_lag").Distribution
	if lag == nil || lag.Count != 2000 || time.Duration(lag.P50) > 500*time.Microsecond {
		t.Errorf("send lag %+v", lag)
	}
}

// figures are the histograms and the CPU of a pacing run as lines of text.
func figures(res *result.Result) string {
	var out strings.Builder
	us := func(ns int64) float64 { return float64(ns) / 1e3 }
	w := res.Workloads[0]
	for _, m := range w.Metrics {
		if d := m.Distribution; d != nil {
			fmt.Fprintf(&out, "%-9s n %d, p50 %.1f, p90 %.1f, p99 %.1f, p99.9 %.1f, max %.1f µs\n", m.Name, d.Count, us(d.P50), us(d.P90), us(d.P99), us(d.P999), us(d.Max))
		}
	}
	h := res.Health
	fmt.Fprintf(&out, "dropped %d, CPU-s a million %.1f, gc %v, sched %v, errors %v", h.Dropped, h.CPUCores*1e6*time.Duration(res.Scenario.Duration).Seconds()/float64(h.Offered), h.GCPauseMaxNS, h.SchedP99NS, w.Errors)
	return out.String()
}
