package functions

import (
	"bufio"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/edgeload/edgeload/internal/refserver/llm"
	"github.com/edgeload/edgeload/internal/wire"
)

// flutterClient reads a stream by the rules of the guide's Flutter client: lines,
// of which only those with "data: " count, space included; [DONE] ends it; what is
// no JSON, or has no delta.text, is skipped; so is what kind of event it is, and
// nobody looks at the status or misses an end.
func flutterClient(body io.Reader) (said []string, err error) {
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		data, found := strings.CutPrefix(lines.Text(), "data: ")
		if !found {
			continue
		}
		if data = strings.TrimSpace(data); data == "[DONE]" {
			return said, nil
		}
		var event struct {
			Delta *struct {
				Text *string `json:"text"`
			} `json:"delta"`
		}
		if json.Unmarshal([]byte(data), &event) == nil && event.Delta != nil && event.Delta.Text != nil {
			said = append(said, *event.Delta.Text)
		}
	}
	return said, lines.Err()
}

// The guide's own client reads stream-ai to its end, and is as blind to faults as
// it is in the guide.
func TestGuidesFlutterClient(t *testing.T) {
	sim := simulator(t, "constant:0s", "constant:1ms", "constant:12")
	url, _ := front(t, inProcess(sim))
	for _, tc := range []struct {
		fault  string
		status int
		words  int
		broken bool // the read fails
	}{
		{"none", 200, 12, false},
		{"malformed@4", 200, 12, false},
		{"split;ping:2ms", 200, 12, false},
		{"error-event@5", 200, 5, false}, // it ignores the event
		{"truncate@5", 200, 5, false},    // and takes this for the end
		{"status:529", 529, 0, false},    // and this for an empty answer
		{"cut@5", 200, 5, true},
	} {
		resp, err := post(t.Context(), newClient(t), url, `{"prompt":"hi"}`, wire.HeaderSimFault, tc.fault)
		if err != nil {
			t.Fatal(err)
		}
		said, err := flutterClient(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != tc.status || len(said) != tc.words || (err != nil) != tc.broken || len(strings.Fields(strings.Join(said, ""))) != tc.words {
			t.Errorf("%s: status %d, %q, %v; want %d and %d words", tc.fault, resp.StatusCode, said, err, tc.status, tc.words)
		}
	}
}

// The API is that of the query, else the default; what is not set up is refused.
func TestStreamAIAsksTheAPIThatIsNamed(t *testing.T) {
	sim := simulator(t, "constant:0s", "constant:0s", "constant:3")
	for _, tc := range []struct {
		opts         func(*StreamAIOptions)
		query        string
		status       int
		want, header string
	}{
		{func(*StreamAIOptions) {}, "", 200, "message_stop", "Request-Id"},
		{func(*StreamAIOptions) {}, "?api=openai", 200, "[DONE]", "X-Request-Id"},
		{func(o *StreamAIOptions) { o.API = llm.OpenAI }, "", 200, `"total_tokens":`, "X-Request-Id"},
		{func(o *StreamAIOptions) { o.API = llm.OpenAI }, "?api=anthropic", 200, "message_stop", "Request-Id"},
		{func(*StreamAIOptions) {}, "?api=gemini", 400, "want anthropic or openai", ""},
		{func(o *StreamAIOptions) { o.OpenAI = nil }, "?api=openai", 400, "no upstream with the API openai", ""},
	} {
		opts := inProcess(sim)
		tc.opts(&opts)
		url, _ := front(t, opts)
		resp, err := post(t.Context(), newClient(t), url+tc.query, `{"prompt":"hi"}`)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != tc.status || err != nil || !strings.Contains(string(body), tc.want) || tc.header != "" && resp.Header.Get(tc.header) == "" {
			t.Errorf("%q: %d %s, %v", tc.query, resp.StatusCode, body, err)
		}
	}
}

// An OpenAI-compatible API elsewhere gets the request that its kind expects, below
// a base that ends in /v1, with the key as a bearer.
func TestExternalOpenAI(t *testing.T) {
	sim := simulator(t, "constant:0s", "constant:0s", "constant:3")
	url, _ := front(t, external(t, llm.OpenAI, "http://"+serve(t, sim)+"/v1", "key"))
	resp, err := post(t.Context(), newClient(t), url, `{"prompt":"hi"}`, wire.HeaderSimFault, "reasoning:2")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || !strings.Contains(string(body), `"completion_tokens":5`) || !strings.HasSuffix(string(body), "data: [DONE]\n\n") || !strings.Contains(string(body), `"model":"gpt-5-mini"`) {
		t.Errorf("%d %s, %v", resp.StatusCode, body, err)
	}
}
