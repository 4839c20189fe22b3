package sink

import (
	"bufio"
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
	"github.com/edgeload/edgeload/internal/loadgen/stream"
	"github.com/edgeload/edgeload/internal/wire"
)

// streaming is a handler that answers every call by a stream.
func streaming(l *scenario.LLMStream) Handler {
	s := NewScript(&scenario.Upstream{Stream: l}, 1)
	return handlerFunc(func(*Call) Answer { return s.Answer(0, 0, 0) })
}

// Both dialects are what loadgen's own decoder takes for a whole answer.
func TestStreamsAreWhole(t *testing.T) {
	for dialect, decoded := range map[scenario.Dialect]stream.Dialect{
		scenario.DialectAnthropic: stream.Anthropic, scenario.DialectOpenAI: stream.OpenAI,
	} {
		s := opened(t, Options{}, streaming(&scenario.LLMStream{Dialect: dialect, Tokens: scenario.Always(20)}))
		c, buf := dialed(t, s)
		for range 2 { // the connection is kept
			resp, body := exchange(t, c, buf, "POST", "POST /jobs/v1 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789")
			if resp.Close || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
				t.Errorf("%s: close %v, headers %v", dialect, resp.Close, resp.Header)
			}
			checkStream(t, decoded, body, 20)
		}
		old, buf := dialed(t, s)
		resp, body := exchange(t, old, buf, "POST", "POST /jobs HTTP/1.0\r\n\r\n")
		if len(resp.TransferEncoding) > 0 {
			t.Errorf("%s: HTTP/1.0 is sent chunks", dialect)
		}
		checkStream(t, decoded, body, 20)
	}
}

// checkStream reads a stream of so many tokens.
func checkStream(t *testing.T, dialect stream.Dialect, body string, want int) {
	t.Helper()
	decoder := stream.NewDecoder(stream.Auto, &stream.Scratch{})
	var parser stream.Parser
	tokens, stamps, events := 0, 0, 0
	var last stream.Reading
	usage := int64(-1)
	err := parser.Feed([]byte(body), func(e stream.Event) {
		if _, ok := wire.ParseStamp(e.Comment); ok {
			stamps++
		}
		events++
		if last = decoder.Decode(e); last.Failed {
			t.Errorf("event %q failed", e.Data)
		}
		if last.Token == stream.Content {
			tokens++
		}
		if last.HasUsage {
			usage = last.OutputTokens
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if decoder.Dialect() != dialect || tokens != want || usage != int64(want) || !last.Terminal || stamps != events {
		t.Errorf("%v: %d tokens, usage of %d, terminal %v, %d stamps of %d events; want %d tokens", decoder.Dialect(), tokens, usage, last.Terminal, stamps, events, want)
	}
}

// Each token comes at its own instant, counted from the call's last byte and the delay;
// one that could not be written in time does not move those behind it.
func TestTokensComeOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		script := NewScript(&scenario.Upstream{
			Delay:  scenario.Every(time.Second),
			Stream: &scenario.LLMStream{TTFT: scenario.Every(300 * time.Millisecond), Gap: scenario.Every(20 * time.Millisecond), Tokens: scenario.Always(30)},
		}, 1)
		s := bubbled(t, handlerFunc(func(*Call) Answer { return script.Answer(0, 0, 0) }))
		defer s.quit()
		client, done := pipe(s)
		defer done()
		begin := time.Now()
		if _, err := io.WriteString(client, "POST /jobs HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReaderSize(client, 16), nil)
		if err != nil {
			t.Fatal(err)
		}
		if head := time.Since(begin); head != time.Second {
			t.Errorf("the head came after %v", head)
		}
		lines := bufio.NewScanner(resp.Body)
		var sent time.Duration
		n := 0
		for lines.Scan() {
			if ns, ok := wire.ParseStamp(bytes.TrimPrefix(lines.Bytes(), []byte(":"))); ok {
				sent = time.Duration(ns - begin.UnixNano())
			}
			if !bytes.Contains(lines.Bytes(), []byte("text_delta")) {
				continue
			}
			due := 1300*time.Millisecond + time.Duration(n)*20*time.Millisecond
			// A reader that pauses from the tenth token on holds up the write of the next.
			if late := time.Since(begin) - due; n != 10 && n != 11 && late != 0 {
				t.Errorf("token %d came %v late", n, late)
			}
			if sent > time.Since(begin) || n < 10 && sent != due {
				t.Errorf("token %d: stamp of %v, due %v", n, sent, due)
			}
			if n == 9 {
				time.Sleep(50 * time.Millisecond)
			}
			n++
		}
		if err := lines.Err(); err != nil || n != 30 {
			t.Errorf("%d tokens, %v", n, err)
		}
	})
}

// A stream ends with its caller.
func TestStreamsOfCallersThatGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bubbled(t, streaming(&scenario.LLMStream{TTFT: scenario.Every(time.Hour), Tokens: scenario.Always(1)}))
		defer s.quit()
		client, done := pipe(s)
		if _, err := io.WriteString(client, "POST /jobs HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := http.ReadResponse(bufio.NewReader(client), nil); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		go func() { _, _ = io.Copy(io.Discard, client) }()
		time.Sleep(time.Second)
		done()
		if a := s.Take(); a.Unanswered != 1 || time.Since(begin) != time.Second {
			t.Errorf("after %v: account %+v", time.Since(begin), a)
		}
	})
}

// What a call draws is its own: the same again for the same number.
func TestStreamsRepeat(t *testing.T) {
	lognormal, err := scenario.ParseTimeDist("lognormal:200ms,0.5")
	if err != nil {
		t.Fatal(err)
	}
	counts, err := scenario.ParseCountDist("uniform:1,1000")
	if err != nil {
		t.Fatal(err)
	}
	l := &scenario.LLMStream{TTFT: lognormal, Gap: lognormal, Tokens: counts}
	draw := func(n uint64) *Stream { return newStream(l, rand.New(rand.NewPCG(n, n))) }
	a, b, c := draw(1), draw(1), draw(2)
	if a.ttft != b.ttft || a.tokens != b.tokens || a.id != b.id || a.gap.Draw(a.rng) != b.gap.Draw(b.rng) {
		t.Errorf("%+v and %+v", a, b)
	}
	if a.ttft == c.ttft && a.tokens == c.tokens || a.id == c.id {
		t.Errorf("different calls draw the same: %+v", c)
	}
}

// A stream whose caller reads nothing ends with its handler, and is counted by then.
func TestRemoveWaitsForItsCalls(t *testing.T) {
	s, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	calls := make(chan struct{}, 1)
	endless := streaming(&scenario.LLMStream{Tokens: scenario.Always(1_000_000)})
	remove, err := s.Handle("jobs", handlerFunc(func(c *Call) Answer { calls <- struct{}{}; return endless.Serve(c) }))
	if err != nil {
		t.Fatal(err)
	}
	c, _ := dialed(t, s)
	if _, err := io.WriteString(c, "POST /jobs HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-calls
	time.Sleep(200 * time.Millisecond) // until the buffers of both sides are full
	begin := time.Now()
	remove()
	if a, took := s.Take(), time.Since(begin); a.Unanswered != 1 || took > writeLimit/2 {
		t.Errorf("after %v: account %+v", took, a)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
