package driver

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/stream"
	"github.com/edgeload/edgeload/internal/wire"
)

// figures is what a recorder came to, by metric name.
type figures struct {
	t        *testing.T
	metrics  map[string]result.Metric
	errors   map[string]result.ErrorClass
	balances []result.Balance
}

func collect(t *testing.T, rec *engine.Recorder) figures {
	t.Helper()
	f := figures{t: t, metrics: make(map[string]result.Metric), errors: make(map[string]result.ErrorClass)}
	metrics, errs, balances := rec.Collect()
	for _, m := range metrics {
		f.metrics[m.Name] = m
	}
	for _, e := range errs {
		f.errors[e.Class] = e
	}
	f.balances = balances
	return f
}

// counts holds counters to account; those not named must be 0 where they are
// failures or oddities.
func (f figures) counts(want map[string]float64) {
	f.t.Helper()
	for _, name := range []string{
		"streams", "complete", "truncated", "in_band_error", "http_error", "timeout", "connection_error", "unfinished",
		"not_sent", "failed", "no_token", "fake_streaming", "stalled", "malformed", "late_events",
	} {
		if _, ok := want[name]; !ok && f.metrics[name].Value != 0 {
			f.t.Errorf("%s is %v, want 0", name, f.metrics[name].Value)
		}
	}
	for name, v := range want {
		m, ok := f.metrics[name]
		if !ok || m.Value != v {
			f.t.Errorf("%s is %v, want %v", name, m.Value, v)
		}
	}
}

// samples holds the sample counts of histograms to account.
func (f figures) samples(want map[string]int64) {
	f.t.Helper()
	for name, n := range want {
		if d := f.metrics[name].Distribution; d == nil || d.Count != n {
			f.t.Errorf("%s has %+v, want %d samples", name, d, n)
		}
	}
}

// values holds the least and the greatest sample of a histogram to account, to
// three significant digits.
func (f figures) values(name string, least, most time.Duration) {
	f.t.Helper()
	d := f.metrics[name].Distribution
	if d == nil || d.Count == 0 {
		f.t.Errorf("%s has no samples", name)
		return
	}
	for _, v := range []struct {
		what      string
		got, want int64
	}{{"least", d.Min, int64(least)}, {"greatest", d.Max, int64(most)}} {
		if diff := v.got - v.want; max(diff, -diff) > v.want/500+int64(time.Microsecond) {
			f.t.Errorf("%s of %s is %v, want %v", v.what, name, time.Duration(v.got), time.Duration(v.want))
		}
	}
}

// A replay feeds a stream reads at stated instants, without a net.
type replay struct {
	s     *sseStream
	rec   *engine.Recorder
	clock engine.Clock
	reads uint64
}

// newReplay begins a stream intended at 1 s and started at 1.1 s.
func newReplay(dialect stream.Dialect) *replay {
	d := &sseDriver{run: engine.Run{Clock: engine.NewClock()}}
	r := &replay{s: newSSEStream(d), rec: engine.NewRecorder(sseMetrics(), 0), clock: d.run.Clock}
	r.s.begin(context.Background(), engine.Arrival{Intended: time.Second, Started: 1100 * time.Millisecond}, r.rec, dialect, nil)
	return r
}

// read feeds one socket read that came at an instant of the run.
func (r *replay) read(at time.Duration, wire string) {
	r.reads++
	if err := r.s.receive([]byte(wire), at, r.reads); err != nil {
		panic(err)
	}
}

func (r *replay) figures(t *testing.T, complete bool) figures {
	t.Helper()
	o := outcomeTruncated
	if complete {
		o = outcomeComplete
	}
	r.s.finish(o)
	return collect(t, r.rec)
}

const (
	ms   = time.Millisecond
	role = `data: {"choices":[{"delta":{"role":"assistant","content":""}}]}` + "\n\n"
	end  = "data: [DONE]\n\n"
)

func content(text string) string {
	return fmt.Sprintf("data: {\"choices\":[{\"delta\":{\"content\":%q}}]}\n\n", text)
}

func reasoning(text string) string {
	return fmt.Sprintf("data: {\"choices\":[{\"delta\":{\"reasoning_content\":%q}}]}\n\n", text)
}

func usage(n int) string {
	return fmt.Sprintf("data: {\"choices\":[],\"usage\":{\"completion_tokens\":%d}}\n\n", n)
}

func TestStreamLatencies(t *testing.T) {
	r := newReplay(stream.Auto)
	r.s.newConn = true
	r.read(1200*ms, ": hello\n\n")
	r.read(1250*ms, role)
	r.read(1400*ms, content("a"))
	r.read(1420*ms, content("b")[:10])
	r.read(1430*ms, content("b")[10:]+": ping\n\n")
	r.read(1490*ms, content("c")+content("")+content("d"))
	r.read(1500*ms, usage(7))
	r.read(1540*ms, end)
	f := r.figures(t, r.s.done)

	f.values("first_event", 150*ms, 150*ms)
	f.values("ttft", 400*ms, 400*ms)
	f.values("ttft{conn=new}", 400*ms, 400*ms)
	f.values("ttft_service", 300*ms, 300*ms)
	f.values("ttfo", 300*ms, 300*ms)
	f.samples(map[string]int64{"ttft{conn=reused}": 0, "thinking": 0, "itl": 3, "stall": 0, "truth_ttft": 0, "truth_itl": 0, "delivery_lag": 0})
	f.values("itl", 0, 60*ms)
	f.values("e2e", 490*ms, 490*ms)
	f.values("tpot", 15*ms, 15*ms) // 90 ms for the 6 tokens after the first
	f.values("close_lag", 50*ms, 50*ms)
	// role, a, b, [c, empty, d], usage, end: one read that brought nothing whole.
	f.samples(map[string]int64{"events_per_read": 6})
	f.counts(map[string]float64{"chunks": 4, "coalesced": 2, "multi_chunk": 1, "tokens_out": 7, "counted_chunks": 4})
	if m := f.metrics["tokens_per_chunk"]; m.Value != 1.75 {
		t.Errorf("tokens_per_chunk is %v, want 1.75", m.Value)
	}
	if m := f.metrics["coalesced_ratio"]; m.Num != 2 || m.Den != 4 {
		t.Errorf("coalesced_ratio is %d ÷ %d", m.Num, m.Den)
	}
}

func TestStreamReasoningFirst(t *testing.T) {
	r := newReplay(stream.OpenAI)
	r.read(1200*ms, role)
	r.read(1300*ms, reasoning("h"))
	r.read(1400*ms, reasoning("m"))
	r.read(1700*ms, content("a"))
	r.read(1800*ms, content("b")+end)
	f := r.figures(t, true)
	f.values("ttft_service", 200*ms, 200*ms)
	f.values("ttfo", 600*ms, 600*ms)
	f.values("thinking", 400*ms, 400*ms)
	f.values("itl", 100*ms, 300*ms)
	f.samples(map[string]int64{"ttft{conn=reused}": 1, "itl": 3, "tpot": 0, "thinking": 1})
}

func TestStreamNeverSaysAnything(t *testing.T) {
	r := newReplay(stream.OpenAI)
	r.read(1200*ms, role+usage(0)+end)
	f := r.figures(t, true)
	f.counts(map[string]float64{"no_token": 1})
	f.samples(map[string]int64{"first_event": 1, "ttft": 0, "ttfo": 0, "e2e": 0, "tpot": 0, "close_lag": 0})
}

func TestStreamOneTokenHasNoTPOT(t *testing.T) {
	r := newReplay(stream.OpenAI)
	r.read(1200*ms, content("a"))
	r.read(1300*ms, usage(1)+end)
	f := r.figures(t, true)
	f.samples(map[string]int64{"e2e": 1, "tpot": 0})
	f.counts(map[string]float64{"multi_chunk": 0, "fake_streaming": 0, "tokens_out": 1})
}

// Many tokens in one chunk took no time apart: 0 would be the best TPOT of all.
func TestStreamOneChunkHasNoTPOT(t *testing.T) {
	r := newReplay(stream.OpenAI)
	r.read(1200*ms, content("a hundred words"))
	r.read(1300*ms, usage(100)+end)
	f := r.figures(t, true)
	f.samples(map[string]int64{"e2e": 1, "tpot": 0})
}

// A server whose clock is behind by more than the first token took stamps it
// before the request: that says nothing, and is not out of range either.
func TestStreamTruthOfAClockBehind(t *testing.T) {
	r := newReplay(stream.OpenAI)
	stamp := string(wire.AppendStamp(nil, time.Unix(0, r.clock.Unix(0))))
	r.read(1400*ms, stamp+content("a"))
	r.read(1430*ms, stamp+content("b")+end)
	f := r.figures(t, true)
	f.samples(map[string]int64{"truth_ttft": 0, "truth_itl": 1, "ttft": 1})
	for name, m := range f.metrics {
		if m.Distribution != nil && m.Distribution.OutOfRange != 0 {
			t.Errorf("%s: %d out of range", name, m.Distribution.OutOfRange)
		}
	}
}

func TestFakeStreaming(t *testing.T) {
	for _, tt := range []struct {
		name string
		gap  time.Duration // between the three reads
		want float64
	}{{"one burst in three reads", 300 * time.Microsecond, 1}, {"streamed", 20 * ms, 0}} {
		t.Run(tt.name, func(t *testing.T) {
			r := newReplay(stream.OpenAI)
			r.read(2000*ms, role+content("a"))
			r.read(2000*ms+tt.gap, content("b")+content("c"))
			r.read(2000*ms+2*tt.gap, content("d")+end)
			f := r.figures(t, true)
			f.counts(map[string]float64{"fake_streaming": tt.want, "multi_chunk": 1, "coalesced": 2})
		})
	}
}

func TestStreamBrokenOffKeepsItsLatencies(t *testing.T) {
	r := newReplay(stream.OpenAI)
	r.read(1200*ms, content("a"))
	r.read(1250*ms, content("b")+usage(9))
	f := r.figures(t, false)
	f.samples(map[string]int64{"ttft": 1, "itl": 1, "e2e": 0, "tpot": 0, "close_lag": 0})
	f.counts(map[string]float64{"chunks": 2, "tokens_out": 0})
}

func TestStreamAfterItsEnd(t *testing.T) {
	r := newReplay(stream.OpenAI)
	r.read(1200*ms, content("a")+"data: {oops\n\n"+end)
	r.read(1300*ms, content("b")+"data: {\"error\":\"late\"}\n\n")
	if r.s.ending().outcome != outcomeComplete {
		t.Errorf("%+v", r.s.ending())
	}
	f := r.figures(t, true)
	f.counts(map[string]float64{"chunks": 1, "late_events": 2, "malformed": 1})
}

func TestStalls(t *testing.T) {
	for _, tt := range []struct {
		name string
		gaps []time.Duration
		want []time.Duration
	}{
		{"none", []time.Duration{20 * ms, 20 * ms, 500 * ms}, nil},
		{"above the floor", []time.Duration{20 * ms, 20 * ms, 501 * ms}, []time.Duration{501 * ms}},
		{"slow all along", []time.Duration{600 * ms, 600 * ms, 700 * ms}, nil},
		{"above five medians", []time.Duration{200 * ms, 200 * ms, 900 * ms, 200 * ms, 1100 * ms}, []time.Duration{1100 * ms}},
		{"even number", []time.Duration{100 * ms, 300 * ms, 1001 * ms, 100 * ms}, []time.Duration{1001 * ms}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newReplay(stream.Text)
			at := 2000 * ms
			r.read(at, "data: x\n\n")
			var total, stalled time.Duration
			for _, g := range tt.gaps {
				at += g
				total += g
				r.read(at, "data: x\n\n")
			}
			for _, s := range tt.want {
				stalled += s
			}
			f := r.figures(t, true)
			n := float64(len(tt.want))
			f.samples(map[string]int64{"stall": int64(n)})
			f.counts(map[string]float64{
				"stalled": min(n, 1), "stalls": n, "stall_time": float64(stalled), "stream_time": float64(total),
			})
			if n > 0 {
				f.values("stall", tt.want[0], tt.want[len(tt.want)-1])
			}
		})
	}
}

func TestGapsAreBounded(t *testing.T) {
	var g gaps
	g.reset()
	// A stream of a million gaps, four in five of 10 ms and one of 200 ms, with
	// a stall of 900 ms now and then.
	want := 0
	for i := range 1_000_000 {
		switch {
		case i%100_000 == 77:
			g.add(900 * ms)
			want++
		case i%5 == 0:
			g.add(200 * ms)
		default:
			g.add(10 * ms)
		}
	}
	if len(g.kept) > maxGaps || len(g.kept) < maxGaps/2 {
		t.Errorf("%d gaps kept", len(g.kept))
	}
	if got := g.stalls(); len(got) != want {
		t.Errorf("%d stalls, want %d", len(got), want)
	}
	g.reset()
	if g.add(10 * ms); len(g.kept) != 1 || len(g.long) != 0 {
		t.Errorf("after reset: %d kept, %d long", len(g.kept), len(g.long))
	}
}

func TestStreamTruth(t *testing.T) {
	r := newReplay(stream.OpenAI)
	start := r.clock.Unix(0)
	stamped := func(sent time.Duration, event string) string {
		return string(wire.AppendStamp(nil, time.Unix(0, start+int64(sent)))) + event
	}
	r.read(1401*ms, stamped(1350*ms, role)+stamped(1400*ms, content("a")))
	r.read(1430*ms, stamped(1420*ms, content("b")))
	r.read(1440*ms, content("c")) // no stamp
	r.read(1470*ms, stamped(1460*ms, content("d")))
	r.read(1490*ms, stamped(1495*ms, content("e"))+end) // a clock ahead of ours
	f := r.figures(t, true)
	f.values("truth_ttft", 300*ms, 300*ms)
	f.values("truth_itl", 20*ms, 35*ms)
	f.values("delivery_lag", 0, 10*ms)
	f.values("ttft_error", ms, ms)
	f.values("itl_error", 9*ms, 15*ms) // b to a; e to d, whose lags are -5 and 10 ms
	f.samples(map[string]int64{"truth_itl": 2, "delivery_lag": 4, "ttft_error": 1, "itl_error": 2})
	f.counts(map[string]float64{"delivery_lag_negative": 1})
}

// Late by the generator is whatever comes before the request has left, but the time
// that a connection opened for it took.
func TestStreamSendLag(t *testing.T) {
	for _, tt := range []struct {
		name  string
		conn  connection
		left  time.Duration
		wants time.Duration
	}{
		{"reused", connection{reused: true, ready: 1050 * ms}, 1052 * ms, 52 * ms},
		{"new", connection{ready: 1350 * ms}, 1352 * ms, 42 * ms},
		{"punctual", connection{reused: true, ready: 1050 * ms}, 1000 * ms, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newReplay(stream.OpenAI)
			r.s.arrival.Intended, r.s.arrival.Started = 1000*ms, 1040*ms
			r.s.opened(tt.conn)
			r.s.sent(departure{at: tt.left, kernel: true})
			f := r.figures(t, false)
			f.samples(map[string]int64{"send_lag": 1})
			f.values("send_lag", tt.wants, tt.wants)
		})
	}
}

func TestStreamIsReusable(t *testing.T) {
	r := newReplay(stream.Auto)
	r.read(1200*ms, "event: message_start\ndata: {\"type\":\"message_start\"}\n\ndata: unfin")
	r.read(1300*ms, "ished")
	r.s.finish(outcomeTruncated)
	rec := engine.NewRecorder(sseMetrics(), 0)
	r.s.begin(context.Background(), engine.Arrival{Intended: 2 * time.Second, Started: 2 * time.Second}, rec, stream.Auto, nil)
	r.rec = rec
	r.read(2100*ms, content("a")+end)
	f := r.figures(t, r.s.done)
	f.values("ttft", 100*ms, 100*ms)
	f.counts(map[string]float64{"chunks": 1})
	if diff := cmp.Diff([]string{"openai"}, []string{r.s.decoder.Dialect().String()}); diff != "" {
		t.Error(diff)
	}
}

// stampedToken is one token of the reference server as it comes off the wire.
const stampedToken = ": sent=1795460000000000000\nevent: content_block_delta\n" +
	`data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hello"}}` + "\n\n"

func TestStreamAllocatesNothing(t *testing.T) {
	for name, wire := range map[string]string{"anthropic": stampedToken, "openai": content("hello"), "text": "data: hello\n\n"} {
		t.Run(name, func(t *testing.T) {
			r := newReplay(stream.Auto)
			read := []byte(wire)
			at := 1200 * ms
			deliver := func() {
				at += 20 * ms
				r.reads++
				if err := r.s.receive(read, at, r.reads); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 * maxGaps { // until the buffers have their size
				deliver()
			}
			if n := testing.AllocsPerRun(1000, deliver); n != 0 {
				t.Errorf("%v allocations a chunk", n)
			}
			if r.s.chunks != 2*maxGaps+1001 {
				t.Errorf("%d chunks counted", r.s.chunks)
			}
		})
	}
}

func BenchmarkStreamChunk(b *testing.B) {
	for name, wire := range map[string]string{"anthropic": stampedToken, "openai": content("hello"), "text": "data: hello\n\n"} {
		b.Run(name, func(b *testing.B) {
			r := newReplay(stream.Auto)
			read := bytes.Clone([]byte(wire))
			at := 1200 * ms
			b.SetBytes(int64(len(read)))
			b.ReportAllocs()
			for b.Loop() {
				at += 20 * time.Microsecond
				r.reads++
				if err := r.s.receive(read, at, r.reads); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
