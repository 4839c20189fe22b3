package scenario

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// full uses every key of the format.
const full = `
version: 1
name: full.example-1
description: |
  Every key there is,
  costs $$5.
target: ${TARGET:-http://127.0.0.1:8080}
seed: 7
warmup: 2s
duration: 1m30s
drain: 0s
workloads:
  steady:
    protocol: sse
    load: {rate: 600/m, arrivals: gamma, cv: 2.5, max_in_flight: 500}
    request: &ask
      method: PUT
      path: /functions/v1/stream-ai?seq={{ .Seq }}
      headers:
        X-Run: '{{ .RunID }}'
        X-Sim-Seed: 7
        Authorization: Bearer ${KEY}
      body: '{"prompt": {{ .Prompt | json }}, "user": {{ .Feed.user | json }}}'
    dialect: openai
    feed: {file: feeds/people.csv, order: random}
    timeout: 20s
    http2: true
    insecure_skip_verify: true
    source: [127.0.0.2, 127.0.0.16/30]
    connect: {rate: 100/s, at_once: 10}
  ramped:
    protocol: sse
    load:
      stages:
        - {duration: 10s, rate: 50/s}
        - {duration: 1m, rate: 0/s, step: true}
    request:
      <<: *ask
      method: POST
    feed: {file: feeds/people.jsonl}
  swinging:
    protocol: sse
    load: {sine: {mean: 10/s, amplitude: 0/s, period: 10s}}
    request: {path: /}
  closed:
    protocol: sse
    load: {users: 0x10, ramp: 1s, think: 500ms}
    request: {path: '${HOME_PATH}'}
  api:
    protocol: http
    load: {rate: 5/s}
    request: {path: /items}
    follow_redirects: 3
    checks:
      - status: [200, 3xx]
      - {status: 204, name: no content}
      - header: {name: Content-Type, contains: json}
      - json: {path: '$.items[0]["id"]', equals: 7}
      - json: {path: $.error, absent: true}
      - body: {matches: '^\{'}
  listed:
    protocol: http
    load: {users: 2}
    targets: {file: targets/plain.txt, order: random}
    timeout: 5s
  rooms:
    protocol: websocket
    load: {users: 100, ramp: 2s}
    room:
      path: /functions/v1/ws-relay?room={{ .Room | urlquery }}
      headers: {X-User: '{{ .User }}'}
      members: 20
      publish: 10/h
      publishers: 4
      payload: lognormal:512B,0.8
      binary: true
      settle: 1s
      stalled: 2
thresholds:
  steady.ttft: ['p(95) < 800ms', 'p(99) < 2s']
  steady.ttft{conn=new}: ['count > 0']
  rooms.delivery_ratio: ['value == 1']
`

func fullEnv(name string) (string, bool) {
	v, ok := map[string]string{"KEY": "secret", "HOME_PATH": "/home", "TARGET": ""}[name]
	return v, ok
}

func mustParse(t *testing.T, src string, o Options) *Scenario {
	t.Helper()
	s, err := Parse("testdata/full.yaml", []byte(src), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParseFull(t *testing.T) {
	s := mustParse(t, full, Options{Env: fullEnv})
	want := &Scenario{
		Version: 1, Name: "full.example-1", Description: "Every key there is,\ncosts $5.\n", Target: "http://127.0.0.1:8080",
		Seed: 7, Warmup: Duration(2 * time.Second), Duration: Duration(90 * time.Second), Dir: "testdata", Secrets: []string{"secret"},
		Workloads: map[string]*Workload{
			"steady": {
				Protocol: SSE, Load: Load{Rate: 10, Arrivals: ArrivalsGamma, CV: 2.5, MaxInFlight: 500},
				Request: &Request{
					Method: "PUT", Path: "/functions/v1/stream-ai?seq={{ .Seq }}",
					Headers: map[string]string{"X-Run": "{{ .RunID }}", "X-Sim-Seed": "7", "Authorization": "Bearer secret"},
					Body:    `{"prompt": {{ .Prompt | json }}, "user": {{ .Feed.user | json }}}`,
				},
				Dialect: DialectOpenAI, Feed: &Feed{File: "feeds/people.csv", Order: FeedRandom},
				Timeout: Duration(20 * time.Second), HTTP2: true, InsecureSkipVerify: true,
				Source: []SourceRange{{netip.MustParsePrefix("127.0.0.2/32")}, {netip.MustParsePrefix("127.0.0.16/30")}}, Connect: Connect{Rate: 100, AtOnce: 10},
			},
			"ramped": {
				Protocol: SSE,
				Load: Load{Stages: []Stage{
					{Duration: Duration(10 * time.Second), Rate: 50}, {Duration: Duration(time.Minute), Step: true},
				}, Arrivals: ArrivalsConstant, MaxInFlight: 10000},
				Dialect: DialectAuto, Feed: &Feed{File: "feeds/people.jsonl", Order: FeedSequential}, Timeout: Duration(time.Minute), Connect: Connect{Rate: 5000, AtOnce: 500},
			},
			"swinging": {
				Protocol: SSE, Load: Load{Sine: &Sine{Mean: 10, Period: Duration(10 * time.Second)}, Arrivals: ArrivalsConstant, MaxInFlight: 10000},
				Request: &Request{Method: "GET", Path: "/"}, Dialect: DialectAuto, Timeout: Duration(time.Minute), Connect: Connect{Rate: 5000, AtOnce: 500},
			},
			"closed": {
				Protocol: SSE, Load: Load{Users: 16, Ramp: Duration(time.Second), Think: Duration(500 * time.Millisecond)},
				Request: &Request{Method: "GET", Path: "/home"}, Dialect: DialectAuto, Timeout: Duration(time.Minute), Connect: Connect{Rate: 5000, AtOnce: 500},
			},
			"api": {
				Protocol: HTTP, Load: Load{Rate: 5, Arrivals: ArrivalsConstant, MaxInFlight: 10000},
				Request: &Request{Method: "GET", Path: "/items"}, Timeout: Duration(30 * time.Second), FollowRedirects: 3, Connect: Connect{Rate: 5000, AtOnce: 500},
				Checks: []Check{
					{Status: Statuses{{200, 200}, {300, 399}}},
					{Status: Statuses{{204, 204}}, Name: "no content"},
					{Header: &HeaderCheck{Name: "Content-Type", Contains: "json"}},
					{JSON: &JSONCheck{
						Path:   JSONPath{Text: `$.items[0]["id"]`, Steps: []JSONStep{{Name: "items"}, {InArray: true}, {Name: "id"}}},
						Equals: literal("7"),
					}},
					{JSON: &JSONCheck{Path: JSONPath{Text: "$.error", Steps: []JSONStep{{Name: "error"}}}, Absent: true}},
					{Body: &BodyCheck{Matches: `^\{`}},
				},
			},
			"listed": {
				Protocol: HTTP, Load: Load{Users: 2}, Timeout: Duration(5 * time.Second), Connect: Connect{Rate: 5000, AtOnce: 500},
				Targets: &Targets{File: "targets/plain.txt", Format: TargetsHTTP, Order: FeedRandom},
			},
			"rooms": {
				Protocol: WebSocket, Load: Load{Users: 100, Ramp: Duration(2 * time.Second)},
				Room: &Room{
					Path: "/functions/v1/ws-relay?room={{ .Room | urlquery }}", Headers: map[string]string{"X-User": "{{ .User }}"},
					Members: 20, Publish: 10.0 / 3600, Publishers: 4, Payload: SizeDist{Min: 20, Max: 12561, Median: 512, Sigma: 0.8},
					Binary: true, Settle: Duration(time.Second), Stalled: 2,
				},
				Timeout: Duration(10 * time.Second), Connect: Connect{Rate: 5000, AtOnce: 500},
			},
		},
		Thresholds: map[string][]Threshold{
			"steady.ttft": {
				{Text: "p(95) < 800ms", Aggregate: AggregateQuantile, Quantile: 0.95, Op: Less, Bound: 8e8, BoundUnit: BoundTime},
				{Text: "p(99) < 2s", Aggregate: AggregateQuantile, Quantile: 0.99, Op: Less, Bound: 2e9, BoundUnit: BoundTime},
			},
			"steady.ttft{conn=new}": {{Text: "count > 0", Aggregate: AggregateCount, Op: Greater, BoundUnit: BoundNumber}},
			"rooms.delivery_ratio":  {{Text: "value == 1", Aggregate: AggregateValue, Op: Equal, Bound: 1, BoundUnit: BoundNumber}},
		},
	}
	merged := *want.Workloads["steady"].Request
	merged.Method = "POST"
	want.Workloads["ramped"].Request = &merged
	if diff := cmp.Diff(want, s, cmpopts.EquateComparable(SourceRange{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

const small = `
version: 1
name: small
target: http://127.0.0.1:8080
duration: 10s
workloads:
  chat:
    protocol: sse
    load: {rate: 5/s}
    request: {path: /, body: x}
  rooms:
    protocol: websocket
    load: {users: 2}
    room: {path: /relay, members: 2, publish: 1/s}
`

func TestDefaults(t *testing.T) {
	s := mustParse(t, small, Options{})
	chat, rooms := s.Workloads["chat"], s.Workloads["rooms"]
	if s.Seed != 1 || s.Warmup != 0 || s.Drain.String() != "10s" {
		t.Errorf("seed %d, warm-up %s, drain %s", s.Seed, s.Warmup, s.Drain)
	}
	if chat.Request.Method != "POST" || chat.Dialect != DialectAuto || chat.Timeout.String() != "1m" ||
		chat.Connect != (Connect{Rate: 5000, AtOnce: 500}) || chat.Source != nil || chat.Load.Arrivals != ArrivalsConstant || chat.Load.MaxInFlight != 10000 {
		t.Errorf("chat: %+v, %+v", chat, chat.Request)
	}
	if r := rooms.Room; r.Publishers != 1 || r.Payload.String() != "256B" || r.Settle.String() != "250ms" || rooms.Timeout.String() != "10s" ||
		rooms.Load.MaxInFlight != 0 || rooms.Load.Arrivals != "" || rooms.Dialect != "" {
		t.Errorf("rooms: %+v, %+v", rooms, r)
	}
	zero := mustParse(t, strings.Replace(small, "duration: 10s", "duration: 10s\ndrain: 0s\nseed: 0", 1), Options{})
	if zero.Seed != 0 || zero.Drain != 0 {
		t.Errorf("zeros that were given: seed %d, drain %s", zero.Seed, zero.Drain)
	}
	staged := strings.Replace(strings.Replace(small, "duration: 10s", "warmup: 1s", 1), "rate: 5/s", "stages: [{duration: 5s, rate: 1/s}, {duration: 7s, rate: 9/s}]", 1)
	if s := mustParse(t, staged, Options{}); s.Duration.String() != "12s" {
		t.Errorf("duration of the stages: %s", s.Duration)
	}
}

func TestOverrides(t *testing.T) {
	src := strings.NewReplacer("target: http://127.0.0.1:8080", "target: ${UNSET}", "duration: 10s", "duration: ${UNSET}").Replace(small)
	s := mustParse(t, src, Options{Target: "https://example.com", Duration: Duration(time.Second), Rate: 99})
	if s.Target != "https://example.com" || s.Duration.String() != "1s" || s.Workloads["chat"].Load.Rate != 99 || s.Workloads["rooms"].Load.Rate != 0 {
		t.Errorf("%+v", s)
	}
	for _, tc := range []struct {
		src  string
		o    Options
		want string
	}{
		{small, Options{Target: "ftp://x"}, "4:1: target: \"ftp://x\""},
		{small, Options{Duration: Duration(1000 * time.Hour)}, "duration: 1000h is above"},
		{strings.Replace(small, "rate: 5/s", "sine: {mean: 5/s, amplitude: 1/s, period: 1s}", 1), Options{Rate: 5}, "9:5: workloads.chat.load: has no constant rate"},
		{strings.Replace(small, "rate: 5/s", "users: 5", 1), Options{Rate: 5}, "no workload has a rate"},
	} {
		_, err := Parse("x.yaml", []byte(tc.src), tc.o)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: %v; want %q", tc.o, err, tc.want)
		}
	}
}

func TestEnvironment(t *testing.T) {
	env := func(name string) (string, bool) {
		v, ok := map[string]string{"USERS": "12", "RATE": "7/s", "ON": "true", "PROTO": "sse", "EMPTY": ""}[name]
		return v, ok
	}
	src := `
version: ${VERSION:-1}
name: env
target: http://${HOST:-localhost}:${PORT:-80}
duration: ${EMPTY:-5s}
workloads:
  a: {protocol: "${PROTO}", load: {rate: "${RATE}"}, http2: "${ON}", request: {path: /, body: "$${X} $5 $ ${EMPTY}.", method: POST}}
  b:
    protocol: sse
    load: {users: "${USERS}"}
    request: {path: /}
`
	s := mustParse(t, src, Options{Env: env})
	if a := s.Workloads["a"]; a.Load.Rate != 7 || !a.HTTP2 || a.Request.Body != "${X} $5 $ ." || s.Workloads["b"].Load.Users != 12 || s.Target != "http://localhost:80" || s.Duration.String() != "5s" {
		t.Errorf("%+v, %+v, %+v", s, a, a.Request)
	}
	bad := `
version: 1
name: env
target: http://${HOST}:${PORT}
duration: ${two words}
warmup: ${open
workloads:
  a:
    protocol: sse
    load: {users: "${WORD:-many}"}
    request:
      path: /
      body: |
        first line
          then ${MISSING}
`
	var got []string
	for _, p := range problemsOf(t, "env.yaml", bad, Options{}) {
		got = append(got, strings.SplitN(p.Error(), "\n", 2)[0])
	}
	want := []string{
		`env.yaml:4:16: target: the environment variable HOST is not set and has no default; set it, give -e HOST=…, or write ${HOST:-default}`,
		`env.yaml:4:24: target: the environment variable PORT is not set and has no default; set it, give -e PORT=…, or write ${PORT:-default}`,
		`env.yaml:5:11: duration: ${two words} does not name a variable; want ${NAME} or ${NAME:-default}, or $$ for a literal dollar`,
		`env.yaml:6:9: warmup: "${" is not closed; write $${ for a literal one`,
		`env.yaml:10:19: workloads.a.load.users: want a whole number, found "many"`,
		`env.yaml:15:16: workloads.a.request.body: the environment variable MISSING is not set and has no default; set it, give -e MISSING=…, or write ${MISSING:-default}`,
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(SourceRange{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A resolved scenario is part of every result: it must come back the same.
func TestJSONRoundTrip(t *testing.T) {
	s := mustParse(t, full, Options{Env: fullEnv})
	first, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"warmup":"2s"`, `"duration":"1m30s"`, `"rate":"10/s"`, `"publish":"10/h"`, `"payload":"lognormal:512B,0.8"`, `"p(95) \u003c 800ms"`, `"drain":"0s"`} {
		if !bytes.Contains(first, []byte(part)) {
			t.Errorf("no %s in %s", part, first)
		}
	}
	var back Scenario
	if err := json.Unmarshal(first, &back); err != nil {
		t.Fatal(err)
	}
	back.Dir, back.Secrets = s.Dir, s.Secrets
	if diff := cmp.Diff(s, &back, cmpopts.EquateComparable(SourceRange{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, bad := range []string{`{"warmup": 5}`, `{"warmup": "5"}`, `{"thresholds": {"a.b": ["p95 < 1"]}}`, `{"workloads": {"a": {"load": {"rate": "-1/s"}}}}`} {
		if err := json.Unmarshal([]byte(bad), new(Scenario)); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

// What yaml.Marshal writes of a scenario is a scenario file again.
func TestYAMLRoundTrip(t *testing.T) {
	s := mustParse(t, full, Options{Env: fullEnv})
	src, err := yaml.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	src = bytes.ReplaceAll(src, []byte("$"), []byte("$$"))
	src = bytes.ReplaceAll(src, []byte("Bearer secret"), []byte("Bearer ${KEY}")) // which no file holds
	back := mustParse(t, string(src), Options{Env: fullEnv})
	s.Drain, s.Seed = back.Drain, back.Seed // zeros are left out of YAML and take their defaults again
	if diff := cmp.Diff(s, back, cmpopts.EquateComparable(SourceRange{})); diff != "" {
		t.Errorf("(-want +got):\n%s\n%s", diff, src)
	}
}

func TestSyntaxTaken(t *testing.T) {
	for name, src := range map[string]string{
		"CRLF":             strings.ReplaceAll(small, "\n", "\r\n"),
		"BOM":              "\ufeff" + small,
		"document markers": "---" + small + "...\n",
		"directive":        "%YAML 1.2\n---" + small,
		"JSON":             `{"version": 1, "name": "small", "target": "http://h", "duration": "1s", "workloads": {"a": {"protocol": "sse", "load": {"users": 1}, "request": {"path": "/"}}}}`,
		"tab in a block":   strings.Replace(small, "body: x}", "}", 1) + "  t:\n    protocol: sse\n    load: {users: 1}\n    request:\n      path: /\n      body: |\n        {\n        \t\"a\": 1\n        }\n",
		"tab in a comment": "\t# a comment\n" + small,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse("x.yaml", []byte(src), Options{}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSyntaxRefused(t *testing.T) {
	in := func(old, replacement string) string { return strings.Replace(small, old, replacement, 1) }
	for name, tc := range map[string]struct{ src, want string }{
		"binary":             {"\x7fELF\x02\x01", "1:1: not YAML: control character 0x7f"},
		"UTF-16":             {"\xff\xfev\x00", "1:1: not YAML: byte 0xff"},
		"Latin-1":            {"version: 1\nname: caf\xe9\n", "2:10: not YAML: byte 0xe9"},
		"a list":             {"- a\n- b\n", "1:1: not a scenario: want keys and values such as \"version: 1\", found a list"},
		"a number":           {"42", "found the number 42"},
		"too deep":           {strings.Repeat("[", 5000), "nested more than"},
		"too large":          {strings.Repeat("#\n", 1<<20), "larger than 1MiB"},
		"alias to itself":    {in("load: {rate: 5/s}", "load: &x *x"), "9:14: not YAML"},
		"merge of itself":    {in("load: {rate: 5/s}", "load: &x {<<: *x, rate: 5/s}"), "aliases within aliases"},
		"merge of a number":  {in("load: {rate: 5/s}", "load: {<<: 5, rate: 5/s}"), "want keys and values, found the number 5"},
		"complex key":        {in("load: {rate: 5/s}", "load: {[a]: 5}"), ":"},
		"quoted number":      {in("users: 2", "users: '2'"), "workloads.rooms.load.users: want a whole number, found the text \"2\""},
		"fraction":           {in("users: 2", "users: 2.5"), "want a whole number, found the number 2.5"},
		"huge number":        {in("users: 2", "users: 99999999999999999999"), "workloads.rooms.load.users: want a whole number"},
		"negative seed":      {in("duration: 10s", "duration: 10s\nseed: -1"), "seed: want a whole number from 0, found the number -1"},
		"number as text":     {in("name: small", "name: 5"), "name: want text, found the number 5; put it in quotes"},
		"list as text":       {in("name: small", "name: [a]"), "name: want text, found a list"},
		"map as rate":        {in("rate: 5/s", "rate: {a: b}"), "want a number and a unit of time such as 50/s, 600/m or 10/h, found keys and values"},
		"null workload":      {in("  chat:\n    protocol: sse\n    load: {rate: 5/s}\n    request: {path: /, body: x}\n", "  chat:\n"), "7:3: workloads.chat: no value"},
		"null header":        {in("body: x}", "headers: {X-A: }}"), "X-A: no value"},
		"list as header":     {in("body: x}", "headers: {X-A: [b]}}"), "X-A: want text, found a list"},
		"no workloads":       {"version: 1\nname: a\ntarget: http://h\nduration: 1s\nworkloads: {}\n", "5:12: workloads: want at least one workload"},
		"only a name":        {"name: a\n", "1:1: workloads: this key is required"},
		"no duration":        {in("duration: 10s\n", ""), "duration: this key is required: no workload has stages"},
		"password in target": {in("http://127", "http://u:p@127"), "no user and password"},
		"query in target":    {in(":8080", ":8080/?a=b"), "no query"},
		"websocket by rate":  {in("users: 2", "rate: 2/s"), "give users instead"},
		"ramp too long":      {in("users: 2", "users: 2, ramp: 11s"), "some users would never begin"},
		"CV without gamma":   {in("rate: 5/s", "rate: 5/s, arrivals: poisson, cv: 1"), "goes only with arrivals: gamma"},
		"CV of nothing":      {in("rate: 5/s", "rate: 5/s, arrivals: gamma, cv: 0"), "cv: must be from 0.001 to 100"},
		"CV not a number":    {in("rate: 5/s", "rate: 5/s, arrivals: gamma, cv: .nan"), "cv: want a number"},
		"stages of silence":  {in("rate: 5/s", "stages: [{duration: 1s, rate: 0/s}]"), "at least one stage must have a rate above 0/s"},
		"blank in path":      {in("path: /,", "path: '/a b',"), "no blanks"},
		"host as path":       {in("path: /,", "path: //host/x,"), "begins with one slash"},
		"line in a header":   {in("body: x}", `headers: {X-A: "a\nb"}}`), "no line breaks"},
		"feed of a folder":   {in("request: {path: /, body: x}", "request: {path: /}\n    feed: {file: testdata}"), "not a regular file"},
		"feed without name":  {in("request: {path: /, body: x}", "request: {path: /}\n    feed: {file: ''}"), "names no file"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := problemsOf(t, "x.yaml", tc.src, Options{}); !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v\nwant %q", err, tc.want)
			}
		})
	}
}

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "small.yaml")
	if err := os.WriteFile(path, []byte(small), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := ReadFile(path, Options{})
	if err != nil || s.Dir != dir {
		t.Errorf("ReadFile = %+v, %v; want the folder %s", s, err, dir)
	}
	var problems Problems
	if _, err := ReadFile(filepath.Join(dir, "none.yaml"), Options{}); err == nil || errors.As(err, &problems) {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := ReadFile(dir, Options{}); err == nil || errors.As(err, &problems) {
		t.Errorf("a folder: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, glob := range []string{"../../../scenarios/*.yaml", "testdata/bad/*.yaml"} {
		files, err := filepath.Glob(glob)
		if err != nil || len(files) < 3 {
			f.Fatalf("%s: %v, %v", glob, files, err)
		}
		for _, file := range files {
			src, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(src)
		}
	}
	f.Add([]byte(full))
	f.Add([]byte(small))
	f.Fuzz(func(t *testing.T, src []byte) {
		s, err := Parse("testdata/fuzz.yaml", src, Options{Env: fullEnv, Metrics: someMetrics()})
		if err == nil {
			if _, err := json.Marshal(s); err != nil || s == nil {
				t.Errorf("taken, but not written: %v", err)
			}
			return
		}
		var problems Problems
		if !errors.As(err, &problems) || len(problems) == 0 || s != nil {
			t.Fatalf("Parse = %v, %v", s, err)
		}
		for _, p := range problems {
			if p.File == "" || p.Line < 1 || p.Column < 1 || p.Message == "" {
				t.Errorf("a problem without a place: %+v", p)
			}
			_ = p.Error() // must not panic either
		}
	})
}
