package driver

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// A listener answers every request with an event stream of one word, and keeps what
// it was asked.
type listener struct {
	mu     sync.Mutex
	bodies []string
	at     []time.Time
}

func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	l.mu.Lock()
	l.bodies = append(l.bodies, string(body))
	l.at = append(l.at, time.Now())
	n := len(l.bodies)
	l.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = fmt.Fprint(w, content("answer ")+content(fmt.Sprint(n))+end)
}

// runScenario carries out a scenario against a target.
func runScenario(t *testing.T, dir, target, src string) *result.Result {
	t.Helper()
	sc, err := scenario.Parse(filepath.Join(dir, "x.yaml"), []byte(src), scenario.Options{Target: target, Metrics: Metrics()})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := Plan(sc, Options{})
	if err != nil {
		t.Fatal(err)
	}
	res, err := plan.Run(t.Context(), "run")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range res.Workloads {
		for _, b := range w.Balances {
			if !b.Even() {
				t.Errorf("workload %s: %s: %d against %d", w.Name, b.Name, b.Left, b.Right)
			}
		}
	}
	return res
}

// Each turn sends the questions and answers before it, and its own question last.
func TestConversation(t *testing.T) {
	l := &listener{}
	res := runScenario(t, ".", serve(t, l), `
version: 1
name: talk
target: http://127.0.0.1
duration: 1500ms
workloads:
  chat:
    protocol: sse
    load: {stages: [{duration: 250ms, rate: 8/s, step: true}, {duration: 1250ms, rate: 0/s, step: true}], session: {turns: 3, think: 20ms}}
    request:
      path: /
      body: '{"session": {{ .Session | json }}, "turn": {{ .Turn }}, "messages": {{ .Messages | json }}}'
    dialect: openai
`)
	type body struct {
		Session  string
		Turn     int
		Messages []scenario.Message
	}
	sessions := make(map[string][]body)
	for _, text := range l.bodies {
		var b body
		if err := json.Unmarshal([]byte(text), &b); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		sessions[b.Session] = append(sessions[b.Session], b)
	}
	if len(sessions) != 2 {
		t.Fatalf("%d sessions, want 2", len(sessions))
	}
	for id, turns := range sessions {
		if len(turns) != 3 {
			t.Errorf("session %s has %d turns, want 3", id, len(turns))
		}
		for i, b := range turns {
			if b.Turn != i || len(b.Messages) != 2*i+1 || b.Messages[2*i].Role != scenario.RoleUser || b.Messages[2*i].Content == "" {
				t.Errorf("session %s, request %d: %+v", id, i, b)
			}
			if i == 0 {
				continue
			}
			before := turns[i-1].Messages
			if !slices.Equal(b.Messages[:2*i-1], before) || b.Messages[2*i-1].Role != scenario.RoleAssistant || !strings.HasPrefix(b.Messages[2*i-1].Content, "answer ") {
				t.Errorf("session %s, request %d: %+v, which does not go on from %+v", id, i, b.Messages, before)
			}
		}
	}
	for _, m := range res.Workloads[0].Metrics {
		if want, ok := map[string]float64{"offered": 6, "complete": 6, "sessions": 2, "sessions_completed": 2}[m.Name]; ok && m.Value != want {
			t.Errorf("%s = %v, want %v", m.Name, m.Value, want)
		}
	}
}

func TestConversationIsBounded(t *testing.T) {
	c := new(conversation)
	gone := 0
	for range 20 {
		gone += c.add("why", strings.Repeat("x", maxAnswer))
	}
	if len(c.messages)+gone != 40 || c.size > maxConversation || len(c.messages) != 6 || c.messages[0].Role != scenario.RoleUser {
		t.Errorf("%d messages of %d bytes, %d gone", len(c.messages), c.size, gone)
	}
}

// A trace comes with its distances and its tokens, after the warm-up.
func TestTraceReplay(t *testing.T) {
	dir := t.TempDir()
	trace := `{"timestamp": 0, "input_length": 3, "output_length": 30}
{"timestamp": 400, "input_length": 4, "output_length": 40}
{"timestamp": 600, "input_length": 5, "output_length": 50}
`
	if err := os.WriteFile(filepath.Join(dir, "x.jsonl"), []byte(trace), 0o600); err != nil {
		t.Fatal(err)
	}
	l := &listener{}
	res := runScenario(t, dir, serve(t, l), `
version: 1
name: replayed
target: http://127.0.0.1
warmup: 100ms
workloads:
  chat:
    protocol: sse
    load: {trace: {file: x.jsonl, speed: 2}}
    request: {path: /, body: '{{ .InputTokens }} {{ .OutputTokens }} {{ len .Prompt }}'}
    dialect: openai
`)
	if want := []string{"3 30 12", "4 40 16", "5 50 20"}; !slices.Equal(l.bodies, want) {
		t.Errorf("requests %q, want %q", l.bodies, want)
	}
	for i, want := range []time.Duration{100 * ms, 300 * ms, 400 * ms} {
		if at := l.at[i].Sub(res.Started); at < want || at > want+slack {
			t.Errorf("request %d came at %v, want %v", i, at, want)
		}
	}
	if d := time.Duration(res.Scenario.Duration); d != 301*ms {
		t.Errorf("duration %v", d)
	}
}
