package llm

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/edgeload/edgeload/internal/wire"
)

func TestCompletionsAreAsGolden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulator(t, "constant:30ms", "constant:20ms", "constant:5", "constant:2")
		rec, _ := ask(s, completionsRequest(t.Context(), true, `"stream_options":{"include_usage":true},"max_completion_tokens":4,`), "")
		want := http.Header{
			"Content-Type": {"text/event-stream; charset=utf-8"}, "Cache-Control": {"no-cache"}, "X-Request-Id": {"req_0000000000000001"},
		}
		if diff := cmp.Diff(want, rec.header); diff != "" || rec.status != http.StatusOK {
			t.Errorf("status %d, headers (-want +got):\n%s", rec.status, diff)
		}
		const golden = "testdata/completions.golden"
		if *update {
			if err := os.WriteFile(golden, []byte(rec.body()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		file, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(file), rec.body()); diff != "" {
			t.Errorf("stream (-want +got):\n%s", diff)
		}
	})
}

func TestUsageOnlyWhereAsked(t *testing.T) {
	s := newSimulator(t, "constant:0s", "constant:0s", "constant:5", "constant:1")
	rec, _ := ask(s, completionsRequest(t.Context(), true, ""), "")
	if strings.Contains(rec.body(), "usage") {
		t.Errorf("nobody asked for a usage:\n%s", rec.body())
	}
}

func TestWholeCompletion(t *testing.T) {
	s := newSimulator(t, "constant:0s", "constant:0s", "constant:9", "constant:1")
	for more, want := range map[string]struct {
		words  int // reasoning counts, for a limit too
		reason string
	}{"": {11, "stop"}, `"max_tokens":3,`: {3, "length"}, `"max_completion_tokens":11,`: {11, "stop"}} {
		rec, _ := ask(s, completionsRequest(t.Context(), false, more), "reasoning:2")
		var got completion
		if err := json.Unmarshal([]byte(rec.body()), &got); err != nil {
			t.Fatal(err)
		}
		choice := got.Choices[0]
		words := len(strings.Fields(choice.Message.Reasoning)) + len(strings.Fields(choice.Message.Content))
		if words != want.words || choice.FinishReason != want.reason || got.Usage.CompletionTokens != words ||
			got.Usage.TotalTokens != words+4 || got.Usage.PromptTokens != 4 || got.Usage.Details.ReasoningTokens != 2 {
			t.Errorf("%s: %s", more, rec.body())
		}
	}
}

func TestCompletionErrors(t *testing.T) {
	s := newSimulator(t, "constant:0s", "constant:0s", "constant:1", "constant:1")
	const user = `"messages":[{"role":"user","content":"x"}]}`
	for _, tc := range []struct {
		body, status      string
		code              int
		kind, param, name string // of the error: type, parameter, code
	}{
		{"x", "", 400, "invalid_request_error", "", ""},
		{`{` + user, "", 400, "invalid_request_error", "model", ""},
		{`{"model":"m"}`, "", 400, "invalid_request_error", "messages", ""},
		{`{"model":"m","max_tokens":0,` + user, "", 400, "invalid_request_error", "max_tokens", ""},
		{`{"model":"m","max_tokens":1,"max_completion_tokens":1,` + user, "", 400, "invalid_request_error", "max_tokens", ""},
		{`{"model":"m","stream_options":{},` + user, "", 400, "invalid_request_error", "stream_options", ""},
		{`{"model":"m","messages":[{"role":"x","content":"x"}]}`, "", 400, "invalid_request_error", "messages[0].role", ""},
		{`{"model":"m","messages":[{"role":"user"}]}`, "", 400, "invalid_request_error", "messages[0].content", ""},
		{`{"model":"m",` + user, "401", 401, "invalid_request_error", "", "invalid_api_key"},
		{`{"model":"m",` + user, "429", 429, "requests", "", "rate_limit_exceeded"},
		{`{"model":"m",` + user, "503", 503, "server_error", "", ""},
	} {
		r := httptest.NewRequest(http.MethodPost, wire.PathCompletions, strings.NewReader(tc.body))
		r.Header.Set(wire.HeaderSimStatus, tc.status)
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, r)
		var got struct {
			Error struct {
				Message, Type string
				Param, Code   *string
			}
		}
		if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		text := func(p *string) string {
			if p == nil {
				return ""
			}
			return *p
		}
		if rec.Code != tc.code || got.Error.Type != tc.kind || text(got.Error.Param) != tc.param || text(got.Error.Code) != tc.name || got.Error.Message == "" {
			t.Errorf("%s: %d %s", tc.body, rec.Code, rec.Body)
		}
	}
}
