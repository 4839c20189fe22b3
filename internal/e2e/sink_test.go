package e2e_test

import (
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// A target that calls the sink for its tokens and its webhooks, started by loadgen and
// told of the sink by its environment: every call is there, and the stream's times are
// those that the sink was asked for.
func TestSinkStandsInForUpstreamAndWebhook(t *testing.T) {
	t.Parallel()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	r := measured(t, fmt.Sprintf(`
version: 1
name: sink
target: http://%s
duration: 3s
sink:
  upstreams:
    slack: {}
    llm: {stream: {ttft: 100ms, gap: 20ms, tokens: 25}}
workloads:
  chat:
    protocol: sse
    load: {rate: 20/s}
    request: {path: /functions/v1/stream-ai, body: '{"prompt": {{ .Prompt | json }}}'}
  events:
    protocol: http
    load: {rate: 30/s}
    request:
      path: /functions/v1/track-event
      body: '{"user_id": "u{{ .Seq }}", "event_type": "seen", "webhook_url": "{{ .Sink }}/slack/services/T0"}'
thresholds:
  chat.complete_ratio: ['value == 1']
  events.success_ratio: ['value == 1']
`, addr), nil,
		"--start", filepath.Join(bin, "reference-server")+" --listen "+addr+` --upstream "$LOADGEN_SINK_URL/llm"`, "--ready", "http://"+addr+"/healthz")
	if r.Code != 0 || r.Result.Sink == nil {
		t.Fatalf("exit code %d\n%s\n%s", r.Code, r.Stdout, r.Stderr)
	}
	s := r.Result.Sink
	for _, want := range []struct {
		name, workload, sent string
	}{{"llm", "chat", "streams"}, {"slack", "events", "requests"}} {
		i := slices.IndexFunc(s.Calls, func(c result.SinkCalls) bool { return c.Name == want.name })
		sent := int64(metric(t, r.workload(t, want.workload), want.sent).Value)
		if i < 0 || s.Calls[i].Calls != sent || s.Calls[i].Replies["200"] != sent {
			t.Errorf("%s: %+v, want %d", want.name, s.Calls, sent)
		}
	}
	if len(s.Strays) > 0 || s.Broken+s.Unanswered+s.Refused > 0 {
		t.Errorf("the sink's account: %+v", s)
	}
	chat := r.workload(t, "chat")
	if n := metric(t, chat, "tokens_out").Value; n != metric(t, chat, "streams").Value*25 {
		t.Errorf("%v tokens of %v streams, want 25 each", n, metric(t, chat, "streams").Value)
	}
	// By the sink's stamps, and as they came through the target.
	for name, want := range map[string]time.Duration{"truth_itl": 20 * time.Millisecond, "itl": 20 * time.Millisecond, "truth_ttft": 100 * time.Millisecond} {
		if p50 := quantile(t, chat, name, .5); p50 < want-5*time.Millisecond || p50 > want+5*time.Millisecond {
			t.Errorf("%s of %v, want %v within 5 ms", name, p50, want)
		}
	}
}
