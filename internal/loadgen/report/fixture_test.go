package report

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/hist"
	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

const fixtureWarmup = 5 * time.Second

// A maker builds one workload of a synthetic result, second by second.
type maker struct {
	t         testing.TB
	rng       *rand.Rand
	w         result.Workload
	totals    map[string]*hist.Histogram
	seconds   int // measured
	intervals []map[string]*hist.Histogram
}

func newMaker(t testing.TB, name string, p scenario.Protocol, seconds int) *maker {
	m := &maker{
		t: t, rng: rand.New(rand.NewPCG(1, uint64(len(name)))), seconds: seconds,
		w:      result.Workload{Name: name, Protocol: p},
		totals: make(map[string]*hist.Histogram),
	}
	for i := range int(fixtureWarmup/time.Second) + seconds {
		m.w.Intervals = append(m.w.Intervals, result.Interval{
			StartNS: time.Duration(i) * time.Second, EndNS: time.Duration(i+1) * time.Second,
			Counters: make(map[string]int64), Histograms: make(map[string]string),
		})
		m.intervals = append(m.intervals, make(map[string]*hist.Histogram))
	}
	return m
}

// histogram adds a metric with perSecond samples of draw in each measured
// second that keep allows.
func (m *maker) histogram(name string, unit result.Unit, help string, perSecond int, draw func(second int) float64) {
	m.t.Helper()
	total := hist.New(result.RangeOf(unit))
	for s := range m.seconds {
		iv := hist.New(result.RangeOf(unit))
		for range perSecond {
			if v := draw(s); !math.IsNaN(v) {
				iv.Record(int64(v), 1)
			}
		}
		if iv.Count() > 0 {
			at := int(fixtureWarmup/time.Second) + s
			m.w.Intervals[at].Histograms[name] = encode(m.t, iv)
		}
		if err := total.Merge(iv); err != nil {
			m.t.Fatal(err)
		}
	}
	m.totals[name] = total
	m.w.Metrics = append(m.w.Metrics, result.Metric{
		Name: name, Kind: result.Histogram, Unit: unit, Help: help, Distribution: distribution(m.t, total),
	})
}

// counter adds a counter that grows by each(second) in every measured second.
func (m *maker) counter(name, help string, each func(second int) int64) {
	var total int64
	for s := range m.seconds {
		n := each(s)
		total += n
		if n != 0 {
			m.w.Intervals[int(fixtureWarmup/time.Second)+s].Counters[name] = n
		}
	}
	m.w.Metrics = append(m.w.Metrics, result.Metric{Name: name, Kind: result.Counter, Unit: result.One, Help: help, Value: float64(total)})
}

func (m *maker) ratio(name, help string, num, den int64) {
	r := result.Metric{Name: name, Kind: result.Ratio, Unit: result.One, Help: help, Num: num, Den: den}
	if den > 0 {
		r.Value = float64(num) / float64(den)
	}
	m.w.Metrics = append(m.w.Metrics, r)
}

func (m *maker) value(name string) int64 {
	for _, x := range m.w.Metrics {
		if x.Name == name {
			return int64(x.Value)
		}
	}
	m.t.Fatalf("fixture has no %s", name)
	return 0
}

// lognormal draws around a median with σ of the logarithm.
func (m *maker) lognormal(median time.Duration, sigma float64) float64 {
	return float64(median) * math.Exp(sigma*m.rng.NormFloat64())
}

func distribution(t testing.TB, h *hist.Histogram) *result.Distribution {
	t.Helper()
	d, err := result.NewDistribution(h)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func encode(t testing.TB, h *hist.Histogram) string {
	t.Helper()
	s, err := h.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func perSecond(n int64) func(int) int64 { return func(int) int64 { return n } }

func once(at int, n int64) func(int) int64 {
	return func(s int) int64 {
		if s == at {
			return n
		}
		return 0
	}
}

// slow is a second in which the fixture's server stumbles.
func slow(s int) float64 {
	if s >= 17 && s <= 19 {
		return 3.5
	}
	return 1
}

// chat is a token-stream workload: reasoning first, a role-only first event,
// some failures.
func chat(t testing.TB) result.Workload {
	m := newMaker(t, "chat", scenario.SSE, 30)
	const rate = 50
	m.counter("offered", "arrivals due", perSecond(rate))
	m.counter("started", "arrivals begun", perSecond(rate))
	m.counter("finished", "arrivals that came to their end, good or bad", perSecond(rate))
	m.counter("dropped", "arrivals due but never begun", perSecond(0))
	m.counter("late", "arrivals begun more than 10 ms after their intended start", once(18, 3))
	m.histogram("lateness", result.Nanoseconds, "actual − intended start: the generator's own delay", rate,
		func(int) float64 { return m.lognormal(90*time.Microsecond, 0.7) })
	m.histogram("ttft", result.Nanoseconds, "time to first token, from the intended start", rate,
		func(s int) float64 { return slow(s) * m.lognormal(310*time.Millisecond, 0.22) })
	m.histogram("ttft_service", result.Nanoseconds, "time to first token, from the actual start", rate,
		func(s int) float64 { return math.Sqrt(slow(s)) * m.lognormal(309*time.Millisecond, 0.2) })
	m.histogram("ttft{conn=new}", result.Nanoseconds, "time to first token over a new connection", 1,
		func(int) float64 { return m.lognormal(340*time.Millisecond, 0.2) })
	m.histogram("ttft{conn=reused}", result.Nanoseconds, "time to first token over a connection used before", rate-1,
		func(s int) float64 { return slow(s) * m.lognormal(309*time.Millisecond, 0.22) })
	m.histogram("ttfb", result.Nanoseconds, "first byte of the answer, from the actual start", rate,
		func(int) float64 { return m.lognormal(4*time.Millisecond, 0.3) })
	m.histogram("first_event", result.Nanoseconds, "first event of any kind, from the actual start", rate,
		func(int) float64 { return m.lognormal(5*time.Millisecond, 0.3) })
	m.histogram("ttfo", result.Nanoseconds, "first token that is not reasoning, from the actual start", 20,
		func(int) float64 { return m.lognormal(1900*time.Millisecond, 0.3) })
	m.histogram("thinking", result.Nanoseconds, "TTFO − TTFT of streams that reason first", 20,
		func(int) float64 { return m.lognormal(1500*time.Millisecond, 0.4) })
	m.histogram("itl", result.Nanoseconds, "gap between consecutive content chunks, one sample a gap", rate*40,
		func(s int) float64 {
			if m.rng.IntN(400) == 0 {
				return m.lognormal(140*time.Millisecond, 0.3)
			}
			return slow(s) * m.lognormal(20*time.Millisecond, 0.12)
		})
	m.histogram("tpot", result.Nanoseconds, "time per output token after the first chunk", rate,
		func(int) float64 { return m.lognormal(11*time.Millisecond, 0.1) })
	m.histogram("e2e", result.Nanoseconds, "last token, from the intended start", rate,
		func(s int) float64 { return slow(s) * m.lognormal(1300*time.Millisecond, 0.3) })
	m.histogram("close_lag", result.Nanoseconds, "end of stream − last token", rate,
		func(int) float64 { return m.lognormal(400*time.Microsecond, 0.5) })
	m.histogram("stall", result.Nanoseconds, "content gaps longer than max(500 ms, 5 × the stream's median)", 0, nil)
	m.histogram("events_per_read", result.One, "events that came in one socket read", rate*10,
		func(int) float64 { return float64(1 + m.rng.IntN(3)) })
	m.counter("streams", "streams begun", perSecond(rate))
	m.counter("complete", "streams that ended in the protocol's terminal event", func(s int) int64 {
		switch s {
		case 17:
			return rate - 9
		case 18:
			return rate - 5
		}
		return rate
	})
	m.counter("truncated", "streams that ended without the terminal event", once(17, 4))
	m.counter("in_band_error", "streams with an error event under status 200", once(17, 5))
	m.counter("http_error", "answers with a status other than 200", once(18, 3))
	m.counter("timeout", "streams cut after the workload's timeout", once(18, 2))
	m.counter("connection_error", "streams lost to the connection or the protocol beneath", perSecond(0))
	m.counter("unfinished", "streams cut at the end of the drain", perSecond(0))
	m.counter("failed", "streams with any outcome but complete", func(s int) int64 {
		switch s {
		case 17:
			return 9
		case 18:
			return 5
		}
		return 0
	})
	m.counter("multi_chunk", "complete streams of two content chunks or more", perSecond(49))
	m.counter("fake_streaming", "of those, the ones whose content all came at once", once(9, 2))
	m.counter("bytes_in", "body bytes received", perSecond(rate*9_400))
	m.w.Metrics[len(m.w.Metrics)-1].Unit = result.Bytes
	n := m.value("streams")
	m.ratio("complete_ratio", "complete ÷ streams", m.value("complete"), n)
	m.ratio("error_ratio", "failed ÷ streams", m.value("failed"), n)
	m.ratio("fake_ratio", "fake_streaming ÷ multi_chunk", m.value("fake_streaming"), m.value("multi_chunk"))
	m.ratio("tokens_per_chunk", "tokens_out ÷ counted_chunks", 108_311, 60_000)
	m.w.InFlight = result.InFlight{Looked: 69.8, Added: 70.4}
	for i := range m.w.Intervals {
		m.w.Intervals[i].InFlight = int64(60 + 6*math.Sin(float64(i)))
		if i >= 22 && i <= 25 {
			m.w.Intervals[i].InFlight += 90
		}
	}
	m.w.Errors = []result.ErrorClass{
		{Class: "in-band error", Count: 5, Example: `event: error data: {"type":"error","error":{"type":"overloaded_error","message":"<b>Overloaded</b>"}}`},
		{Class: "truncated", Count: 4, Example: "stream ended after 17 events without message_stop"},
		{Class: "http 503", Count: 3, Example: `503 Service Unavailable: {"code":"BOOT_ERROR"}`},
		{Class: "timeout", Count: 2, Example: "no terminal event within 60s of the start"},
	}
	m.w.Balances = []result.Balance{{Name: "streams = complete + failed", Left: n, Right: n}}
	return m.w
}

// rooms is a fanout workload.
func rooms(t testing.TB) result.Workload {
	m := newMaker(t, "rooms", scenario.WebSocket, 30)
	const received = 1000
	m.counter("offered", "arrivals due", once(0, 200))
	m.counter("started", "arrivals begun", once(0, 200))
	m.counter("finished", "arrivals that came to their end, good or bad", once(29, 200))
	m.histogram("fanout", result.Nanoseconds, "receive − planned publish, one sample a receiver", received,
		func(s int) float64 { return slow(s) * m.lognormal(620*time.Microsecond, 0.5) })
	m.histogram("spread", result.Nanoseconds, "last receiver − planned publish, one sample a message", received/19,
		func(s int) float64 { return slow(s) * m.lognormal(1400*time.Microsecond, 0.4) })
	m.histogram("publish_lateness", result.Nanoseconds, "actual − planned publish", received/19,
		func(int) float64 { return m.lognormal(80*time.Microsecond, 0.6) })
	m.histogram("dial", result.Nanoseconds, "TCP connection", 7, func(int) float64 { return m.lognormal(140*time.Microsecond, 0.4) })
	m.histogram("upgrade", result.Nanoseconds, "HTTP upgrade", 7, func(int) float64 { return m.lognormal(600*time.Microsecond, 0.4) })
	m.counter("connections", "members that joined", once(0, 200))
	m.counter("expected", "deliveries due: Σ sends × members joined at the send", perSecond(received))
	m.counter("received", "deliveries that came", func(s int) int64 {
		if s == 18 {
			return received - 12
		}
		return received
	})
	m.counter("lost", "deliveries that never came", once(18, 12))
	m.counter("duplicated", "deliveries beyond the first", perSecond(0))
	m.counter("reordered", "deliveries behind a later one", perSecond(0))
	m.counter("published", "messages sent", perSecond(received/19))
	m.counter("connections_lost", "connections that ended before the member left", once(18, 1))
	expected := m.value("expected")
	m.ratio("delivery_ratio", "received ÷ expected", m.value("received"), expected)
	for i := range m.w.Intervals {
		m.w.Intervals[i].InFlight = min(200, int64(i)*50)
	}
	m.w.Balances = []result.Balance{
		{Name: "expected = received + lost", Left: expected, Right: m.value("received") + m.value("lost")},
		{Name: "bytes = messages × size", Left: 7_680_000, Right: 7_680_000},
	}
	return m.w
}

func fixtureScenario() *scenario.Scenario {
	return &scenario.Scenario{
		Version: 1, Name: "chat-mixed", Target: "http://127.0.0.1:8080", Seed: 1,
		Description: "Token streams at 50 a second beside rooms of 20: does fanout disturb the streams?",
		Warmup:      scenario.Duration(fixtureWarmup), Duration: scenario.Duration(30 * time.Second), Drain: scenario.Duration(10 * time.Second),
		Workloads: map[string]*scenario.Workload{
			"chat": {
				Protocol: scenario.SSE, Dialect: scenario.DialectAnthropic, Timeout: scenario.Duration(time.Minute),
				Load: scenario.Load{Rate: 50, Arrivals: scenario.ArrivalsPoisson, MaxInFlight: 10_000},
				Request: &scenario.Request{
					Method: "POST", Path: "/functions/v1/stream-ai",
					Headers: map[string]string{"Authorization": "Bearer eyJ-very-secret", "Content-Type": "application/json"},
					Body:    `{"prompt": {{ .Prompt | json }}}`,
				},
			},
			"rooms": {
				Protocol: scenario.WebSocket, Timeout: scenario.Duration(10 * time.Second),
				Load: scenario.Load{Users: 200, Ramp: scenario.Duration(4 * time.Second)},
				Room: &scenario.Room{Path: "/functions/v1/ws-relay?room={{ .Room }}", Members: 20, Publish: 5, Publishers: 1, Payload: scenario.SizeDist{Min: 256, Max: 256}},
			},
		},
	}
}

// stored is the fixture as a file would hold it: it takes long to make.
var stored struct {
	once sync.Once
	json []byte
}

// fixtureResult is a run as it should be, but for a stumbling server.
func fixtureResult(t testing.TB) *result.Result {
	t.Helper()
	stored.once.Do(func() {
		b, err := json.Marshal(makeFixture(t))
		if err != nil {
			t.Fatal(err)
		}
		stored.json = b
	})
	var r result.Result
	if err := json.Unmarshal(stored.json, &r); err != nil {
		t.Fatal(err)
	}
	return &r
}

func makeFixture(t testing.TB) *result.Result {
	return &result.Result{
		Version: result.Version, ID: "20261123T184812Z-chat-mixed",
		Started: time.Date(2026, 11, 23, 18, 48, 12, 0, time.UTC), ElapsedNS: 36_412 * time.Millisecond,
		Scenario: fixtureScenario(),
		Machine: result.Machine{
			OS: "linux", Arch: "amd64", Kernel: "6.12.8", CPU: "AMD EPYC 9554", Cores: 4, MemoryBytes: 16 << 30, Fingerprint: "5f0c2a9be1d4",
		},
		Build:     result.Build{Version: "v0.1.0", Revision: "0a1b2c3d4e5f", Go: "go1.26.8"},
		Workloads: []result.Workload{chat(t), rooms(t)},
		Health: result.Health{
			LatenessP99NS: 480 * time.Microsecond, GCPauseMaxNS: 210 * time.Microsecond, SchedP99NS: 96 * time.Microsecond,
			CPUCores: 1.31, CPUQuota: 4, FDsPeak: 421, FDLimit: 20_000, RSSPeakBytes: 96 << 20,
			Offered: 1700, ClockStepNS: 3 * time.Microsecond, ReceiveSource: "read",
		},
		Validity: result.Validity{State: result.Valid},
		Thresholds: []result.Threshold{
			{Metric: "chat.ttft", Condition: "p(95) < 800ms", Outcome: result.Pass, Observed: 612e6, Unit: result.Nanoseconds, Samples: 1500},
			{Metric: "chat.ttft", Condition: "p(99) < 1s", Outcome: result.Fail, Observed: 1.31e9, Unit: result.Nanoseconds, Samples: 1500},
			{Metric: "chat.stall", Condition: "count < 1", Outcome: result.NoData, Unit: result.Nanoseconds},
			{Metric: "rooms.delivery_ratio", Condition: "value == 1", Outcome: result.Fail, Observed: 29988.0 / 30000, Unit: result.One, Samples: 30000},
		},
		Warnings: []string{"chat.ttft{conn=new}: 30 samples; its p99 rests on less than one"},
	}
}

// degraded is the fixture with a strained generator.
func degraded(t testing.TB) *result.Result {
	r := fixtureResult(t)
	r.Health.LatenessP99NS = 14 * time.Millisecond
	r.Validity = result.Validity{State: result.Degraded, Reasons: []result.Reason{{
		State: result.Degraded, Check: "lateness", Detail: "p99 of actual − intended start was 14 ms; the limit is 10 ms",
		Remedy: "lower the rate, give the generator more cores, or run it apart from the server",
	}}}
	r.Workloads[1].InFlight = result.InFlight{Looked: 200, Added: 180}
	r.Validity.Reasons = append(r.Validity.Reasons, result.Reason{
		State: result.Degraded, Check: "little's law", Detail: "rooms: in flight as sampled and as added up differ by 10% (limit 5%)", Remedy: "run longer",
	})
	return r
}

// invalid is the fixture whose deliveries do not add up.
func invalid(t testing.TB) *result.Result {
	r := fixtureResult(t)
	r.Interrupted = true
	r.Warnings = append(r.Warnings, "the run was interrupted: its figures cover less than the planned duration")
	r.Workloads[1].Balances[0].Right -= 7
	r.Validity = result.Validity{State: result.Invalid, Reasons: []result.Reason{{
		State: result.Invalid, Check: "balance", Detail: "rooms: expected = received + lost: 30,000 and 29,993",
		Remedy: "do not use these numbers: the count itself is wrong; keep result.json and report it",
	}}}
	return r
}

// bare is a result with nothing in it but what must be there.
func bare(testing.TB) *result.Result {
	return &result.Result{
		Version: result.Version, ID: "20261123T184812Z-bare", Started: time.Date(2026, 11, 23, 18, 48, 12, 0, time.UTC),
		Scenario:  &scenario.Scenario{Version: 1, Name: "bare"},
		Workloads: []result.Workload{{Name: "idle", Protocol: "carrier-pigeon"}},
		Validity:  result.Validity{State: result.Valid},
	}
}

// small is three seconds of an sse workload, for the stored file.
func small(t testing.TB) *result.Result {
	r := bare(t)
	r.ID, r.Scenario.Name, r.Scenario.Warmup = "20261123T184812Z-small", "small", scenario.Duration(fixtureWarmup)
	r.Scenario.Duration = scenario.Duration(3 * time.Second)
	m := newMaker(t, "chat", scenario.SSE, 3)
	m.counter("offered", "arrivals due", perSecond(20))
	m.counter("finished", "arrivals that came to their end", perSecond(20))
	m.histogram("ttft", result.Nanoseconds, "first token − intended start", 20,
		func(int) float64 { return m.lognormal(310*time.Millisecond, 0.2) })
	m.counter("streams", "streams begun", perSecond(20))
	m.counter("complete", "streams that reached the protocol's proper end", perSecond(20))
	m.ratio("complete_ratio", "complete ÷ streams", 60, 60)
	r.Workloads = []result.Workload{m.w}
	r.Thresholds = []result.Threshold{{Metric: "chat.ttft", Condition: "p(95) < 800ms", Outcome: result.Pass, Observed: 430e6, Unit: result.Nanoseconds, Samples: 60}}
	return r
}
