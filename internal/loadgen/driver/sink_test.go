package driver

import (
	"context"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
	"github.com/edgeload/edgeload/internal/loadgen/sink"
	"github.com/edgeload/edgeload/internal/wire"
)

// openSink opens a sink that is closed with the test.
func openSink(t testing.TB) *sink.Sink {
	t.Helper()
	s, err := sink.Open(sink.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// ask posts to the sink and returns the status, and the body read to its end.
func ask(t testing.TB, client *http.Client, url string) (status int, body string, err error) {
	t.Helper()
	resp, err := client.Post(url, "application/json", strings.NewReader(`{}`))
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// runBeside carries out a plan of nothing but a side, which lasts as long as during does.
func runBeside(t testing.TB, sc *scenario.Scenario, s *sink.Sink, during func()) *result.Result {
	t.Helper()
	return runSide(t, sc, newSinkSide(sc, s), during)
}

// runSide is runBeside with a side that is there already.
func runSide(t testing.TB, sc *scenario.Scenario, side engine.Side, during func()) *result.Result {
	t.Helper()
	sc.Duration, sc.Seed = scenario.Duration(20*time.Second), 1
	plan := engine.Plan{
		Scenario: sc, Side: side,
		Workloads: []engine.Workload{{
			Name: "idle", Protocol: scenario.HTTP, Driver: idleDriver{during}, Metrics: httpMetrics(), Headline: httpLatency,
			Users: 1, Begins: func(int) time.Duration { return 0 }, Once: true,
		}},
	}
	res, err := plan.Run(context.Background(), "test")
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// An idleDriver's one arrival is what is done during it.
type idleDriver struct{ during func() }

func (d idleDriver) Begin(engine.Run) error { return nil }

func (d idleDriver) Do(_ context.Context, _ engine.Arrival, rec *engine.Recorder, over func(bool)) {
	rec.Whole().Record(httpLatency, 1)
	d.during()
	over(true)
}

func (d idleDriver) End(*engine.Recorder) {}

func TestUpstreamsAreAccountedFor(t *testing.T) {
	s := openSink(t)
	sc := &scenario.Scenario{Sink: &scenario.Sink{Upstreams: map[string]*scenario.Upstream{
		"slack": {},
		"flaky": {Replies: []scenario.Reply{{Status: 503}, {Reset: true}, {Status: 200}}},
		"late":  {Delay: scenario.Every(time.Hour)},
	}}}
	sc.Warmup = scenario.Duration(50 * time.Millisecond)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res := runBeside(t, sc, s, func() {
		for range 3 {
			if status, body, err := ask(t, client, s.URL()+"/slack/services/T0/B0"); err != nil || status != 200 || body != "ok" {
				t.Errorf("the webhook is answered %d %q, %v", status, body, err)
			}
		}
		for nth, want := range []int{503, 0, 200, 200} {
			status, _, err := ask(t, client, s.URL()+"/flaky")
			if status != want || (err != nil) != (want == 0) {
				t.Errorf("call %d is answered %d, %v", nth, status, err)
			}
		}
		if status, _, err := ask(t, client, s.URL()+"/nobody"); err != nil || status != 404 {
			t.Errorf("a stray call is answered %d, %v", status, err)
		}
	})
	if status, _, err := ask(t, client, s.URL()+"/slack"); err != nil || status != 404 {
		t.Errorf("after the run it answers %d, %v", status, err)
	}
	got := res.Sink
	if got == nil {
		t.Fatal("the result says nothing of the sink")
	}
	want := map[string]map[string]int64{"slack": {"200": 3}, "flaky": {"503": 1, "reset": 1, "200": 2}}
	for _, c := range got.Calls {
		var sum int64
		for _, n := range c.Replies {
			sum += n
		}
		if !maps.Equal(c.Replies, want[c.Name]) || sum != c.Calls {
			t.Errorf("%+v, want %v", c, want[c.Name])
		}
	}
	if len(got.Calls) != 2 || len(got.Strays) != 1 || got.Strays[0].Name != "nobody" || got.Strays[0].Calls != 1 || got.URL != s.URL() || len(got.Balances) != 3 {
		t.Errorf("the sink's account is %+v", got)
	}
	if len(res.Warnings) == 0 || !strings.Contains(res.Warnings[0], "/nobody 1") {
		t.Errorf("warnings %q", res.Warnings)
	}
	for _, b := range got.Balances {
		if !b.Even() {
			t.Errorf("%+v", b)
		}
	}
	// What comes after a run is the next one's to tell.
	if a := s.Take(); a.Strays["slack"] != 1 {
		t.Errorf("after the run: %+v", a)
	}
}

// A call that waits for its answer when the run ends is let go, and counted.
func TestCallsEndWithTheRun(t *testing.T) {
	s := openSink(t)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var tasks sync.WaitGroup
	res := runBeside(t, &scenario.Scenario{Sink: &scenario.Sink{Upstreams: map[string]*scenario.Upstream{
		"late": {Delay: scenario.Every(time.Hour)}, "hang": {Replies: []scenario.Reply{{Hang: true}}},
	}}}, s, func() {
		for _, name := range []string{"late", "hang"} {
			tasks.Go(func() {
				if _, _, err := ask(t, client, s.URL()+"/"+name); err == nil {
					t.Errorf("%s was answered", name)
				}
			})
		}
		time.Sleep(300 * time.Millisecond) // until both have come
	})
	tasks.Wait()
	if res.Sink.Unanswered != 1 || len(res.Sink.Calls) != 2 {
		t.Errorf("the sink's account is %+v", res.Sink)
	}
}

// The stream of an upstream keeps its times, by the stamp on each event.
func TestUpstreamStreamsOnTime(t *testing.T) {
	const tokens, gap, ttft = 20, 10 * time.Millisecond, 50 * time.Millisecond
	s := openSink(t)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var lateness []time.Duration
	runBeside(t, &scenario.Scenario{Sink: &scenario.Sink{Upstreams: map[string]*scenario.Upstream{
		"llm": {Stream: &scenario.LLMStream{
			Dialect: scenario.DialectAnthropic, TTFT: scenario.Every(ttft), Gap: scenario.Every(gap), Tokens: scenario.Always(tokens),
		}},
	}}}, s, func() {
		begin := time.Now()
		_, body, err := ask(t, client, s.URL()+"/llm/v1/messages")
		if err != nil {
			t.Error(err)
		}
		n := 0
		for event := range strings.SplitSeq(body, "\n\n") {
			sent, _, ok := wire.CutStamp([]byte(event))
			if !ok || !strings.Contains(event, "text_delta") {
				continue
			}
			lateness = append(lateness, time.Duration(sent-begin.UnixNano())-ttft-time.Duration(n)*gap)
			n++
		}
	})
	if len(lateness) != tokens {
		t.Fatalf("%d tokens", len(lateness))
	}
	// Each is late by the call's way to the sink and by the timer, none early.
	for i, late := range lateness {
		if late < -time.Millisecond || late > 100*time.Millisecond {
			t.Errorf("token %d is %v late", i, late)
		}
	}
	t.Logf("lateness of tokens: %v", lateness)
}

func TestUpstreamsWhoseNamesAreTaken(t *testing.T) {
	s := openSink(t)
	sc := &scenario.Scenario{Sink: &scenario.Sink{Upstreams: map[string]*scenario.Upstream{"a": {}, "b": {}}}}
	remove, err := s.Handle("b", &upstream{})
	if err != nil {
		t.Fatal(err)
	}
	defer remove()
	if err := newSinkSide(sc, s).Begin(engine.Run{}); err == nil || !strings.Contains(err.Error(), `"b"`) {
		t.Errorf("Begin = %v", err)
	}
	if free, err := s.Handle("a", &upstream{}); err != nil {
		t.Errorf("what had begun was not ended: %v", err)
	} else {
		free()
	}
}

func TestPlanHasASideWhereThereIsASink(t *testing.T) {
	sc, err := scenario.Parse("s.yaml", []byte(`{version: 1, name: s, target: 'http://127.0.0.1:1', duration: 1s, sink: {upstreams: {a: {}}}, `+
		`workloads: {w: {protocol: http, load: {rate: 1/s}, request: {path: /}}}}`), scenario.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for s, want := range map[*sink.Sink]bool{nil: false, openSink(t): true} {
		plan, err := Plan(sc, Options{Sink: s})
		if err != nil || (plan.Side != nil) != want {
			t.Errorf("side %v, %v; want one: %v", plan.Side, err, want)
		}
	}
	sc.Sink = nil
	if plan, err := Plan(sc, Options{Sink: openSink(t)}); err != nil || plan.Side != nil {
		t.Errorf("a scenario without a sink has a side: %v, %v", plan.Side, err)
	}
}
