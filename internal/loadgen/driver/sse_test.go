package driver

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

func TestRoleOnlyFirstChunk(t *testing.T) {
	f := sseRun{target: serve(t, script(step{0, role}, step{150 * ms, content("a")}, step{20 * ms, content("b") + usage(2) + end}))}.do(t)
	f.counts(map[string]float64{"streams": 1, "complete": 1, "chunks": 2, "connections": 1})
	f.between("ttft_service", 150*ms, 150*ms+slack)
	f.apart("first_event", "ttft_service", 100*ms)
	f.apart("ttfb", "ttft_service", 100*ms)
	f.samples(map[string]int64{"ttft": 1, "ttft{conn=new}": 1, "dial": 1, "dns": 0, "tls": 0, "tpot": 1})
}

func TestReasoningFirst(t *testing.T) {
	f := sseRun{target: serve(t, script(step{0, role}, step{30 * ms, reasoning("h")}, step{150 * ms, content("a") + end}))}.do(t)
	f.counts(map[string]float64{"streams": 1, "complete": 1, "chunks": 2})
	f.between("ttft_service", 30*ms, 30*ms+slack)
	f.between("ttfo", 180*ms, 180*ms+slack)
	f.between("thinking", 100*ms, 150*ms+slack)
	f.apart("ttft_service", "ttfo", 100*ms)
}

func TestCutInTheMiddle(t *testing.T) {
	begun := anthropicHead + textDelta("a")
	for name, h := range map[string]http.HandlerFunc{
		"orderly end of the body": script(step{0, begun}),
		"connection closed": func(w http.ResponseWriter, r *http.Request) {
			script(step{0, begun})(w, r)
			panic(http.ErrAbortHandler)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := sseRun{target: serve(t, h), dialect: scenario.DialectAnthropic}.do(t)
			f.counts(map[string]float64{"streams": 1, "truncated": 1, "failed": 1, "chunks": 1})
			f.failed(classTruncated, "after 1 content chunks")
			f.samples(map[string]int64{"ttft": 1, "e2e": 0})
		})
		t.Run(name+", HTTP/2", func(t *testing.T) {
			f := sseRun{target: startTLS(t, h).URL, insecure: true}.do(t)
			f.counts(map[string]float64{"streams": 1, "truncated": 1, "failed": 1, "chunks": 1})
			f.failed(classTruncated)
		})
	}
	t.Run("without an event", func(t *testing.T) {
		f := sseRun{target: serve(t, script())}.do(t)
		f.counts(map[string]float64{"streams": 1, "truncated": 1, "failed": 1})
	})
}

func TestErrorPassedOnWithoutFraming(t *testing.T) {
	f := sseRun{target: serve(t, script(step{0, `{"type":"error","error":{"type":"overloaded_error"}}`}))}.do(t)
	f.counts(map[string]float64{"streams": 1, "truncated": 1, "failed": 1})
	f.failed(classTruncated, "before the first event", "overloaded_error")
}

// What net/http hands over in two reads may have come in one: the socket's
// instant counts.
func TestTwoChunksInOneRead(t *testing.T) {
	chunk := func(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }
	head := "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	addr := misbehave(t, answering(head+chunk(content("a"))+chunk(content("b"))+chunk(end)+"0\r\n\r\n", closeConn))
	f := sseRun{target: "http://" + addr}.do(t)
	f.counts(map[string]float64{"streams": 1, "complete": 1, "chunks": 2, "coalesced": 2, "fake_streaming": 1})
	f.values("itl", 0, 0)
	f.samples(map[string]int64{"events_per_read": 1})
}

func TestInBandError(t *testing.T) {
	f := sseRun{target: serve(t, script(step{0, anthropicHead + textDelta("a")},
		step{10 * ms, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n" + anthropicTail}))}.do(t)
	f.counts(map[string]float64{"streams": 1, "in_band_error": 1, "failed": 1, "chunks": 1, "late_events": 2})
	f.failed(classInBand, "overloaded_error: Overloaded")
}

func TestEverythingAtOnce(t *testing.T) {
	f := sseRun{target: serve(t, script(step{50 * ms, anthropicHead + strings.Repeat(textDelta("a"), 10) + anthropicTail}))}.do(t)
	f.counts(map[string]float64{"streams": 1, "complete": 1, "fake_streaming": 1, "chunks": 10, "coalesced": 10, "tokens_out": 5})
	if m := f.metrics["fake_ratio"]; m.Value != 1 {
		t.Errorf("fake_ratio is %v", m.Value)
	}
	f.samples(map[string]int64{"events_per_read": 1, "itl": 9})
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		name, class, example string
		h                    http.HandlerFunc
	}{
		{"500", "http 500", "WORKER_ERROR", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, `{"code":"WORKER_ERROR","message":"boom"}`)
		}},
		{"429", "http 429", "slow down", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "slow down", http.StatusTooManyRequests) }},
		{"redirect", "http 302", "302 Found", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) }},
		{"no content", "http 204", "204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }},
		{"JSON", classNotStream, `application/json: {"text":"hi"}`, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"text":"hi"}`)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := sseRun{target: serve(t, tt.h), n: 3}.do(t)
			f.counts(map[string]float64{"streams": 3, "http_error": 3, "failed": 3, "connections": 1})
			f.failed(tt.class, tt.example)
			f.samples(map[string]int64{"ttfb": 0, "ttft": 0, "first_event": 0})
		})
	}
}

func TestLongRefusalIsBounded(t *testing.T) {
	f := sseRun{target: serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadGateway)
		for range 100 {
			_, _ = io.WriteString(w, strings.Repeat("x", 10_000))
		}
	}))}.do(t)
	f.counts(map[string]float64{"streams": 1, "http_error": 1, "failed": 1})
	if n := len(f.errors["http 502"].Example); n > maxExample {
		t.Errorf("an example of %d bytes", n)
	}
	if n := f.metrics["bytes_in"].Value; n > 100_000 {
		t.Errorf("%v bytes read", n)
	}
}

func TestTimeouts(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"no headers":   func(_ http.ResponseWriter, r *http.Request) { pause(r.Context(), 5*time.Second) },
		"no event":     script(step{5 * time.Second, "data: x\n\n"}),
		"no next word": script(step{0, textDelta("a")}, step{5 * time.Second, "data: x\n\n"}),
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			f := sseRun{target: serve(t, h), timeout: 80 * ms}.do(t)
			f.counts(map[string]float64{"streams": 1, "timeout": 1, "failed": 1})
			f.failed(classTimeout, "timeout of the workload")
			if d := time.Since(began); d > 80*ms+slack+time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
	t.Run("no connection", func(t *testing.T) {
		addr := misbehave(t, func(c *net.TCPConn) { readRequest(c); closeConn(c) })
		f := sseRun{target: "https://" + addr, timeout: 80 * ms}.do(t)
		f.counts(map[string]float64{"streams": 1, "timeout": 1, "failed": 1})
	})
}

func TestConnectionErrors(t *testing.T) {
	head := "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
	for _, tt := range []struct{ name, target, class string }{
		{"refused", "http://" + refusing(t), classRefused},
		{"reset before the answer", "http://" + misbehave(t, answering("", reset)), classReset},
		{"reset in the middle", "http://" + misbehave(t, answering(head+textDelta("a"), reset)), classReset},
		{"no HTTP at all", "http://" + misbehave(t, answering("SSH-2.0-OpenSSH_9.2\r\n\r\n", closeConn)), classProtocol},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := sseRun{target: tt.target, request: scenario.Request{Method: http.MethodGet, Path: "/"}, timeout: 2 * time.Second}.do(t)
			f.counts(map[string]float64{"streams": 1, "connection_error": 1, "failed": 1})
			f.failed(tt.class)
		})
	}
}

func TestEventBeyondTheLimit(t *testing.T) {
	f := sseRun{target: serve(t, script(step{0, "data: "}, step{0, strings.Repeat("x", 1<<20+1)}, step{0, "\n\n"}))}.do(t)
	f.counts(map[string]float64{"streams": 1, "connection_error": 1, "failed": 1})
	f.failed(classProtocol, "event too large")
}

func TestUnfinishedAtTheEndOfTheDrain(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f := sseRun{ctx: ctx, target: serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		script(step{0, textDelta("a")})(w, r)
		cancel()
		pause(r.Context(), 5*time.Second)
	}))}.do(t)
	f.counts(map[string]float64{"streams": 1, "unfinished": 1, "failed": 1})
	f.failed(classUnfinished)
}

func TestSlowHeaders(t *testing.T) {
	f := sseRun{target: serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pause(r.Context(), 100*ms)
		script(step{0, content("a") + end})(w, r)
	}))}.do(t)
	f.counts(map[string]float64{"streams": 1, "complete": 1})
	f.between("ttfb", 100*ms, 100*ms+slack)
	f.between("ttft_service", 100*ms, 100*ms+slack)
}

func TestLineEnds(t *testing.T) {
	wire := "\ufeff" + anthropicHead + textDelta("a") + textDelta("b") + anthropicTail
	for name, lineEnd := range map[string]string{"LF": "\n", "CRLF": "\r\n", "CR": "\r"} {
		t.Run(name, func(t *testing.T) {
			var steps []step
			for rest := strings.ReplaceAll(wire, "\n", lineEnd); rest != ""; {
				n := min(7, len(rest))
				steps = append(steps, step{ms, rest[:n]})
				rest = rest[n:]
			}
			f := sseRun{target: serve(t, script(steps...))}.do(t)
			f.counts(map[string]float64{"streams": 1, "complete": 1, "chunks": 2, "tokens_out": 5})
		})
	}
}

func TestHTTPVersions(t *testing.T) {
	var (
		mu   sync.Mutex
		seen []string
	)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = append(seen, r.Proto)
		mu.Unlock()
		script(step{0, role}, step{30 * ms, content("a")}, step{30 * ms, content("b")}, step{0, end})(w, r)
	})
	cleartext := httptest.NewUnstartedServer(h)
	cleartext.Config.Protocols = new(http.Protocols)
	cleartext.Config.Protocols.SetUnencryptedHTTP2(true)
	cleartext.Start()
	t.Cleanup(cleartext.Close)

	for _, tt := range []struct {
		name, target, want string
		http2              bool
		tls                int64
	}{
		{"HTTP/1.1", serve(t, h), "HTTP/1.1", false, 0},
		{"HTTP/2 in cleartext", cleartext.URL, "HTTP/2.0", true, 0},
		{"HTTP/2 by ALPN", startTLS(t, h).URL, "HTTP/2.0", true, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			seen = nil
			f := sseRun{target: tt.target, http2: tt.http2, insecure: true, n: 3}.do(t)
			overHTTP2 := float64(0)
			if tt.want == "HTTP/2.0" {
				overHTTP2 = 3
			}
			f.counts(map[string]float64{"streams": 3, "complete": 3, "chunks": 6, "connections": 1, "http2": overHTTP2})
			f.samples(map[string]int64{"ttft{conn=new}": 1, "ttft{conn=reused}": 2, "dial": 1, "tls": tt.tls, "ttfb": 3})
			f.between("ttft_service", 30*ms, 30*ms+slack)
			f.between("ttfb", 0, slack)
			f.between("itl", 10*ms, 30*ms+slack)
			for _, proto := range seen {
				if proto != tt.want {
					t.Errorf("the server saw %s", proto)
				}
			}
		})
	}
}

func TestTLSOverHTTP1(t *testing.T) {
	s := httptest.NewUnstartedServer(script(step{0, content("a")}, step{20 * ms, content("b") + end}))
	s.StartTLS()
	t.Cleanup(s.Close)
	f := sseRun{target: s.URL, insecure: true, n: 2}.do(t)
	f.counts(map[string]float64{"streams": 2, "complete": 2, "connections": 1})
	f.samples(map[string]int64{"tls": 1, "itl": 2})
}

func TestStreamThatStaysOpenAfterItsEnd(t *testing.T) {
	began := time.Now()
	f := sseRun{target: serve(t, script(step{0, content("a") + end}, step{5 * time.Second, "data: late\n\n"}))}.do(t)
	f.counts(map[string]float64{"streams": 1, "complete": 1})
	if d := time.Since(began); d > linger+slack+time.Second {
		t.Errorf("took %v", d)
	}
}

func TestTextEndsWithTheBody(t *testing.T) {
	f := sseRun{target: serve(t, script(step{0, "data: hello\n\n"}, step{20 * ms, "data: world\n\n"}, step{30 * ms, ": bye\n\n"}))}.do(t)
	f.counts(map[string]float64{"streams": 1, "complete": 1, "chunks": 2})
	f.between("close_lag", 5*ms, 30*ms+slack)
}

func TestWhatIsSent(t *testing.T) {
	type sent struct{ method, uri, host, body, prompt, contentType, accept, encoding, agent string }
	var got []sent
	target := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, sent{r.Method, r.RequestURI, r.Host, string(body), r.Header.Get("X-Prompt"), r.Header.Get("Content-Type"),
			r.Header.Get("Accept"), r.Header.Get("Accept-Encoding"), r.Header.Get("User-Agent")})
		script(step{0, content("a") + end})(w, r)
	}))
	f := sseRun{target: target, n: 2, request: scenario.Request{
		Path:    "/v1/{{ .Workload }}?seq={{ .Seq }}",
		Headers: map[string]string{"x-prompt": "{{ .RunID }}/{{ .Seq }}", "host": "edge.example"},
		Body:    `{"prompt": {{ json .RunID }}}`,
	}}.do(t)
	f.counts(map[string]float64{"streams": 2, "complete": 2, "bytes_out": 2 * 16})
	g := sseRun{target: target, request: scenario.Request{Path: "/get", Headers: map[string]string{"User-Agent": "mine"}}}.do(t)
	g.counts(map[string]float64{"streams": 1, "complete": 1, "bytes_out": 0})

	host := strings.TrimPrefix(target, "http://")
	want := []sent{
		{"POST", "/v1/chat?seq=0", "edge.example", `{"prompt": "r1"}`, "r1/0", "application/json", "text/event-stream", "", userAgent},
		{"POST", "/v1/chat?seq=1", "edge.example", `{"prompt": "r1"}`, "r1/1", "application/json", "text/event-stream", "", userAgent},
		{"GET", "/get", host, "", "", "", "text/event-stream", "", "mine"},
	}
	if len(got) != len(want) {
		t.Fatalf("%d requests", len(got))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("request %d is\n%+v, want\n%+v", i, got[i], want[i])
		}
	}
}

func TestFeed(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "prompts.csv"), []byte("prompt\nfirst\nsecond\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var got []string
	target := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, string(body))
		script(step{0, content("a") + end})(w, r)
	}))
	f := sseRun{target: target, n: 3, dir: dir, feed: &scenario.Feed{File: "prompts.csv"}, request: scenario.Request{
		Path: "/", Body: "{{ .Feed.prompt }}",
	}}.do(t)
	f.counts(map[string]float64{"streams": 3, "complete": 3})
	if want := []string{"first", "second", "first"}; !slices.Equal(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
}

func TestCompressedAnswerIsNotUnpacked(t *testing.T) {
	f := sseRun{target: serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, content("a")+end)
		_ = z.Close()
	}))}.do(t)
	f.counts(map[string]float64{"streams": 1, "truncated": 1, "failed": 1})
}

func TestRequestThatCannotBeMade(t *testing.T) {
	f := sseRun{target: "http://127.0.0.1:1", request: scenario.Request{Path: "/{{ .Feed.nobody }}"}}.do(t)
	f.counts(map[string]float64{"streams": 1, "not_sent": 1, "failed": 1})
	f.failed(classTemplate, "path")
}

func TestWarmupIsNotCounted(t *testing.T) {
	f := sseRun{target: serve(t, script(step{0, content("a") + end})), warmup: time.Hour, n: 2}.do(t)
	f.counts(map[string]float64{"streams": 0})
	for _, b := range f.balances {
		if b.Left != 0 || b.Right != 0 {
			t.Errorf("%+v", b)
		}
	}
}

func TestManyStreamsAtOnce(t *testing.T) {
	target := serve(t, script(step{30 * ms, anthropicHead + textDelta("a")}, step{20 * ms, textDelta("b")}, step{20 * ms, anthropicTail}))
	d, err := newSSE(opening{scenario: &scenario.Scenario{Target: target, Seed: 1}, name: "chat", workload: &scenario.Workload{
		Request: &scenario.Request{Path: "/", Body: "{}"}, Timeout: scenario.Duration(10 * time.Second),
	}})
	if err != nil {
		t.Fatal(err)
	}
	clock, rec := engine.NewClock(), engine.NewRecorder(sseMetrics(), 0)
	if err := d.Begin(engine.Run{Clock: clock}); err != nil {
		t.Fatal(err)
	}
	const users, each = 50, 4
	var wg sync.WaitGroup
	for u := range users {
		wg.Go(func() {
			for i := range each {
				now := clock.Now()
				if !arrive(t.Context(), d, engine.Arrival{Seq: uint64(u*each + i), User: u, Intended: now, Started: now}, rec) {
					t.Error("a stream failed")
				}
			}
		})
	}
	wg.Wait()
	d.End(rec)
	f := collect(t, rec)
	f.counts(map[string]float64{"streams": users * each, "complete": users * each, "chunks": 2 * users * each, "tokens_out": 5 * users * each})
	f.samples(map[string]int64{"ttft": users * each, "itl": users * each, "tpot": users * each})
	if n := f.metrics["connections"].Value; n < users || n > 2*users {
		t.Errorf("%v connections for %d users", n, users)
	}
	if f.metrics["complete_ratio"].Kind != result.Ratio || f.metrics["complete_ratio"].Value != 1 {
		t.Errorf("%+v", f.metrics["complete_ratio"])
	}
}

func TestNewSSERejects(t *testing.T) {
	for name, tt := range map[string]struct {
		target string
		w      scenario.Workload
	}{
		"no request":      {"http://127.0.0.1", scenario.Workload{}},
		"bad target":      {"http://[", scenario.Workload{Request: &scenario.Request{Path: "/"}}},
		"other scheme":    {"ftp://127.0.0.1", scenario.Workload{Request: &scenario.Request{Path: "/"}}},
		"bad template":    {"http://127.0.0.1", scenario.Workload{Request: &scenario.Request{Path: "/", Body: "{{ .Nothing"}}},
		"bad path":        {"http://127.0.0.1", scenario.Workload{Request: &scenario.Request{Path: "{{ if }}"}}},
		"bad header":      {"http://127.0.0.1", scenario.Workload{Request: &scenario.Request{Path: "/", Headers: map[string]string{"A": "{{"}}}},
		"feed not there":  {"http://127.0.0.1", scenario.Workload{Request: &scenario.Request{Path: "/"}, Feed: &scenario.Feed{File: "nowhere.csv"}}},
		"target no host":  {"http:///x", scenario.Workload{Request: &scenario.Request{Path: "/"}}},
		"target relative": {"/x", scenario.Workload{Request: &scenario.Request{Path: "/"}}},
	} {
		if _, err := newSSE(opening{scenario: &scenario.Scenario{Target: tt.target, Dir: t.TempDir()}, name: "chat", workload: &tt.w}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestSSEMetricsAreDeclared(t *testing.T) {
	names := make(map[string]bool)
	for id, m := range sseMetrics() {
		if m.Name == "" || m.Help == "" || names[m.Name] {
			t.Errorf("metric %d is %+v", id, m)
		}
		names[m.Name] = true
	}
}
