package sink

import (
	"bytes"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

func reply(t testing.TB, text string) scenario.Reply {
	t.Helper()
	r, err := scenario.ParseReply(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRepliesComeInTurn(t *testing.T) {
	s := NewScript(&scenario.Upstream{
		Replies: []scenario.Reply{reply(t, "503"), reply(t, "429,retry-after:2s"), reply(t, "reset"), reply(t, "hang"), reply(t, "200,delay:150ms")},
		Delay:   scenario.Every(10 * time.Millisecond),
	}, 1)
	for nth, want := range []Answer{
		{Status: 503, After: 10 * time.Millisecond},
		{Status: 429, After: 10 * time.Millisecond},
		{Reset: true, After: 10 * time.Millisecond},
		{Hang: true, After: 10 * time.Millisecond},
		{Status: 200, After: 160 * time.Millisecond},
		{Status: 200, After: 160 * time.Millisecond}, // the last again and again
	} {
		got := s.Answer(nth, 7, 0)
		if got.Status != want.Status || got.Reset != want.Reset || got.Hang != want.Hang || got.After != want.After {
			t.Errorf("call %d is answered %+v, want %+v", nth, got, want)
		}
		if after := got.Header.Get("Retry-After"); (after == "2") != (nth == 1) {
			t.Errorf("call %d has Retry-After %q", nth, after)
		}
	}
}

func TestOutageGoesBeforeTheScript(t *testing.T) {
	s := NewScript(&scenario.Upstream{Outage: &scenario.Outage{From: scenario.Duration(time.Second), For: scenario.Duration(2 * time.Second)}}, 1)
	own := NewScript(&scenario.Upstream{
		Replies: []scenario.Reply{reply(t, "200")},
		Outage:  &scenario.Outage{For: scenario.Duration(time.Second), Reply: reply(t, "reset")},
	}, 1)
	for elapsed, want := range map[time.Duration]int{
		-time.Second: 200, 0: 200, time.Second - 1: 200, time.Second: 503, 3*time.Second - 1: 503, 3 * time.Second: 200,
	} {
		if got := s.Answer(0, 0, elapsed); got.Status != want {
			t.Errorf("at %v it answers %d, want %d", elapsed, got.Status, want)
		}
		if got := own.Answer(0, 0, elapsed); got.Reset != (elapsed >= 0 && elapsed < time.Second) {
			t.Errorf("at %v it answers %+v", elapsed, got)
		}
	}
}

// The share of each reply is within 5 standard deviations of its odds, and draws repeat.
func TestOddsComeTrue(t *testing.T) {
	const calls = 20_000
	odds := map[string]scenario.Share{"503": 0.1, "429,retry-after:1s": 0.05, "reset": 0.01}
	s, again, other := NewScript(&scenario.Upstream{Odds: odds}, 3), NewScript(&scenario.Upstream{Odds: odds}, 3), NewScript(&scenario.Upstream{Odds: odds}, 4)
	got := make(map[string]int)
	differ := 0
	for n := range uint64(calls) {
		a := s.Answer(0, n, 0)
		if b := again.Answer(5, n, time.Hour); b.Status != a.Status || b.Reset != a.Reset {
			t.Fatalf("call %d is answered %+v and %+v by the same seed", n, a, b)
		}
		if b := other.Answer(0, n, 0); b.Status != a.Status {
			differ++
		}
		switch {
		case a.Reset:
			got["reset"]++
		case a.Status == 429 && a.Header.Get("Retry-After") == "1":
			got["429,retry-after:1s"]++
		case a.Status == 503:
			got["503"]++
		case a.Status != 200:
			t.Fatalf("call %d is answered %+v", n, a)
		}
	}
	for kind, p := range odds {
		want, dev := calls*float64(p), 5*math.Sqrt(calls*float64(p)*(1-float64(p)))
		if math.Abs(float64(got[kind])-want) > dev {
			t.Errorf("%s came %d times of %d, want %.0f ± %.0f", kind, got[kind], calls, want, dev)
		}
	}
	if differ < calls/10 {
		t.Errorf("another seed differs in %d of %d calls", differ, calls)
	}
}

func TestBodiesOfAnUpstream(t *testing.T) {
	stream := &scenario.LLMStream{Dialect: scenario.DialectAnthropic, Tokens: scenario.Always(2)}
	for _, tc := range []struct {
		name     string
		upstream scenario.Upstream
		stream   bool
		body     string
	}{
		{"webhook", scenario.Upstream{}, false, "ok"},
		{"scripted", scenario.Upstream{Replies: []scenario.Reply{{Status: 200}}}, false, ""},
		{"stream", scenario.Upstream{Stream: stream}, true, ""},
		{"failed stream", scenario.Upstream{Stream: stream, Replies: []scenario.Reply{{Status: 529}}}, false, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`},
		{"overloaded chat", scenario.Upstream{Stream: &scenario.LLMStream{Dialect: scenario.DialectOpenAI}, Replies: []scenario.Reply{{Status: 529}}}, false, `{"error":{"message":"Overloaded","type":"server_error","param":null,"code":null}}`},
		{"failed chat", scenario.Upstream{Stream: &scenario.LLMStream{Dialect: scenario.DialectOpenAI}, Replies: []scenario.Reply{{Status: 429}}}, false, `{"error":{"message":"Too Many Requests","type":"rate_limit_exceeded","param":null,"code":null}}`},
		{"nothing to stream", scenario.Upstream{Stream: stream, Replies: []scenario.Reply{{Status: http.StatusNoContent}}}, false, ""},
	} {
		a := NewScript(&tc.upstream, 1).Answer(0, 0, 0)
		if (a.Stream != nil) != tc.stream || !bytes.Equal(a.Body, []byte(tc.body)) {
			t.Errorf("%s: stream %v, body %q", tc.name, a.Stream != nil, a.Body)
		}
		if kind := a.Header.Get("Content-Type"); tc.stream && !strings.HasPrefix(kind, "text/event-stream") {
			t.Errorf("%s: Content-Type %q", tc.name, kind)
		}
	}
}

// Whatever the script, a call gets one of its replies, or 200.
func TestAnswersAreTheScripts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := &scenario.Upstream{}
		for _, text := range rapid.SliceOfN(rapid.SampledFrom([]string{"200", "503", "404", "reset", "hang"}), 0, 4).Draw(t, "replies") {
			r, err := scenario.ParseReply(text)
			if err != nil {
				t.Fatal(err)
			}
			u.Replies = append(u.Replies, r)
		}
		nth := rapid.IntRange(-3, 10).Draw(t, "nth")
		a := NewScript(u, rapid.Uint64().Draw(t, "seed")).Answer(nth, rapid.Uint64().Draw(t, "draw"), time.Duration(rapid.Int64().Draw(t, "elapsed")))
		want := scenario.Reply{Status: 200}
		if n := len(u.Replies); n > 0 {
			want = u.Replies[min(max(nth, 0), n-1)]
		}
		if got := (scenario.Reply{Status: a.Status, Reset: a.Reset, Hang: a.Hang}); got != want {
			t.Fatalf("call %d of %v is answered %v", nth, u.Replies, got)
		}
	})
}
