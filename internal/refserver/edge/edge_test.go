package edge

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/edgeload/edgeload/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func say(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, text) })
}

func testServer() *Server {
	return New(Options{
		Functions: []Function{
			Shared("hello", say("hello")),
			Shared("post-only", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if AllowMethod(w, r, http.MethodPost) {
					_, _ = io.WriteString(w, "posted")
				}
			})),
			Shared("panics", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") })),
			Shared("panics-late", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, "part")
				_ = http.NewResponseController(w).Flush()
				panic("boom")
			})),
		},
		Routes: map[string]http.Handler{wire.PathMessages: say("message")},
	})
}

func do(h http.Handler, method, path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

func TestRoutesAndErrorAnswers(t *testing.T) {
	server := testServer()
	for _, tc := range []struct {
		method, path string
		status       int
		code, body   string
	}{
		{"GET", "/functions/v1/hello", 200, "", "hello"},
		{"GET", "/functions/v1/hello/below", 200, "", "hello"},
		{"GET", "/functions/v1/hello-not", 404, "NOT_FOUND", `{"code":"NOT_FOUND","message":"requested function was not found"}`},
		{"GET", "/functions/v1/", 404, "NOT_FOUND", `"code":"NOT_FOUND"`},
		{"GET", "/other", 404, "NOT_FOUND", `"code":"NOT_FOUND"`},
		{"POST", "/functions/v1/post-only", 200, "", "posted"},
		{"GET", "/functions/v1/post-only", 405, "", `{"message":"method GET is not allowed here"}`},
		{"OPTIONS", "/functions/v1/post-only", 204, "", ""},
		{"GET", "/functions/v1/panics", 500, "WORKER_ERROR", `"code":"WORKER_ERROR"`},
		{"POST", "/v1/messages", 200, "", "message"},
		{"GET", "/healthz", 200, "", `{"status":"ok"}`},
		{"POST", "/healthz", 405, "", "not allowed"},
	} {
		rec := do(server, tc.method, tc.path)
		if rec.Code != tc.status || rec.Header().Get("sb-error-code") != tc.code || !strings.Contains(rec.Body.String(), tc.body) {
			t.Errorf("%s %s: got %d, code %q, %q; want %d, %q, %q",
				tc.method, tc.path, rec.Code, rec.Header().Get("sb-error-code"), rec.Body, tc.status, tc.code, tc.body)
		}
		if got := rec.Header().Values("Access-Control-Allow-Origin"); len(got) != 1 || got[0] != "*" {
			t.Errorf("%s %s: Access-Control-Allow-Origin %q", tc.method, tc.path, got)
		}
		if tc.status == 405 || tc.status == 204 {
			if !strings.Contains(rec.Header().Get("Allow"), "OPTIONS") {
				t.Errorf("%s %s: Allow %q", tc.method, tc.path, rec.Header().Get("Allow"))
			}
		}
	}
}

func TestPreflight(t *testing.T) {
	server := testServer()
	for _, path := range []string{wire.PathStreamAI, "/functions/v1/post-only", wire.PathMessages} {
		rec := do(server, http.MethodOptions, path,
			"Origin", "http://app.example", "Access-Control-Request-Method", "POST",
			"Access-Control-Request-Headers", "apikey,authorization,content-type,x-client-info")
		h := rec.Header()
		if rec.Code != http.StatusNoContent || h.Get("Access-Control-Allow-Origin") != "*" ||
			h.Get("Access-Control-Allow-Methods") != "POST" || h.Get("Access-Control-Max-Age") != "86400" {
			t.Errorf("%s: got %d %v", path, rec.Code, h)
		}
		for _, name := range []string{"authorization", "x-client-info", "apikey", "content-type"} {
			if !strings.Contains(h.Get("Access-Control-Allow-Headers"), name) {
				t.Errorf("%s: %s is not allowed: %v", path, name, h)
			}
		}
	}
	rec := do(server, http.MethodOptions, wire.PathStreamAI, "Origin", "http://app.example",
		"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "x-unknown")
	if got := rec.Header().Get("Access-Control-Allow-Headers"); got != "" {
		t.Errorf("an unknown header is allowed: %q", got)
	}
}

func TestPanicAfterTheAnswerBeganCutsIt(t *testing.T) {
	server := httptest.NewServer(testServer())
	defer server.Close()
	resp, err := server.Client().Get(server.URL + "/functions/v1/panics-late")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if string(body) != "part" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %q and %v, want a part and an unexpected end", body, err)
	}
}

func TestMetricsCountByFunctionAndCode(t *testing.T) {
	server := testServer()
	for _, path := range []string{"hello", "hello", "panics", "nope", "nope-either"} {
		do(server, http.MethodGet, PathFunctions+path)
	}
	text := do(server, http.MethodGet, wire.PathMetrics).Body.String()
	for _, want := range []string{
		`refserver_function_requests_total{code="200",function="hello"} 2`,
		`refserver_function_requests_total{code="500",function="panics"} 1`,
		`refserver_function_requests_total{code="404",function="(unknown)"} 2`,
		`refserver_function_requests_in_flight{function="hello"} 0`,
		`refserver_function_duration_seconds_count{function="hello"} 2`,
		`refserver_function_aborted_total{function="hello"} 0`,
		`go_goroutines`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}
