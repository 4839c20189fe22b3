package functions

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/refserver/edge"
	"github.com/edgeload/edgeload/internal/refserver/llm"
	"github.com/edgeload/edgeload/internal/wire"
)

// serve runs a Life for the test's length and returns its address.
func serve(t testing.TB, h http.Handler) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- (&edge.Life{Handler: h, Drain: 50 * time.Millisecond}).Serve(ctx, ln) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

func dist[D any](t testing.TB, parse func(string) (D, error), text string) D {
	t.Helper()
	d, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func simulator(t testing.TB, ttft, gap, tokens string) *llm.Simulator {
	t.Helper()
	return llm.New(llm.Options{Timing: llm.Timing{
		FirstToken: dist(t, llm.ParseDurations, ttft),
		Gap:        dist(t, llm.ParseDurations, gap),
		Tokens:     dist(t, llm.ParseCounts, tokens),
	}})
}

// front serves stream-ai before an upstream and returns its URL and server.
func front(t testing.TB, opts StreamAIOptions) (url string, server *edge.Server) {
	t.Helper()
	server = edge.New(edge.Options{Functions: []edge.Function{edge.Shared(NameStreamAI, StreamAI(opts))}})
	return "http://" + serve(t, server) + wire.PathStreamAI, server
}

// inProcess asks a simulator in this process.
func inProcess(sim *llm.Simulator) StreamAIOptions {
	return StreamAIOptions{Anthropic: Embedded(sim, llm.Anthropic), OpenAI: Embedded(sim, llm.OpenAI)}
}

// external asks an API of that form elsewhere, at a base without its path.
func external(t testing.TB, api llm.API, base, key string) StreamAIOptions {
	t.Helper()
	parsed, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	x, err := NewExternal(api, parsed, key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Close)
	if api == llm.OpenAI {
		return StreamAIOptions{API: api, OpenAI: x}
	}
	return StreamAIOptions{Anthropic: x}
}

// both runs a test before the simulator of this process, and before one elsewhere.
func both(t *testing.T, sim *llm.Simulator, test func(t *testing.T, opts StreamAIOptions)) {
	t.Run("embedded", func(t *testing.T) { test(t, inProcess(sim)) })
	t.Run("external", func(t *testing.T) { test(t, external(t, llm.Anthropic, "http://"+serve(t, sim), "")) })
}

func newClient(t testing.TB) *http.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 1000}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func post(ctx context.Context, c *http.Client, url, body string, headers ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return c.Do(req)
}

// metric returns the value of the exposition line that begins with name.
func metric(s *edge.Server, name string) string {
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, wire.PathMetrics, nil))
	for line := range strings.Lines(rec.Body.String()) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// eventually polls until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestNamesMatchThePaths(t *testing.T) {
	if edge.PathFunctions+NameStreamAI != wire.PathStreamAI || edge.PathFunctions+NameWSRelay != wire.PathWSRelay {
		t.Error("a function's name and its path in package wire differ")
	}
}

func TestStreamComesThroughPieceByPiece(t *testing.T) {
	both(t, simulator(t, "constant:60ms", "constant:10ms", "constant:20"), comesPieceByPiece)
}

func comesPieceByPiece(t *testing.T, opts StreamAIOptions) {
	url, _ := front(t, opts)
	resp, err := post(t.Context(), newClient(t), url, `{"prompt":"hi"}`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "Connection": "keep-alive", "Access-Control-Allow-Origin": "*",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	var order []string
	var stamp, last time.Time
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		line := lines.Text()
		if comment, found := strings.CutPrefix(line, ":"); found {
			nanos, ok := wire.ParseStamp([]byte(comment))
			if stamp = time.Unix(0, nanos); !ok || stamp.Before(last) {
				t.Fatalf("stamp %q after %v", line, last)
			}
			last = stamp
		}
		if event, found := strings.CutPrefix(line, "event: "); found {
			if stamp.IsZero() {
				t.Errorf("event %s has no stamp before it", event)
			}
			if behind := time.Since(stamp); behind < 0 || behind > 50*time.Millisecond {
				t.Errorf("event %s arrived %v after its stamp", event, behind)
			}
			stamp = time.Time{}
			if len(order) == 0 || order[len(order)-1] != event {
				order = append(order, event)
			}
		}
	}
	want := "message_start content_block_start ping content_block_delta content_block_stop message_delta message_stop"
	if got := strings.Join(order, " "); got != want || lines.Err() != nil {
		t.Errorf("events %s, %v", got, lines.Err())
	}
}

func TestUpstreamGetsTheGuidesRequest(t *testing.T) {
	var got http.Header
	var body string
	upstream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got, body = r.Header, r.Method+" "+r.URL.Path+" "+string(b)
	})
	url, _ := front(t, external(t, llm.Anthropic, "http://"+serve(t, upstream)+"/base/", "key"))
	resp, err := post(t.Context(), newClient(t), url, `{"prompt":"say \"hé\""}`, "Authorization", "Bearer x", wire.HeaderSimSeed, "7", wire.HeaderSimGap, "constant:1ms")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if want := `POST /base/v1/messages {"model":"claude-haiku-4-5","max_tokens":1024,"stream":true,"messages":[{"role":"user","content":"say \"hé\""}]}`; body != want {
		t.Errorf("got  %s\nwant %s", body, want)
	}
	for name, want := range map[string]string{
		"X-Api-Key": "key", "Anthropic-Version": "2023-06-01", "Content-Type": "application/json",
		wire.HeaderSimSeed: "7", wire.HeaderSimGap: "constant:1ms", wire.HeaderSimTokens: "", "Authorization": "",
	} {
		if got.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, got.Get(name), want)
		}
	}
}

func TestUpstreamErrorsPassThrough(t *testing.T) {
	both(t, simulator(t, "constant:0s", "constant:0s", "constant:1"), errorsPassThrough)
}

func errorsPassThrough(t *testing.T, opts StreamAIOptions) {
	url, _ := front(t, opts)
	c := newClient(t)
	for status, kind := range map[int]string{400: "invalid_request_error", 429: "rate_limit_error", 500: "api_error", 529: "overloaded_error"} {
		resp, err := post(t.Context(), c, url, `{"prompt":"hi"}`, wire.HeaderSimStatus, fmt.Sprint(status))
		if err != nil {
			t.Fatal(err)
		}
		var body struct{ Error struct{ Type string } }
		err = json.NewDecoder(resp.Body).Decode(&body)
		_ = resp.Body.Close()
		if resp.StatusCode != status || err != nil || body.Error.Type != kind || resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("got %d %s %+v, %v; want %d %s", resp.StatusCode, resp.Header.Get("Content-Type"), body, err, status, kind)
		}
		if got := resp.Header.Get("sb-error-code"); (got == "EDGE_FUNCTION_ERROR") != (status >= 500) {
			t.Errorf("%d: sb-error-code %q", status, got)
		}
	}
}

func TestBadRequestsAndUnreachableUpstream(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	url, _ := front(t, external(t, llm.Anthropic, "http://"+closed.Addr().String(), ""))
	c := newClient(t)
	for _, tc := range []struct {
		body   string
		status int
		want   string
	}{
		{"", 400, "not a JSON object"},
		{"[1]", 400, "not a JSON object"},
		{"{}", 400, "has no prompt"},
		{`{"prompt":null}`, 400, "has no prompt"},
		{`{"prompt":""}`, 400, "has no prompt"},
		{`{"prompt":5}`, 400, "want a string"},
		{`{"prompt":"` + strings.Repeat("x", maxPromptBody) + `"}`, 400, "too large"},
		{`{"prompt":"hi"}`, 502, `"code":"EDGE_FUNCTION_ERROR"`},
	} {
		resp, err := post(t.Context(), c, url, tc.body)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != tc.status || err != nil || !strings.Contains(string(got), tc.want) {
			t.Errorf("%.40s: got %d %s, %v; want %d %s", tc.body, resp.StatusCode, got, err, tc.status, tc.want)
		}
	}
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "POST, OPTIONS" {
		t.Errorf("GET: got %d, Allow %q", resp.StatusCode, resp.Header.Get("Allow"))
	}
}

func TestBrokenUpstreamCutsTheStream(t *testing.T) {
	upstream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "data: part\n\n")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	url, _ := front(t, external(t, llm.Anthropic, "http://"+serve(t, upstream), ""))
	resp, err := post(t.Context(), newClient(t), url, `{"prompt":"hi"}`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if body, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("a broken stream ended as complete: %q", body)
	}
}

// A stream costs the process one descriptor (here two, since the clients live in
// it too), and when the clients leave, every stream of the upstream ends.
func TestManyStreamsHoldOneDescriptorEach(t *testing.T) {
	const streams = 300
	sim := simulator(t, "constant:20ms", "constant:1h", "constant:9")
	url, server := front(t, inProcess(sim))
	c := newClient(t)

	before := descriptors(t)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	var wg sync.WaitGroup
	var answered atomic.Int32
	for range streams {
		wg.Go(func() {
			resp, err := post(ctx, c, url, `{"prompt":"hi"}`)
			if err != nil {
				t.Errorf("post: %v", err)
				return
			}
			answered.Add(1)
			defer func() { _ = resp.Body.Close() }()
			if _, err := io.Copy(io.Discard, resp.Body); err == nil {
				t.Error("a stream of hours ended")
			}
		})
	}
	eventually(t, "every client has its answer and every stream sent its first token", func() bool {
		return answered.Load() == streams && sim.Stats().Tokens == streams
	})
	if runtime.GOOS == "linux" {
		if opened := descriptors(t) - before; opened > 2*streams+10 {
			t.Errorf("%d streams opened %d descriptors, want one on each side of each and a few", streams, opened)
		}
	}
	leave()
	wg.Wait()
	eventually(t, "every stream of the upstream ended", func() bool {
		return sim.Stats().Requests[llm.OutcomeAborted] == streams && sim.Stats().InFlight == 0
	})
	eventually(t, "every abort counted", func() bool {
		return metric(server, `refserver_function_aborted_total{function="stream-ai"}`) == fmt.Sprint(streams)
	})
}

// descriptors counts what the process holds open.
func descriptors(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil && runtime.GOOS == "linux" {
		t.Fatal(err)
	}
	return len(entries)
}
