package scenario

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

const (
	shipped   = "../../../scenarios/"
	published = shipped + "scenario.schema.json"
)

func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	src, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(src))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("scenario.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("scenario.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// bySchema validates a YAML document as an editor would.
func bySchema(s *jsonschema.Schema, src string) error {
	asJSON, err := yaml.YAMLToJSON([]byte(src))
	if err != nil {
		return err
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		return err
	}
	return s.Validate(doc)
}

func TestPublishedSchema(t *testing.T) {
	src, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, published, string(src))
	for _, description := range []string{"Dialect of the event stream", "at least 2", "so many users"} {
		if !strings.Contains(string(src), description) {
			t.Errorf("the schema does not say %q", description)
		}
	}
}

func TestShippedScenarios(t *testing.T) {
	s := compiledSchema(t)
	for folder, depth := range map[string]string{"": "./", "examples/": "../", "examples/deno/": "../../"} {
		t.Run(folder, func(t *testing.T) { checkShipped(t, s, folder, depth) })
	}
}

// checkShipped reads the files of one folder; depth leads from there to the schema. A
// file is named as its run; in a folder of the examples, the run has the folder's name before it.
func checkShipped(t *testing.T, s *jsonschema.Schema, folder, depth string) {
	t.Helper()
	files, err := filepath.Glob(shipped + folder + "*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("shipped scenarios: %v, %v", files, err)
	}
	prefix := ""
	if base := filepath.Base(folder); folder != "" && base != "examples" {
		prefix = base + "-"
	}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(src), "# yaml-language-server: $schema="+depth+"scenario.schema.json\n") {
			t.Errorf("%s does not name its schema first", file)
		}
		if err := bySchema(s, string(src)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		sc, err := ReadFile(file, Options{})
		if err != nil {
			t.Error(err)
			continue
		}
		if _, err := ReadEnvironments(file, Options{}); err != nil {
			t.Error(err)
		}
		if want := prefix + strings.TrimSuffix(filepath.Base(file), ".yaml"); sc.Name != want {
			t.Errorf("%s is named %q", file, sc.Name)
		}
	}
}

// The schema refuses the bad files whose fault lies in one value; the others
// need the whole file, another file, or the metrics of the drivers.
func TestSchemaRefusesBadFiles(t *testing.T) {
	s := compiledSchema(t)
	beyond := map[string]bool{"bad_template.yaml": true, "missing_feeder.yaml": true, "sink_absent.yaml": true}
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if name := filepath.Base(file); bySchema(s, string(src)) == nil && !beyond[name] && name != "two_documents.yaml" {
			t.Errorf("the schema takes %s", file)
		}
	}
}

// Schema and parser agree wherever one value, or the keys beside it, decide.
func TestSchemaAgreesWithParser(t *testing.T) {
	s := compiledSchema(t)
	check := func(name, src string, good bool) {
		t.Helper()
		_, parsed := Parse("testdata/agree.yaml", []byte(src), Options{Env: fullEnv})
		validated := bySchema(s, src)
		if (parsed == nil) != good || (validated == nil) != good {
			t.Errorf("%s: want good %v\nparser: %v\nschema: %v", name, good, parsed, validated)
		}
	}
	checks := "{status: 200}, {status: 2xx, name: fine}, {status: [200, 4xx]}, {header: {name: X-A}}, {header: {name: X-A, equals: 5}}, " +
		"{json: {path: '$[0].a', equals: true}}, {json: {path: $, matches: a}}, {json: {path: $.a, absent: true}}, {body: {equals: ''}}"
	// api is the rest of a small document with an http workload of these keys.
	api := func(keys string) string {
		return "body: x}\n  api: {protocol: http, load: {rate: 5/s}, " + keys + "}\n  last:\n    protocol: sse\n    load: {rate: 1/s}\n    request: {path: /"
	}
	// job is the same with a background workload's.
	job := func(job string) string {
		return strings.Replace(api("request: {path: /}, extract: {job: {json: $.id}}, job: "+job), "protocol: http", "protocol: background", 1)
	}
	check("small", small, true)
	check("full", full, true)
	for _, tc := range []struct {
		old, replacement string
		good             bool
	}{
		{"rate: 5/s", "rate: 600/m, arrivals: poisson, max_in_flight: 5", true},
		{"rate: 5/s", "rate: 5/s, arrivals: gamma, cv: 2", true},
		{"rate: 5/s", "stages: [{duration: 1s, rate: 1e3/s, step: true}]", true},
		{"rate: 5/s", "sine: {mean: 1/s, amplitude: 1/s, period: 1s}", true},
		{"rate: 5/s", "users: 5, ramp: 1s, think: 1m", true},
		{"rate: 5/s", `rate: "${RATE:-5/s}"`, true},
		{"users: 2", `users: "${USERS:-2}"`, true},
		{"body: x", `headers: {X-A: a, X-N: 5, X-B: true}`, true},
		{"duration: 10s", "duration: 1h2m3.5s\nseed: 0\nwarmup: 0s\ndrain: 90s\ndescription: ''", true},
		{"publish: 1/s", "publish: 1/s, payload: 'uniform:1B,2KiB', publishers: 2, stalled: 1, settle: 0s, binary: true", true},
		{"workloads:", "thresholds: {chat.ttft: ['p(99.9)<=1m30s', 'rate > 5/m', 'value != 3%', 'mean < 4KiB']}\nworkloads:", true},

		{"body: x", "body: x}\n  api:\n    protocol: http\n    load: {rate: 5/s}\n    http2: true\n    follow_redirects: 20\n    request: {path: /}\n    checks: [" + checks + "]\n  last:\n    protocol: sse\n    load: {rate: 1/s}\n    request: {path: /", true},
		{"body: x", api("targets: {file: targets/plain.txt, format: http, order: random}"), true},

		{"body: x", api("request: {path: /}, extract: {a: {header: X-A}, b_2: {json: $.b}}"), true},
		{"body: x", job("{}"), true},
		{"body: x", job("{callback: {}, failed: {json: {path: $.error}}, deadline: 1m}"), true},
		{"body: x", job("{callback: {header: X-Job, id: '{{ .Vars.job }}'}}"), true},
		{"body: x", job("{callback: {json: '$.text'}}"), true},
		{"body: x", job("{poll: {request: {path: '{{ .Vars.job }}'}, done: {status: 200}}}"), true},
		{"body: x", job("{poll: {request: {path: '/{{ .Vars.job }}'}, every: 1s, done: {status: 200}}}"), true},

		{"body: x", api("request: {path: /}, extract: {a: {}}"), false},
		{"body: x", api("request: {path: /}, extract: {2a: {header: X-A}}"), false},
		{"body: x", api("request: {path: /}, extract: {a: {header: X-A, json: $.a}}"), false},
		{"body: x", api("request: {path: /}, job: {}"), false},
		{"body: x", job("{callback: {header: X-A, query: a}}"), false},
		{"body: x", job("{callback: {}, poll: {request: {path: /}, done: {status: 200}}}"), false},
		{"body: x", job("{poll: {request: {path: /}}}"), false},
		{"body: x", job("{poll: {request: {path: /}, done: {}}}"), false},
		{"body: x", job("{failed: {}}"), false},
		{"body: x", job("{deadline: 5}"), false},

		{"body: x", api("request: {path: /}, targets: {file: targets/plain.txt}"), false},
		{"body: x", api("follow_redirects: 1"), false},
		{"body: x", api("request: {path: /}, follow_redirects: 21"), false},
		{"body: x", api("request: {path: /}, dialect: auto"), false},
		{"body: x", api("request: {path: /}, checks: []"), false},
		{"body: x", api("request: {path: /}, checks: [{}]"), false},
		{"body: x", api("request: {path: /}, checks: [{status: 700}]"), false},
		{"body: x", api("request: {path: /}, checks: [{status: 1xx}]"), false},
		{"body: x", api("request: {path: /}, checks: [{status: []}]"), false},
		{"body: x", api("request: {path: /}, checks: [{status: 200, body: {contains: a}}]"), false},
		{"body: x", api("request: {path: /}, checks: [{header: {equals: a}}]"), false},
		{"body: x", api("request: {path: /}, checks: [{header: {name: 'a b'}}]"), false},
		{"body: x", api("request: {path: /}, checks: [{header: {name: a, equals: b, contains: c}}]"), false},
		{"body: x", api("request: {path: /}, checks: [{json: {path: id}}]"), false},
		{"body: x", api("request: {path: /}, checks: [{json: {path: $, contains: ''}}]"), false},
		{"body: x", api("request: {path: /}, checks: [{body: {}}]"), false},
		{"body: x", api("request: {path: /}, targets: {file: targets/plain.txt, format: xml}"), false},
		{"protocol: sse\n", "protocol: sse\n    checks: [{status: 200}]\n", false},
		{"protocol: sse\n", "protocol: sse\n    targets: {file: targets/plain.txt}\n", false},
		{"rate: 5/s", "rate: 5/s, shape: bursty", true},
		{"rate: 5/s", "rate: 5/s, arrivals: bursty", true},
		{"rate: 5/s", "users: 5, shape: rag-long", true},
		{"rate: 5/s", "trace: {file: traces/small.csv, speed: 2, from: 1s, limit: 2}", true},
		{"rate: 5/s", "rate: 5/s, session: {turns: 'uniform:2,8', think: 1s}", true},
		{"rate: 5/s", "users: 5, session: {turns: 3}", true},
		{"workloads:", "environments: {local: {duration: 5s}}\nworkloads:", true},

		{"rate: 5/s", "rate: 5/s, shape: chat", false},
		{"rate: 5/s", "trace: {speed: 2}", false},
		{"rate: 5/s", "trace: {file: traces/small.csv, speed: 0}", false},
		{"rate: 5/s", "trace: {file: traces/small.csv, limit: 0}", false},
		{"rate: 5/s", "trace: {file: traces/small.csv}, shape: bursty", false},
		{"rate: 5/s", "rate: 5/s, session: {think: 1s}", false},
		{"rate: 5/s", "rate: 5/s, weight: 2", false},
		{"rate: 5/s", "weight: 0", false},
		{"workloads:", "mix: {rate: 5/s, sine: {mean: 1/s, amplitude: 0/s, period: 1s}}\nworkloads:", false},
		{"workloads:", "environments: {local: 5}\nworkloads:", false},
		{"users: 2", "users: 2, session: {turns: 3}", false},
		{"rate: 5/s", "", false},
		{"rate: 5/s", "rate: 5", false},
		{"rate: 5/s", "rate: -5/s", false},
		{"rate: 5/s", "rate: 5/s, users: 2", false},
		{"rate: 5/s", "rate: 5/s, think: 1s", false},
		{"rate: 5/s", "rate: 5/s, arrivals: gamma", false},
		{"rate: 5/s", "rate: 5/s, arrivals: lumpy", false},
		{"rate: 5/s", "rate: 5/s, arrivals: gamma, cv: 0", false},
		{"rate: 5/s", "rate: 5/s, max_in_flight: 0", false},
		{"rate: 5/s", "stages: []", false},
		{"rate: 5/s", "stages: [{rate: 5/s}]", false},
		{"rate: 5/s", "sine: {mean: 1/s, period: 1s}", false},
		{"rate: 5/s", "users: 5, arrivals: poisson", false},
		{"users: 2", "users: 0", false},
		{"users: 2", "users: two", false},
		{"users: 2", "users: 2.5", false},
		{"users: 2", "rate: 2/s", false},
		{"users: 2", "users: 2, think: 1s", false},
		{"protocol: websocket", "protocol: websocket\n    dialect: auto", false},
		{"protocol: websocket", "protocol: webrtc", false},
		{"protocol: sse\n", "protocol: sse\n    room: {path: /, members: 2, publish: 1/s}\n", false},
		{"protocol: sse\n", "", false},
		{"    request: {path: /, body: x}\n", "", false},
		{"path: /,", "", false},
		{"path: /,", "path: relative,", false},
		{"body: x", "headers: {'X A': a}", false},
		{"body: x", "headers: {X-A: [a]}", false},
		{"members: 2", "members: 1", false},
		{"publish: 1/s", "publish: 1/s, payload: 256", false},
		{"publish: 1/s", "publish: 1/s, publishers: 0", false},
		{"publish: 1/s", "publish: 1/s, stalled: -1", false},
		{"duration: 10s", "duration: 10", false},
		{"duration: 10s", "duration: 10 s", false},
		{"duration: 10s", "duration: 10s\nwarmup: -1s", false},
		{"duration: 10s", "duration: 10s\nseed: -1", false},
		{"duration: 10s", "duration: 10s\nextra: 1", false},
		{"version: 1", "version: 2", false},
		{"version: 1\n", "", false},
		{"name: small", "name: Small", false},
		{"name: small", "name: 5", false},
		{"target: http", "target: ftp", false},
		{"  chat:", "  Chat:", false},
		{"workloads:", "thresholds: {chat.ttft: ['p95 < 1s']}\nworkloads:", false},
		{"workloads:", "thresholds: {chat.ttft: []}\nworkloads:", false},
		{"workloads:", "thresholds: {chat.ttft: 'p(95) < 1s'}\nworkloads:", false},
		{"workloads:", "thresholds: {ttft: ['p(95) < 1s']}\nworkloads:", false},
	} {
		if !strings.Contains(small, tc.old) {
			t.Fatalf("the document has no %q", tc.old)
		}
		check(tc.old+" → "+tc.replacement, strings.Replace(small, tc.old, tc.replacement, 1), tc.good)
	}
}
