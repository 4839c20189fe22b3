package scenario

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const sinkScenario = `
version: 1
name: sink
target: http://127.0.0.1:8080
duration: 10s
sink:
  listen: 0.0.0.0:9000
  url: http://host.docker.internal:9000/
  upstreams:
    slack: {}
    llm:
      delay: uniform:1ms,2ms
      odds: {529: 1%, 'reset': 0.005, '429,retry-after:2s': 10%}
      outage: {from: 2s, for: 3s, reply: '503,delay:1s'}
      stream: {}
    chat:
      replies: [503, '200,delay:150ms']
      stream: {dialect: openai, ttft: 'lognormal:200ms,0.5', gap: 10ms, tokens: 'uniform:5,10'}
workloads:
  ask:
    protocol: http
    load: {rate: 1/s}
    request: {path: '/?upstream={{ .Sink | urlquery }}/llm'}
`

func TestSinkAndItsUpstreams(t *testing.T) {
	s, err := Parse("sink.yaml", []byte(sinkScenario), Options{})
	if err != nil {
		t.Fatal(err)
	}
	lognormal, err := ParseTimeDist("lognormal:200ms,0.5")
	if err != nil {
		t.Fatal(err)
	}
	few, err := ParseTimeDist("uniform:1ms,2ms")
	if err != nil {
		t.Fatal(err)
	}
	counts, err := ParseCountDist("uniform:5,10")
	if err != nil {
		t.Fatal(err)
	}
	want := &Sink{
		Listen: "0.0.0.0:9000", URL: "http://host.docker.internal:9000/",
		Upstreams: map[string]*Upstream{
			"slack": {},
			"llm": {
				Delay: few, Odds: map[string]Share{"529": 0.01, "reset": 0.005, "429,retry-after:2s": 0.1},
				Outage: &Outage{From: Duration(2 * time.Second), For: Duration(3 * time.Second), Reply: Reply{Status: 503, Delay: time.Second}},
				Stream: &LLMStream{
					Dialect: DialectAnthropic, TTFT: Every(300 * time.Millisecond), Gap: Every(20 * time.Millisecond), Tokens: Always(128),
				},
			},
			"chat": {
				Replies: []Reply{{Status: 503}, {Status: 200, Delay: 150 * time.Millisecond}},
				Stream:  &LLMStream{Dialect: DialectOpenAI, TTFT: lognormal, Gap: Every(10 * time.Millisecond), Tokens: counts},
			},
		},
	}
	same := cmp.AllowUnexported(TimeDist{}, CountDist{}, shape{})
	if diff := cmp.Diff(want, s.Sink, same); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var again Scenario
	if err := json.Unmarshal(b, &again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, again.Sink, same); diff != "" {
		t.Errorf("as JSON (-want +got):\n%s", diff)
	}
	if err := bySchema(compiledSchema(t), sinkScenario); err != nil {
		t.Errorf("the schema refuses it: %v", err)
	}
}

// The upstreams that docs/sink.md shows are good ones.
func TestDocumentedUpstreams(t *testing.T) {
	page, err := os.ReadFile("../../../docs/sink.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(page), "```yaml\n")
	block, _, ok := strings.Cut(block, "```")
	if !ok {
		t.Fatal("docs/sink.md shows no scenario")
	}
	const around = "version: 1\nname: docs\ntarget: http://127.0.0.1:1\nduration: 30s\nworkloads: {w: {protocol: http, load: {rate: 1/s}, request: {path: /}}}\n"
	s, err := Parse("docs/sink.md", []byte(around+block), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Sink.Upstreams) != 4 {
		t.Errorf("upstreams %v", s.Sink.Upstreams)
	}
}

func TestNeedsSink(t *testing.T) {
	for want, scenarios := range map[bool][]Scenario{
		false: {{}, {Workloads: map[string]*Workload{"a": {Protocol: SSE}, "b": {Protocol: HTTP}, "c": {Protocol: WebSocket}, "d": nil}}},
		true: {
			{Sink: &Sink{}},
			{Workloads: map[string]*Workload{"a": {Protocol: Background}}},
			{Workloads: map[string]*Workload{"a": {Protocol: SSE}, "b": {Protocol: Cron}}},
			{Workloads: map[string]*Workload{"a": {Protocol: Retry}}},
		},
	} {
		for _, s := range scenarios {
			if s.NeedsSink() != want {
				t.Errorf("%+v needs a sink: %v", s, !want)
			}
		}
	}
}

func TestListenAddresses(t *testing.T) {
	for text, good := range map[string]bool{
		"127.0.0.1:0": true, ":9000": true, "localhost:65535": true, "[::1]:80": true, "0.0.0.0:1": true,
		"": false, "127.0.0.1": false, "::1:80": false, "a:b": false, "a:65536": false, "a:080": false, "http://a:80": false, "a:-1": false,
	} {
		if problem := listenProblem(text); (problem == "") != good {
			t.Errorf("%q: %q", text, problem)
		}
	}
}
