package llm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/edgeload/edgeload/internal/wire"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// recorder is a response writer that keeps every write with its instant.
type recorder struct {
	header http.Header
	status int
	writes []write
	before func(n int) // called before write n
}

type write struct {
	at      time.Time
	text    string
	flushed bool
}

func newRecorder() *recorder               { return &recorder{header: http.Header{}, before: func(int) {}} }
func (r *recorder) Header() http.Header    { return r.header }
func (r *recorder) WriteHeader(status int) { r.status = status }

func (r *recorder) Write(b []byte) (int, error) {
	r.before(len(r.writes))
	r.writes = append(r.writes, write{at: time.Now(), text: string(b)})
	return len(b), nil
}

func (r *recorder) Flush() {
	if len(r.writes) > 0 {
		r.writes[len(r.writes)-1].flushed = true
	}
}

func (r *recorder) body() string {
	var b strings.Builder
	for _, w := range r.writes {
		b.WriteString(w.text)
	}
	return b.String()
}

// value reads one counter or gauge of a collector; label is the value of its
// one label, if it has one.
func value(t *testing.T, c prometheus.Collector, name, label string) float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == name && (label == "" || m.GetLabel()[0].GetValue() == label) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no metric %s %s", name, label)
	return 0
}

func newSimulator(t testing.TB, ttft, gap, tokens, perChunk string) *Simulator {
	t.Helper()
	var timing Timing
	var errs [4]error
	timing.FirstToken, errs[0] = ParseDurations(ttft)
	timing.Gap, errs[1] = ParseDurations(gap)
	timing.Tokens, errs[2] = ParseCounts(tokens)
	timing.PerChunk, errs[3] = ParseCounts(perChunk)
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	return New(Options{Timing: timing})
}

func messagesRequest(ctx context.Context, stream bool, maxTokens int) *http.Request {
	body := fmt.Sprintf(`{"model":"claude-haiku-4-5","max_tokens":%d,"stream":%t,"messages":[{"role":"user","content":"How late is it?"}]}`, maxTokens, stream)
	return httptest.NewRequest(http.MethodPost, wire.PathMessages, strings.NewReader(body)).WithContext(ctx)
}

// split takes a write apart into its stamp and its event's name and data.
func split(t *testing.T, text string) (stamp time.Time, event, data string) {
	t.Helper()
	lines := strings.Split(text, "\n")
	if len(lines) != 5 || lines[3] != "" || lines[4] != "" {
		t.Fatalf("write is not one stamp and one event: %q", text)
	}
	nanos, ok := wire.ParseStamp([]byte(strings.TrimPrefix(lines[0], ":")))
	event, isEvent := strings.CutPrefix(lines[1], "event: ")
	data, isData := strings.CutPrefix(lines[2], "data: ")
	if !ok || !isEvent || !isData || !json.Valid([]byte(data)) {
		t.Fatalf("write is not one stamp and one event: %q", text)
	}
	return time.Unix(0, nanos), event, data
}

func TestStreamKeepsItsTimetable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulator(t, "constant:300ms", "constant:20ms", "constant:50", "constant:3")
		rec, start := newRecorder(), time.Now()
		s.ServeHTTP(rec, messagesRequest(t.Context(), true, 1024))

		words, chunks := 0, 0
		for i, w := range rec.writes {
			stamp, event, data := split(t, w.text)
			if !stamp.Equal(w.at) || !w.flushed {
				t.Errorf("write %d: stamped %v, written %v, flushed %t", i, stamp.Sub(start), w.at.Sub(start), w.flushed)
			}
			var want time.Duration
			switch event {
			case "message_start", "content_block_start", "ping":
			case "content_block_delta":
				want = 300*time.Millisecond + time.Duration(chunks)*20*time.Millisecond
				chunks++
				var delta struct{ Delta struct{ Text string } }
				if err := json.Unmarshal([]byte(data), &delta); err != nil {
					t.Fatal(err)
				}
				words += len(strings.Fields(delta.Delta.Text))
			default:
				want = 300*time.Millisecond + 16*20*time.Millisecond
			}
			if got := stamp.Sub(start); got != want {
				t.Errorf("%s at %v, want %v", event, got, want)
			}
		}
		if words != 50 || chunks != 17 {
			t.Errorf("got %d words in %d chunks, want 50 in 17", words, chunks)
		}
		if !strings.Contains(rec.body(), `"stop_reason":"end_turn","stop_sequence":null},"usage":{"input_tokens":4,"output_tokens":50}`) {
			t.Errorf("final usage is wrong:\n%s", rec.body())
		}
	})
}

func TestStreamIsAsGolden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulator(t, "constant:30ms", "constant:20ms", "constant:5", "constant:2")
		rec := newRecorder()
		s.ServeHTTP(rec, messagesRequest(t.Context(), true, 1024))
		want := http.Header{
			"Content-Type": {"text/event-stream; charset=utf-8"}, "Cache-Control": {"no-cache"}, "Request-Id": {"req_0000000000000001"},
		}
		if diff := cmp.Diff(want, rec.header); diff != "" || rec.status != http.StatusOK {
			t.Errorf("status %d, headers (-want +got):\n%s", rec.status, diff)
		}
		got := []byte(rec.body()) // synctest's clock begins at a fixed instant, so the stamps are golden too
		const golden = "testdata/stream.golden"
		if *update {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		file, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(file), string(got)); diff != "" {
			t.Errorf("stream (-want +got):\n%s", diff)
		}
	})
}

func TestErrorsDoNotAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulator(t, "constant:100ms", "constant:10ms", "constant:200", "constant:1")
		rec, start := newRecorder(), time.Now()
		rec.before = func(n int) {
			if n == 3+5 { // the sixth token finds the process stopped for a second
				time.Sleep(time.Second)
			}
		}
		s.ServeHTTP(rec, messagesRequest(t.Context(), true, 1024))
		for i, w := range rec.writes[3:203] {
			due := 100*time.Millisecond + time.Duration(i)*10*time.Millisecond
			if i >= 5 {
				due = max(due, 1150*time.Millisecond) // due during the stop: sent at once after it
			}
			if got := w.at.Sub(start); got != due || strings.Count(w.text, "event:") != 1 {
				t.Fatalf("token %d at %v, want %v: %q", i, got, due, w.text)
			}
		}
	})
}

func TestWholeMessageTakesTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulator(t, "constant:300ms", "constant:20ms", "constant:500", "constant:1")
		rec, start := newRecorder(), time.Now()
		s.ServeHTTP(rec, messagesRequest(t.Context(), false, 11))
		if took := time.Since(start); took != 500*time.Millisecond {
			t.Errorf("took %v, want 500ms", took)
		}
		var m message
		if err := json.Unmarshal([]byte(rec.body()), &m); err != nil {
			t.Fatal(err)
		}
		if len(strings.Fields(*m.Content[0].Text)) != 11 || m.Usage.OutputTokens != 11 || *m.StopReason != "max_tokens" {
			t.Errorf("got %+v, stop reason %q", m, *m.StopReason)
		}
	})
}

func TestMaxTokensStopsTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulator(t, "constant:1ms", "constant:1ms", "constant:10", "constant:4")
		for maxTokens, want := range map[int]string{9: "max_tokens", 10: "end_turn"} {
			rec := newRecorder()
			s.ServeHTTP(rec, messagesRequest(t.Context(), true, maxTokens))
			if body := rec.body(); !strings.Contains(body, want) || !strings.Contains(body, fmt.Sprintf(`"output_tokens":%d}}`, maxTokens)) {
				t.Errorf("max_tokens %d: want %s and %d tokens:\n%s", maxTokens, want, maxTokens, body)
			}
		}
	})
}

func TestLeavingClientStopsTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulator(t, "constant:1s", "constant:1h", "constant:500", "constant:1")
		ctx, cancel := context.WithCancel(t.Context())
		var aborted error
		ended := make(chan time.Time)
		go func() {
			defer func() { aborted, _ = recover().(error); ended <- time.Now() }()
			s.ServeHTTP(newRecorder(), messagesRequest(ctx, true, 1024))
		}()
		time.Sleep(5 * time.Second)
		left := time.Now()
		cancel()
		if at := <-ended; at != left || !errors.Is(aborted, http.ErrAbortHandler) {
			t.Errorf("ended %v after the client left, with %v", at.Sub(left), aborted)
		}
		if n := value(t, s, "refserver_llm_requests_total", string(OutcomeAborted)); n != 1 {
			t.Errorf("counted %v aborted requests, want 1", n)
		}
		if n := value(t, s, "refserver_llm_requests_in_flight", ""); n != 0 {
			t.Errorf("%v requests in flight, want 0", n)
		}
	})
}

func TestHeadersOverrideTheTiming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulator(t, "constant:1h", "constant:1h", "constant:9999", "constant:1")
		answer := func(seed string) (string, time.Duration) {
			r, start := messagesRequest(t.Context(), true, 1024), time.Now()
			r.Header.Set(wire.HeaderSimTTFT, "uniform:100ms,200ms")
			r.Header.Set(wire.HeaderSimGap, "lognormal:10ms,1")
			r.Header.Set(wire.HeaderSimTokens, "quantiles:chat-azure23-out")
			r.Header.Set(wire.HeaderSimPerChunk, "uniform:1,4")
			r.Header.Set(wire.HeaderSimSeed, seed)
			rec := newRecorder()
			s.ServeHTTP(rec, r)
			ids := regexp.MustCompile(`: sent=\d+|msg_\w+`)
			return ids.ReplaceAllString(rec.body(), ""), time.Since(start)
		}
		first, took := answer("7")
		again, tookAgain := answer("7")
		other, _ := answer("8")
		if first != again || took != tookAgain {
			t.Errorf("same seed, other response: %v and %v", took, tookAgain)
		}
		if first == other {
			t.Error("another seed, same response")
		}
	})
}

func TestSeedFixesAllRequests(t *testing.T) {
	durations := func(seed uint64) (got []time.Duration) {
		timing := Timing{Seed: seed}.OrDefault()
		if err := timing.FirstToken.UnmarshalText([]byte("uniform:0s,1h")); err != nil {
			t.Fatal(err)
		}
		for n := range uint64(20) {
			own, draw, err := timing.forRequest(http.Header{}, n)
			if err != nil {
				t.Fatal(err)
			}
			schedule := own.schedule(rand.New(rand.NewPCG(own.Seed, draw)), 0, 1)
			_, due, _ := schedule.next(0)
			got = append(got, due)
		}
		return got
	}
	if diff := cmp.Diff(durations(1), durations(1)); diff != "" {
		t.Errorf("same seed differs:\n%s", diff)
	}
	if cmp.Equal(durations(1), durations(2)) {
		t.Error("seeds 1 and 2 give the same draws")
	}
	seen := map[time.Duration]bool{}
	for _, d := range durations(1) {
		if seen[d] {
			t.Error("two requests drew the same delay")
		}
		seen[d] = true
	}
}

func TestErrorAnswers(t *testing.T) {
	s := newSimulator(t, "constant:0s", "constant:0s", "constant:1", "constant:1")
	const good = `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}]}`
	for _, tc := range []struct {
		name, method, body, header, value string
		status                            int
		kind, message                     string
	}{
		{"method", "GET", "", "", "", 405, "invalid_request_error", "POST"},
		{"not JSON", "POST", "prompt=x", "", "", 400, "invalid_request_error", "not valid JSON"},
		{"empty", "POST", "", "", "", 400, "invalid_request_error", "not valid JSON"},
		{"no model", "POST", `{"max_tokens":1,"messages":[]}`, "", "", 400, "invalid_request_error", "model"},
		{"no max_tokens", "POST", `{"model":"m","messages":[]}`, "", "", 400, "invalid_request_error", "max_tokens"},
		{"no messages", "POST", `{"model":"m","max_tokens":1}`, "", "", 400, "invalid_request_error", "messages"},
		{"bad role", "POST", `{"model":"m","max_tokens":1,"messages":[{"role":"x","content":"x"}]}`, "", "", 400, "invalid_request_error", "messages.0.role"},
		{"bad content", "POST", `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":5}]}`, "", "", 400, "invalid_request_error", "messages.0.content"},
		{"bad header", "POST", good, wire.HeaderSimGap, "fast", 400, "invalid_request_error", wire.HeaderSimGap},
		{"bad seed", "POST", good, wire.HeaderSimSeed, "-1", 400, "invalid_request_error", wire.HeaderSimSeed},
		{"bad status", "POST", good, wire.HeaderSimStatus, "200", 400, "invalid_request_error", wire.HeaderSimStatus},
		{"asked 401", "POST", good, wire.HeaderSimStatus, "401", 401, "authentication_error", ""},
		{"asked 429", "POST", good, wire.HeaderSimStatus, "429", 429, "rate_limit_error", ""},
		{"asked 500", "POST", good, wire.HeaderSimStatus, "500", 500, "api_error", ""},
		{"asked 529", "POST", good, wire.HeaderSimStatus, "529", 529, "overloaded_error", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := httptest.NewRequest(tc.method, wire.PathMessages, strings.NewReader(tc.body))
			if tc.header != "" {
				r.Header.Set(tc.header, tc.value)
			}
			rec := httptest.NewRecorder()
			s.ServeHTTP(rec, r)
			var body struct {
				Type  string
				Error struct{ Type, Message string }
			}
			if err := json.NewDecoder(bytes.NewReader(rec.Body.Bytes())).Decode(&body); err != nil {
				t.Fatal(err)
			}
			if rec.Code != tc.status || body.Type != "error" || body.Error.Type != tc.kind || !strings.Contains(body.Error.Message, tc.message) {
				t.Errorf("got %d %s, want %d %s with %q", rec.Code, rec.Body, tc.status, tc.kind, tc.message)
			}
		})
	}
}

func TestInputTokensCountTheText(t *testing.T) {
	for body, want := range map[string]int{
		`{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"12345"}]}`:                                                                  2,
		`{"model":"m","max_tokens":1,"messages":[{"role":"user","content":""}]}`:                                                                       1,
		`{"model":"m","max_tokens":1,"system":"1234","messages":[{"role":"user","content":[{"type":"text","text":"1234"},{"type":"image"}]}]}`:         2,
		`{"model":"m","max_tokens":1,"system":[{"type":"text","text":"é"}],"messages":[{"role":"user","content":"1"},{"role":"user","content":"12"}]}`: 2,
	} {
		r := httptest.NewRequest(http.MethodPost, wire.PathMessages, strings.NewReader(body))
		req, fault := readRequest(httptest.NewRecorder(), r, anthropic{})
		if fault != nil {
			t.Fatalf("%s: %s", body, fault.message)
		}
		if req.inputTokens != want {
			t.Errorf("%s: %d input tokens, want %d", body, req.inputTokens, want)
		}
	}
}
