package e2e_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sent writes one flushed piece of an event stream after another, pausing between.
func sent(pause time.Duration, pieces ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i, p := range pieces {
			if i > 0 && pause > 0 {
				wait(pause)
			}
			if p == "CUT" {
				panic(http.ErrAbortHandler)
			}
			if _, err := w.Write([]byte(p)); err != nil {
				return
			}
			if pause > 0 {
				if err := http.NewResponseController(w).Flush(); err != nil {
					return
				}
			}
		}
	}
}

func openAI(delta string) string {
	return `data: {"choices":[{"index":0,"delta":` + delta + `}]}` + "\n\n"
}

const (
	finish = `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
	done   = "data: [DONE]\n\n"
)

// Streams that a plain client takes for the same must be told apart.
func TestStreamsAreToldApart(t *testing.T) {
	word, role := openAI(`{"content":"word "}`), openAI(`{"role":"assistant","content":""}`)
	think := openAI(`{"reasoning_content":"hm "}`)
	inBand := `event: error` + "\n" + `data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}` + "\n\n"
	for _, tc := range []struct {
		name, dialect string
		handler       http.HandlerFunc
		counters      map[string]float64 // of 20 streams
		says          string             // a pattern of the text report
		check         func(*testing.T, loadgenRun)
	}{
		{
			name: "role-only first chunk", dialect: "openai",
			handler:  sent(40*time.Millisecond, role, "", "", word, word, finish+done),
			counters: map[string]float64{"complete": 20, "fake_streaming": 0},
			says:     "first event bare *20 ",
			check: func(t *testing.T, r loadgenRun) {
				w := r.workload(t, "chat")
				first, ttft := quantile(t, w, "first_event", .5), quantile(t, w, "ttft", .5)
				if first > 30*time.Millisecond || ttft < 115*time.Millisecond {
					t.Errorf("first event %v, first token %v; want at once and after 120 ms", first, ttft)
				}
			},
		},
		{
			name: "reasoning first", dialect: "openai",
			handler:  sent(40*time.Millisecond, think, think, think, word, word, finish+done),
			counters: map[string]float64{"complete": 20},
			says:     "reasoning first *20 ",
			check: func(t *testing.T, r loadgenRun) {
				w := r.workload(t, "chat")
				if d := quantile(t, w, "thinking", .5); d < 110*time.Millisecond || d > 160*time.Millisecond {
					t.Errorf("thinking time %v, want about 120 ms", d)
				}
			},
		},
		{
			name: "cut in the middle", dialect: "openai",
			handler:  sent(20*time.Millisecond, role, word, word, "CUT"),
			counters: map[string]float64{"complete": 0, "truncated": 20},
			says:     `truncated *20 \(100 %\)`,
		},
		{
			name: "in-band error after 200", dialect: "anthropic",
			handler:  sent(20*time.Millisecond, `data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"a"}}`+"\n\n", inBand),
			counters: map[string]float64{"complete": 0, "in_band_error": 20, "truncated": 0},
			says:     `(?s)in-band error *20 \(100 %\).*overloaded_error`,
		},
		{
			name: "all tokens at once", dialect: "openai",
			handler:  sent(0, role, word, word, word, finish+done),
			counters: map[string]float64{"complete": 20, "fake_streaming": 20},
			says:     `fake streaming *20 \(100 %\)`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			target := httptest.NewServer(tc.handler)
			defer target.Close()
			run := loadgen(t, fmt.Sprintf(`
version: 1
name: told-apart
target: %s
duration: 2s
workloads:
  chat:
    protocol: sse
    dialect: %s
    load: {rate: 10/s}
    request: {method: POST, path: /v1/chat/completions, body: '{}'}
`, target.URL, tc.dialect), nil)
			w := run.workload(t, "chat")
			balanced(t, run.Result)
			for name, want := range tc.counters {
				if got := metric(t, w, name).Value; got != want {
					t.Errorf("%s = %v, want %v", name, got, want)
				}
			}
			if !regexp.MustCompile(tc.says).MatchString(run.Stdout) {
				t.Errorf("the report does not say %q:\n%s", tc.says, run.Stdout)
			}
			if tc.check != nil {
				tc.check(t, run)
			}
		})
	}
}

// A target that fails is reported by class, and the run ends on time.
func TestFailingTargets(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refuses := "http://" + closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	resets := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset instead of an orderly end
		}
		_ = conn.Close()
	}))
	defer resets.Close()
	answers500 := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "database is down", http.StatusInternalServerError)
	}))
	defer answers500.Close()
	released := make(chan struct{})
	hangs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-released }))
	defer hangs.Close()
	defer close(released)

	for _, tc := range []struct{ name, url, class string }{
		{"refuses", refuses, "connection refused"},
		{"resets", resets.URL, "connection reset"},
		{"answers 500", answers500.URL, "http 500"},
		{"hangs", hangs.URL, "timeout"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			run := loadgen(t, fmt.Sprintf(`
version: 1
name: failing
target: %s
duration: 2s
drain: 3s
workloads:
  chat:
    protocol: sse
    load: {rate: 20/s}
    timeout: 1s
    request: {method: POST, path: /functions/v1/stream-ai, body: '{}'}
  rooms:
    protocol: websocket
    load: {users: 10}
    timeout: 1s
    room: {path: '/functions/v1/ws-relay?room={{ .Room }}', members: 5, publish: 2/s}
thresholds:
  chat.ttft: ['p(95) < 1s']
  rooms.fanout: ['p(95) < 1s']
`, tc.url), nil)
			if run.Code != 99 {
				t.Errorf("exit code %d, want 99: a threshold with no data fails\n%s\n%s", run.Code, run.Stdout, run.Stderr)
			}
			if run.Took > 8*time.Second {
				t.Errorf("a run of 2 s + 3 s drain took %v", run.Took)
			}
			balanced(t, run.Result)
			for name, want := range map[string]int64{"chat": 40, "rooms": 10} {
				var got int64
				for _, e := range run.workload(t, name).Errors {
					if e.Class == tc.class {
						got += e.Count
						if e.Example == "" {
							t.Errorf("%s: class %q has no example", name, e.Class)
						}
					}
				}
				if got != want {
					t.Errorf("%s: %d errors of class %q, want %d: %+v", name, got, tc.class, want, run.workload(t, name).Errors)
				}
			}
			if !strings.Contains(run.Stdout, tc.class) {
				t.Errorf("the report does not name the class:\n%s", run.Stdout)
			}
		})
	}
}

// The first SIGINT drains and still writes everything.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	run := loadgen(t, chatYAML(s.URL, "20/s", "1h")+`
  rooms:
    protocol: websocket
    load: {users: 20}
    room: {path: '/functions/v1/ws-relay?room={{ .Room }}', members: 10, publish: 5/s}
`, func(p *os.Process) {
		wait(3 * time.Second)
		if err := p.Signal(syscall.SIGINT); err != nil {
			t.Error(err)
		}
	})
	if run.Code != 105 || run.Result == nil || !run.Result.Interrupted {
		t.Fatalf("exit code %d, want 105 and a result\n%s\n%s", run.Code, run.Stdout, run.Stderr)
	}
	if run.Took > 12*time.Second {
		t.Errorf("took %v after an interrupt at 3 s", run.Took)
	}
	if n := metric(t, run.workload(t, "chat"), "complete").Value; n < 40 {
		t.Errorf("%v complete streams, want about 60", n)
	}
	if got := metric(t, run.workload(t, "rooms"), "delivery_ratio"); got.Value != 1 || got.Den < 200 {
		t.Errorf("delivery ratio %v of %d, want 1 of about 250", got.Value, got.Den)
	}
	for _, r := range run.Result.Validity.Reasons {
		if r.Check == "little's law" || r.Check == "balance" {
			t.Errorf("the interrupt upset the books: %+v", r)
		}
	}
	if _, err := os.Stat(run.Dir + "/report.html"); err != nil {
		t.Error(err)
	}
	balanced(t, run.Result)
}

// A SIGINT while a scenario drains ends the series: the next one is not begun,
// and the exit code says so.
func TestInterruptInASeries(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--sim-ttft", "constant:20s")
	dir := t.TempDir()
	second := filepath.Join(dir, "second.yaml")
	if err := os.WriteFile(second, []byte(strings.Replace(chatYAML(s.URL, "5/s", "1s"), "name: chat", "name: second", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	run := loadgen(t, chatYAML(s.URL, "5/s", "1s"), func(p *os.Process) {
		wait(2 * time.Second)
		if err := p.Signal(syscall.SIGINT); err != nil {
			t.Error(err)
		}
	}, second)
	if run.Code != 105 || !strings.Contains(run.Stderr, "interrupted: chat, second") || run.Took > 9*time.Second {
		t.Errorf("exit code %d after %v\n%s", run.Code, run.Took, run.Stderr)
	}
	if run.Result == nil || run.Result.Scenario.Name != "chat" || !run.Result.Interrupted {
		t.Errorf("the interrupted run was not kept")
	}
}

// The second SIGINT leaves at once.
func TestSecondInterrupt(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--sim-ttft", "constant:30s")
	start := time.Now()
	run := loadgen(t, chatYAML(s.URL, "5/s", "1h"), func(p *os.Process) {
		wait(2 * time.Second)
		for range 2 {
			if err := p.Signal(syscall.SIGINT); err != nil {
				t.Error(err)
			}
			wait(500 * time.Millisecond)
		}
	})
	if took := time.Since(start); took > 4*time.Second || run.Code == 0 {
		t.Errorf("left after %v with exit code %d; want at once and not 0", took, run.Code)
	}
}
