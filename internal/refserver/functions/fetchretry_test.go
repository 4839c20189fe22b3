package functions

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/refserver/edge"
	"github.com/edgeload/edgeload/internal/refserver/retry"
	"github.com/edgeload/edgeload/internal/refserver/truth"
)

// serveFunctions serves functions in workers, on loopback.
func serveFunctions(t testing.TB, o edge.Options) (base string) {
	t.Helper()
	server := edge.New(o)
	listener := httptest.NewServer(server)
	t.Cleanup(func() {
		listener.Close()
		_ = server.Close() // what it cut is the test's affair
	})
	return listener.URL + edge.PathFunctions
}

// postJSON posts and returns the answer with its body read.
func postJSON(t testing.TB, to, body string, headers ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, to, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return resp, answer
}

// records are those of a kind in the order of Add.
func records(t testing.TB, ledger *truth.Ledger, kind truth.Kind) (all []truth.Record) {
	t.Helper()
	for r, err := range ledger.Records(kind) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// fetcher is fetch-with-retry on a server of its own.
type fetcher struct {
	url    string
	ledger *truth.Ledger
}

func serveFetch(t testing.TB, o edge.Options) fetcher {
	ledger := truth.New(0)
	retrier := &Retrier{Outbound: newTestOutbound(t, OutboundOptions{MaxBody: 1000}), Budgets: new(retry.Budgets), Ledger: ledger}
	o.Functions = []edge.Function{edge.Shared(NameFetchWithRetry, FetchWithRetry(retrier))}
	return fetcher{serveFunctions(t, o) + NameFetchWithRetry, ledger}
}

func (f fetcher) fetch(t testing.TB, request map[string]any) (*http.Response, fetchAnswer) {
	t.Helper()
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	resp, raw := postJSON(t, f.url, string(body))
	var answer fetchAnswer
	if err := json.Unmarshal(raw, &answer); err != nil {
		t.Fatalf("%d %s: %v", resp.StatusCode, raw, err)
	}
	return resp, answer
}

// answers is an upstream that answers its n-th request with the n-th status, and
// asks for a wait after every 429.
func answers(t testing.TB, statuses ...int) (*httptest.Server, *atomic.Int64) {
	var n atomic.Int64
	return upstreamOf(t, func(w http.ResponseWriter, r *http.Request) {
		status := statuses[min(int(n.Add(1)), len(statuses))-1]
		if status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After-Ms", "60")
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, r.Method)
	}), &n
}

func TestFetchRetriesUntilItIsAnswered(t *testing.T) {
	f := serveFetch(t, edge.Options{})
	upstream, n := answers(t, 503, 429, 201)
	resp, a := f.fetch(t, map[string]any{
		"url": upstream.URL, "method": "PATCH", "policy": map[string]any{"kind": "full", "attempts": 5, "base": "10ms", "cap": "20ms"},
	})
	if resp.StatusCode != 200 || a.Status != 201 || a.Body != "PATCH" || a.Stop != retry.StopAnswered || a.Code != "" || a.Message != "" || n.Load() != 3 {
		t.Errorf("%d, %+v", resp.StatusCode, a)
	}
	if a.Policy != "full:attempts=5,base=10ms,cap=20ms" || len(a.Attempts) != 3 || a.Attempts[0].Status != 503 || a.Attempts[1].Status != 429 || a.Attempts[2].Status != 201 {
		t.Fatalf("policy %s, attempts %+v", a.Policy, a.Attempts)
	}
	for i, attempt := range a.Attempts {
		if attempt.N != i+1 || attempt.TookMs <= 0 {
			t.Errorf("attempt %d: %+v", i+1, attempt)
		}
		if i == 0 {
			continue
		}
		due := a.Attempts[i-1].Began.Add(time.Duration((a.Attempts[i-1].TookMs + attempt.WaitMs) * 1e6))
		if d := attempt.Due.Sub(due).Abs(); d > time.Microsecond || attempt.Began.Before(attempt.Due) {
			t.Errorf("attempt %d: %+v: due %s away from the end of the last and the wait", i+1, attempt, d)
		}
	}
	if first, second := a.Attempts[1].WaitMs, a.Attempts[2].WaitMs; first >= 10 || second != 60 {
		t.Errorf("waited %v ms by the policy, then %v ms where 60 were asked for", first, second)
	}

	rs := records(t, f.ledger, truth.Retry)
	var events []string
	for _, r := range rs {
		if events = append(events, r.Event); r.ID != a.ID || r.Name != NameFetchWithRetry {
			t.Errorf("record %+v", r)
		}
	}
	if got := strings.Join(events, " "); got != "attempt retry retry answered" || rs[3].Detail != "201 after 3 attempts" || !rs[2].Due.Equal(a.Attempts[2].Due) {
		t.Errorf("ground truth has %s: %+v", got, rs)
	}
}

// TestFetchByTheGuide: its defaults, its wait, what it retries, and what it throws.
func TestFetchByTheGuide(t *testing.T) {
	f := serveFetch(t, edge.Options{})
	upstream, n := answers(t, 500)
	resp, a := f.fetch(t, map[string]any{"url": upstream.URL + "/?key=secret", "policy": "guide:attempts=2"})
	want := "All 2 attempts failed for " + mustURL(t, upstream.URL).Host
	if resp.StatusCode != 502 || resp.Header.Get(edge.HeaderErrorCode) != edge.CodeFunctionError || a.Code != edge.CodeFunctionError || a.Message != want || a.Stop != retry.StopExhausted || a.Status != 500 {
		t.Errorf("%d, %+v, want %q", resp.StatusCode, a, want)
	}
	if len(a.Attempts) != 2 || n.Load() != 2 || a.Attempts[1].WaitMs < 1000 || a.Attempts[1].WaitMs >= 2000 {
		t.Fatalf("attempts %+v", a.Attempts)
	}
	if apart := a.Attempts[1].Began.Sub(a.Attempts[0].Began); apart < time.Second {
		t.Errorf("attempts began %s apart", apart)
	}

	upstream, n = answers(t, 429)
	if resp, a := f.fetch(t, map[string]any{"url": upstream.URL}); resp.StatusCode != 200 || a.Status != 429 || a.Policy != "guide" || n.Load() != 1 {
		t.Errorf("429: %d, %+v", resp.StatusCode, a)
	}
	resp, a = f.fetch(t, map[string]any{"url": refusing(t)})
	if resp.StatusCode != 502 || a.Stop != retry.StopError || len(a.Attempts) != 1 || a.Attempts[0].ErrorClass != "refused" || a.Message != a.Attempts[0].Error {
		t.Errorf("a rejected fetch: %d, %+v", resp.StatusCode, a)
	}
}

// refusing is a URL of loopback where nobody listens.
func refusing(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return "http://" + ln.Addr().String()
}

func TestFetchErrorsAreNamed(t *testing.T) {
	f := serveFetch(t, edge.Options{})
	cutting := upstreamOf(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "part")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	stalling := upstreamOf(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	elsewhere := upstreamOf(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://10.0.0.1/", http.StatusFound)
	})
	strange := httptest.NewTLSServer(nil) // with a certificate that nobody knows
	strange.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(strange.Close)
	for _, tc := range []struct {
		url, class string
		attempts   int
		status     int
	}{
		{refusing(t), "refused", 2, 502},
		{cutting.URL, "cut", 2, 502},
		{stalling.URL, "attempt_timeout", 2, 502},
		{elsewhere.URL, "not_allowed", 1, 403},
		{strange.URL, "tls", 2, 502},
		{"https" + strings.TrimPrefix(stalling.URL, "http"), "tls", 2, 502},
	} {
		resp, a := f.fetch(t, map[string]any{"url": tc.url, "policy": "full:attempts=2,base=1ms,cap=1ms,attempt_timeout=100ms"})
		if resp.StatusCode != tc.status || len(a.Attempts) != tc.attempts || a.Status != 0 {
			t.Fatalf("%s: %d, %+v", tc.class, resp.StatusCode, a)
		}
		for _, attempt := range a.Attempts {
			if attempt.ErrorClass != tc.class || attempt.Error == "" {
				t.Errorf("%s: %+v", tc.class, attempt)
			}
		}
	}
}

func TestFetchPassesTheRequestOn(t *testing.T) {
	f := serveFetch(t, edge.Options{})
	type seen struct{ Method, Type, Token, Body string }
	upstream := upstreamOf(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		_ = json.NewEncoder(w).Encode(seen{r.Method, r.Header.Get("Content-Type"), r.Header.Get("X-Token"), string(body)})
	})
	for _, tc := range []struct {
		request map[string]any
		want    seen
	}{
		{map[string]any{}, seen{Method: "GET"}},
		{map[string]any{"method": "POST", "body": "text"}, seen{Method: "POST", Body: "text"}},
		{map[string]any{"method": "POST", "body": map[string]int{"a": 1}}, seen{Method: "POST", Type: "application/json", Body: `{"a":1}`}},
		{map[string]any{"method": "PUT", "body": []int{1}, "headers": map[string]string{"content-type": "x/y", "x-token": "t"}}, seen{"PUT", "x/y", "t", "[1]"}},
	} {
		tc.request["url"] = upstream.URL
		resp, a := f.fetch(t, tc.request)
		var got seen
		if err := json.Unmarshal([]byte(a.Body), &got); err != nil || resp.StatusCode != 200 || got != tc.want {
			t.Errorf("%v: %d, %+v, %v; want %+v", tc.request, resp.StatusCode, got, err, tc.want)
		}
	}
	big := upstreamOf(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 2000)) })
	if _, a := f.fetch(t, map[string]any{"url": big.URL}); len(a.Body) != 1000 || !a.BodyTruncated {
		t.Errorf("%d bytes of 2000 with a bound of 1000, truncated: %t", len(a.Body), a.BodyTruncated)
	}
	binary := upstreamOf(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte{0xff, 0xfe}) })
	if _, a := f.fetch(t, map[string]any{"url": binary.URL}); a.Body != "" || string(a.BodyBase64) != "\xff\xfe" {
		t.Errorf("%q, %q", a.Body, a.BodyBase64)
	}
}

// manyHeaders is n fields of a JSON object.
func manyHeaders(n int) string {
	fields := make([]string, n)
	for i := range fields {
		fields[i] = fmt.Sprintf(`"x-%d": "v"`, i)
	}
	return strings.Join(fields, ",")
}

func TestFetchRejects(t *testing.T) {
	f := serveFetch(t, edge.Options{})
	for _, tc := range []struct {
		body   string
		status int
		want   string
	}{
		{``, 400, "JSON"},
		{`[]`, 400, "JSON"},
		{`{}`, 400, "has no url"},
		{`{"url": "ftp://127.0.0.1/"}`, 400, "scheme"},
		{`{"url": "http://user:pass@127.0.0.1/"}`, 400, "user or password"},
		{`{"url": "http://10.0.0.1/secret"}`, 403, "10.0.0.1"},
		{`{"url": "http://example.com/secret"}`, 403, "example.com"},
		{`{"url": "http://127.0.0.1/", "method": "G T"}`, 400, "method"},
		{`{"url": "http://127.0.0.1/", "headers": {"a b": "c"}}`, 400, `header "a b"`},
		{`{"url": "http://127.0.0.1/", "headers": {"a": "secret\n"}}`, 400, `header "a"`},
		{`{"url": "http://127.0.0.1/", "method": "` + strings.Repeat("M", maxFetchMethod+1) + `"}`, 400, "method of 33 bytes"},
		{`{"url": "http://127.0.0.1/", "headers": {"secret": "` + strings.Repeat("x", maxFetchHeaderBytes) + `"}}`, 400, "1 headers of"},
		{`{"url": "http://127.0.0.1/", "headers": {` + manyHeaders(maxFetchHeaders+1) + `}}`, 400, "101 headers of"},
		{`{"url": "http://127.0.0.1/` + strings.Repeat("secret", maxCallURL/6) + `"}`, 400, "URL of"},
		{`{"url": "http://` + strings.Repeat("secret", 43) + `/"}`, 400, "URL with a host of 258 bytes"},
		{`{"url": "http://127.0.0.1/", "policy": "linear"}`, 400, "unknown kind"},
		{`{"url": "http://127.0.0.1/", "policy": {"kind": "full", "attempts": 99}}`, 400, "attempts 99"},
		{`{"url": "http://127.0.0.1/", "policy": {"attempts": 3}}`, 400, "no kind"},
		{`{"url": "http://127.0.0.1/", "policy": {"kind": "full", "pace": 3}}`, 400, "unknown key"},
		{`{"url": "http://127.0.0.1/", "policy": 7}`, 400, "policy"},
		{`{"url": "http://127.0.0.1/` + strings.Repeat("x", maxFetchRequest) + `"}`, 400, "too large"},
	} {
		resp, raw := postJSON(t, f.url, tc.body)
		if resp.StatusCode != tc.status || !strings.Contains(string(raw), strings.ReplaceAll(tc.want, `"`, `\"`)) || strings.Contains(string(raw), "secret") {
			t.Errorf("%.80s: %d %s, want %d and %q", tc.body, resp.StatusCode, raw, tc.status, tc.want)
		}
	}
	resp, err := http.Get(f.url)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 405 || resp.Header.Get("Allow") != "POST, OPTIONS" {
		t.Errorf("GET: %d, %v", resp.StatusCode, resp.Header)
	}
	if got := records(t, f.ledger, truth.Retry); len(got) != 0 {
		t.Errorf("what was rejected is in ground truth: %+v", got)
	}
}

// TestFetchEndsWithItsClient: nobody waits any more, so nothing is retried.
func TestFetchEndsWithItsClient(t *testing.T) {
	f := serveFetch(t, edge.Options{})
	upstream, n := answers(t, 500)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	body := `{"url": "` + upstream.URL + `", "policy": "equal:base=10s,attempts=20"}`
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := http.DefaultClient.Do(req); err == nil {
		_ = resp.Body.Close()
		t.Fatal("it was answered")
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if rs := records(t, f.ledger, truth.Retry); len(rs) == 2 && rs[1].Event == "context" {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("%+v", rs)
		}
	}
	if n.Load() != 1 {
		t.Errorf("%d attempts", n.Load())
	}
}

// TestFetchBudgetIsOfTheProcess: it bounds the retries of all requests together.
func TestFetchBudgetIsOfTheProcess(t *testing.T) {
	f := serveFetch(t, edge.Options{Workers: 3})
	upstream, n := answers(t, 500)
	stops := make(map[retry.Stop]int)
	for range 8 {
		_, a := f.fetch(t, map[string]any{"url": upstream.URL, "policy": "full:attempts=2,base=1ms,cap=1ms,budget=grpc"})
		stops[a.Stop]++
	}
	// Ten tokens: two requests take two each, the third one and, at six left, one more.
	if stops[retry.StopExhausted] != 2 || stops[retry.StopBudget] != 6 || n.Load() != 10 {
		t.Errorf("%v, and %d attempts", stops, n.Load())
	}
}

// TestFetchCountsAsMemory: what it keeps of an answer is charged to its worker, beside
// the 1.4 kB that its own answer takes.
func TestFetchCountsAsMemory(t *testing.T) {
	upstream := upstreamOf(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("x", 1000)) })
	for limit, want := range map[int64]int{2000: 546, 100_000: 200} {
		f := serveFetch(t, edge.Options{Limits: edge.Limits{Memory: limit}})
		resp, _ := postJSON(t, f.url, `{"url": "`+upstream.URL+`"}`)
		if code := resp.Header.Get(edge.HeaderErrorCode); resp.StatusCode != want || want == 546 && code != edge.CodeResourceLimit {
			t.Errorf("with %d bytes: %d %s, want %d", limit, resp.StatusCode, code, want)
		}
	}
}

func FuzzPolicyField(f *testing.F) {
	f.Add(`"full:base=10ms"`)
	f.Add(`{"kind": "equal", "attempts": 4, "cap": "30s", "retry_after": false}`)
	f.Fuzz(func(t *testing.T, raw string) {
		var p policyField
		if json.Unmarshal([]byte(raw), &p) != nil || p.Policy == (retry.Policy{}) { // null leaves it as it is
			return
		}
		if err := p.Validate(); err != nil {
			t.Fatalf("%s reads as what is not valid: %v", raw, err)
		}
	})
}

func TestPolicyFieldForms(t *testing.T) {
	want := retry.Policy{Kind: retry.Equal, Attempts: 4, Base: time.Second, Cap: 30 * time.Second, AttemptTimeout: 2 * time.Second, Budget: retry.Finagle, Seed: 7}
	for _, raw := range []string{
		`"equal:attempts=4,cap=30s,retry_after=false,attempt_timeout=2s,budget=finagle,seed=7"`,
		`{"kind": "equal", "attempts": 4, "cap": "30s", "retry_after": false, "attempt_timeout": "2s", "budget": "finagle", "seed": 7}`,
	} {
		var p policyField
		if err := json.Unmarshal([]byte(raw), &p); err != nil || p.Policy != want {
			t.Errorf("%s reads as %+v, %v", raw, p.Policy, err)
		}
	}
}
