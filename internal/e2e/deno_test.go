package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgeload/edgeload/internal/service"
)

// denoExe is the Deno that the examples run on, installed once a run.
var denoExe = sync.OnceValues(func() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	return service.InstallDeno(ctx, filepath.Join(bin, "deno"))
})

// startDeno serves the functions of the examples.
func startDeno(t *testing.T, o service.DenoOptions) *service.Deno {
	t.Helper()
	exe, err := denoExe()
	if err != nil {
		t.Fatal(err)
	}
	o.Exe, o.Script = exe, "../../scenarios/examples/deno/main.ts"
	return service.StartDeno(t, o)
}

// post posts JSON to a function and returns its answer.
func post(t *testing.T, url, body string) (status int, answer string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("POST %s: %v", url, err)
	}
	return resp.StatusCode, string(b)
}

// Deno itself, without loadgen. None of these measures time, so they run at once.
func TestDeno(t *testing.T) {
	for name, test := range map[string]func(*testing.T){"functions": denoFunctions, "ends": denoEnds, "cron": denoCron, "check": denoChecks, "repeats": denoRepeats} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// The functions of the examples do what the guide's do, what it gets wrong included.
func denoFunctions(t *testing.T) {
	seen := make(chan struct{}) // closed when the client has the first piece of the stream
	acked := make(chan struct{})
	const first, rest = "event: ping\ndata: {\"type\":\"ping\"}\n\n", "data: {\"type\":\"message_stop\"}\n\n"
	var fails sync.Map // paths that have failed once
	out := newOutside(t, map[string]http.HandlerFunc{
		"/v1/messages": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, first) // the client's bytes tell
			_ = http.NewResponseController(w).Flush()
			if holds(r, seen) {
				_, _ = io.WriteString(w, rest)
			}
		},
		"/slack": func(w http.ResponseWriter, r *http.Request) { holds(r, acked) },
		"/429": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "slow down", http.StatusTooManyRequests)
		},
		"/503-once": func(w http.ResponseWriter, r *http.Request) {
			if _, again := fails.LoadOrStore(r.URL.Path, true); !again {
				w.Header().Set("Retry-After", "5")
				http.Error(w, "away", http.StatusServiceUnavailable)
			}
		},
	})
	d := startDeno(t, service.DenoOptions{Env: out.env()})
	function := d.URL + "/functions/v1/"

	t.Run("stream-ai", func(t *testing.T) {
		resp, err := http.Post(function+"stream-ai", "application/json", strings.NewReader(`{"prompt": "Why?"}`))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got := make([]byte, len(first))
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != first {
			t.Fatalf("first piece %q, %v", got, err)
		}
		close(seen) // the upstream waits for this: nothing is held back
		if b, err := io.ReadAll(resp.Body); err != nil || string(b) != rest {
			t.Errorf("the rest is %q, %v", b, err)
		}
		if resp.Header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("header %v", resp.Header)
		}
		var asked struct {
			Stream   bool
			Messages []struct{ Role, Content string }
		}
		calls := out.at("/v1/messages")
		if err := json.Unmarshal([]byte(calls[0].Body), &asked); err != nil || !asked.Stream || len(asked.Messages) != 1 || asked.Messages[0].Content != "Why?" {
			t.Errorf("the upstream was asked %s, %v", calls[0].Body, err)
		}
	})
	t.Run("ws-relay", func(t *testing.T) {
		resp, err := http.Get(function + "ws-relay")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusUpgradeRequired {
			t.Errorf("without an upgrade: %s", resp.Status)
		}
		a, b, c, elsewhere := join(t, d.URL, "a"), join(t, d.URL, "a"), join(t, d.URL, "a"), join(t, d.URL, "b")
		wait(100 * time.Millisecond) // until the last is in its room
		for i, kind := range []int{websocket.TextMessage, websocket.BinaryMessage} {
			if err := a.WriteMessage(kind, []byte{'x', byte('0' + i)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.WriteMessage(websocket.TextMessage, []byte("from b")); err != nil {
			t.Fatal(err)
		}
		// To all but the sender: whoever got his own would get it before what follows.
		for name, tc := range map[string]struct {
			conn *websocket.Conn
			want []string
		}{"a": {a, []string{"from b"}}, "b": {b, []string{"x0", "x1"}}, "c": {c, []string{"from b", "x0", "x1"}}} {
			if got := received(t, tc.conn, len(tc.want)); !slices.Equal(got, tc.want) {
				t.Errorf("%s got %q, want %q", name, got, tc.want)
			}
		}
		if got := received(t, elsewhere, 1); len(got) > 0 {
			t.Errorf("another room got %q", got)
		}
	})
	t.Run("track-event", func(t *testing.T) {
		status, answer := post(t, function+"track-event", `{"user_id": "ada", "event_type": "signup"}`)
		close(acked) // the job waits for this: the answer did not wait for the job
		if status != http.StatusOK || answer != `{"queued":true}` {
			t.Errorf("answered %d %s", status, answer)
		}
		eventually(t, "the webhook", func() bool { return len(out.at("/slack")) == 1 })
		if got := out.at("/slack")[0].Body; got != `{"text":"User ada triggered signup"}` {
			t.Errorf("the webhook got %s", got)
		}
		if status, answer := post(t, function+"morning-digest", `{}`); status != http.StatusOK || answer != `{"sent":1}` {
			t.Errorf("morning-digest answered %d %s", status, answer)
		}
	})
	t.Run("fetch-with-retry", func(t *testing.T) {
		for _, tc := range []struct {
			url      string
			status   int
			attempts int
			least    time.Duration
		}{
			{out.URL + "/200", 200, 1, 0},
			{out.URL + "/429", 429, 1, 0},                  // is not tried again, whatever Retry-After says
			{out.URL + "/503-once", 200, 2, time.Second},   // after 1 s to 2 s, though Retry-After says 5
			{"http://" + freeAddr(t) + "/gone", 500, 0, 0}, // is not caught
		} {
			begin := time.Now()
			status, answer := post(t, function+"fetch-with-retry", fmt.Sprintf(`{"url": %q}`, tc.url))
			took := time.Since(begin)
			attempts := len(out.at(strings.TrimPrefix(tc.url, out.URL)))
			if status != tc.status || attempts != tc.attempts || took < tc.least || took > tc.least+1900*time.Millisecond {
				t.Errorf("%s: %d %s after %v and %d attempts", tc.url, status, answer, took, attempts)
			}
		}
	})
	if status, _ := post(t, function+"toString", `{}`); status != http.StatusNotFound {
		t.Errorf("no such function: %d", status)
	}
}

// Deno's fetch makes a call again by itself, once and a POST too, where a connection that
// it had kept ends without an answer. So what the function calls an error of the network
// may have been two calls.
func denoRepeats(t *testing.T) {
	out := newOutside(t, map[string]http.HandlerFunc{
		"/cut": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	})
	d := startDeno(t, service.DenoOptions{})
	call := func(path string) int {
		status, _ := post(t, d.URL+"/functions/v1/fetch-with-retry", fmt.Sprintf(`{"url": %q, "method": "POST", "body": "x"}`, out.URL+path))
		return status
	}
	if status := call("/cut"); status != 500 || len(out.at("/cut")) != 1 {
		t.Errorf("on a new connection: %d after %d calls", status, len(out.at("/cut")))
	}
	if status := call("/kept"); status != 200 {
		t.Errorf("answered %d", status)
	}
	if status := call("/cut"); status != 500 || len(out.at("/cut")) != 1+2 {
		t.Errorf("on a kept connection: %d after %d calls", status, len(out.at("/cut"))-1)
	}
}

// Deno runs what it has not checked; so it is asked to.
func denoChecks(t *testing.T) {
	exe, err := denoExe()
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"check", "--unstable-cron", "main.ts"}, {"lint"}, {"fmt", "--check"}} {
		cmd := exec.CommandContext(t.Context(), exe, args...)
		cmd.Dir = "../../scenarios/examples/deno"
		cmd.Env = append(os.Environ(), "DENO_DIR="+t.TempDir(), "DENO_NO_UPDATE_CHECK=1", "NO_COLOR=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("deno %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// What waitUntil holds is done at a SIGTERM, and gone with a SIGKILL.
func denoEnds(t *testing.T) {
	out := newOutside(t, nil)
	d := startDeno(t, service.DenoOptions{Env: out.env()})
	track := d.URL + "/functions/v1/track-event"
	const event = `{"user_id": "ada", "event_type": %q, "work_ms": 400}`
	post(t, track, fmt.Sprintf(event, "kept"))
	d.Stop(t)
	if got := out.at("/slack"); len(got) != 1 || !strings.Contains(got[0].Body, "kept") {
		t.Errorf("after SIGTERM: %v\n%s", got, d.Log())
	}
	d.Start(t)
	post(t, track, fmt.Sprintf(event, "lost"))
	d.Kill(t)
	wait(600 * time.Millisecond)
	if got := out.at("/slack"); len(got) != 1 {
		t.Errorf("after SIGKILL: %v", got)
	}
}

// Five fields are Deno.cron's: four seconds before nine the digest is four seconds off.
func denoCron(t *testing.T) {
	libs, err := filepath.Glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
	if err != nil || len(libs) != 1 {
		t.Fatalf("this test needs libfaketime (by hand: apt-get install faketime): %v, %v", libs, err)
	}
	out := newOutside(t, nil)
	d := startDeno(t, service.DenoOptions{
		Flags: []string{"--unstable-cron"},
		Env:   out.env("DIGEST_SCHEDULE=0 9 * * *", "TZ=UTC", "LD_PRELOAD="+libs[0], "FAKETIME=@2026-03-01 08:59:56"),
	})
	eventually(t, "the morning digest\n"+d.Log(), func() bool { return len(out.at("/slack")) == 1 })
}

// join opens a socket in a room.
func join(t *testing.T, url, room string) *websocket.Conn {
	t.Helper()
	conn, resp, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(url, "http")+"/functions/v1/ws-relay?room="+room, nil)
	if err != nil {
		t.Fatal(err, resp)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// received is the next n messages of a socket, sorted, or what came within 300 ms.
func received(t *testing.T, conn *websocket.Conn, n int) (messages []string) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for range n {
		_, m, err := conn.ReadMessage()
		if err != nil {
			break
		}
		messages = append(messages, string(bytes.TrimSpace(m)))
	}
	slices.Sort(messages)
	return messages
}

// freeAddr is an address of 127.0.0.1 that nothing listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}
