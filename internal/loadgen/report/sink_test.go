package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// called is a run whose sink was called.
func called(t testing.TB) *result.Result {
	r := bare(t)
	r.Sink = &result.Sink{
		URL: "http://127.0.0.1:9000", Connections: 12,
		Calls: []result.SinkCalls{
			{Name: "jobs", Calls: 1000},
			{Name: "llm", Calls: 120, Replies: map[string]int64{"200": 110, "503": 9, "reset": 1}},
		},
		Strays: []result.SinkCalls{{Name: "old\x1b", Calls: 3}}, Broken: 2, Unanswered: 1, Refused: 4,
		Balances: []result.Balance{{Name: "llm: calls = replies", Left: 120, Right: 120}},
	}
	return r
}

func TestSink(t *testing.T) {
	golden(t, "sink.text", render(t, "text", called(t), Options{Width: 100}))
	golden(t, "sink.md", render(t, "md", called(t), Options{}))
	page := string(render(t, "html", called(t), Options{}))
	for _, want := range []string{"http://127.0.0.1:9000", "calls, given 200 110×, 503 9×, reset 1×", "unanswered", "refused"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	for _, format := range Formats() {
		if b := render(t, format, called(t), Options{}); bytes.ContainsRune(b, 0x1b) {
			t.Errorf("%s obeys a control character", format)
		}
	}
}

// A sum of the sink's that does not come out even stands above everything.
func TestSinkThatDoesNotAddUp(t *testing.T) {
	r := called(t)
	r.Sink.Balances[0].Right = 119
	for _, format := range []string{"text", "md", "html"} {
		if got := string(render(t, format, r, Options{})); !strings.Contains(got, "llm: calls = replies") {
			t.Errorf("%s does not say that the sink does not add up:\n%s", format, got)
		}
	}
}
