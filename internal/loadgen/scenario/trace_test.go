package scenario

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestOpenTrace(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name  string
		trace Trace
		want  []traceRow
	}{
		{"azure", Trace{File: "small.csv", Format: TraceAzure, Speed: 1},
			[]traceRow{{0, 120, 40}, {1000 * ms, 8, 2}, {1500*ms + 100, 900, 77}, {3000 * ms, 15, 300}}},
		{"twice as fast", Trace{File: "small.csv", Format: TraceAzure, Speed: 2},
			[]traceRow{{0, 120, 40}, {500 * ms, 8, 2}, {750*ms + 50, 900, 77}, {1500 * ms, 15, 300}}},
		{"slower, a part", Trace{File: "small.csv", Format: TraceAzure, Speed: .5, From: Duration(1500 * ms), Limit: 2},
			[]traceRow{{200, 900, 77}, {3000 * ms, 15, 300}}},
		{"mooncake, put in order", Trace{File: "small.jsonl", Format: TraceMooncake, Speed: 1},
			[]traceRow{{0, 5000, 100}, {1500 * ms, 60, 900}, {3000 * ms, 700, 10}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			rows, err := OpenTrace("testdata/traces", &c.trace)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, rows.rows, cmp.AllowUnexported(traceRow{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestBadTraces(t *testing.T) {
	const header = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
	for _, c := range []struct{ name, content, want string }{
		{"a.csv", "", "a.csv:1: no header line"},
		{"a.csv", "TIMESTAMP,Tokens\n", "a.csv:1: no column ContextTokens"},
		{"a.csv", header, "a.csv: no rows"},
		{"a.csv", header + "2024-02-03 10:00:00,1,2\nyesterday,1,2\n", `a.csv:3: TIMESTAMP "yesterday": want one such as`},
		{"a.csv", header + "2024-02-03 10:00:00,1,-2\n", `a.csv:2: GeneratedTokens "-2": want a whole number`},
		{"a.csv", header + "2024-02-03 10:00:00,1\n", "a.csv:2: wrong number of fields"},
		{"a.csv", header + "2024-02-03 10:00:00,1,1\n2025-02-03 10:00:00,1,1\n", "longer than 720h"},
		{"a.jsonl", `{"timestamp": 1, "input_length": 1, "output_length": 1}` + "\n{}\n", "a.jsonl:2: want timestamp, input_length"},
		{"a.jsonl", "[]\n", "a.jsonl:1: want an object"},
		{"a.jsonl", `{"timestamp": 1, "input_length": 1.5, "output_length": 1}`, `a.jsonl:1: input_length "1.5"`},
		{"a.jsonl", `{"timestamp": 1e300, "input_length": 1, "output_length": 1}`, "a.jsonl:1: timestamp 1e+300: want milliseconds"},
	} {
		path := filepath.Join(t.TempDir(), c.name)
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		trace := Trace{File: path, Speed: 1}
		trace.complete()
		if rows, err := OpenTrace(".", &trace); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, %v; want %q", c.content, rows, err, c.want)
		}
	}
	if _, err := OpenTrace("testdata/traces", &Trace{File: "small.csv", Speed: 1, From: Duration(time.Hour)}); err == nil || !strings.Contains(err.Error(), "no rows from 1h on") {
		t.Errorf("from beyond the end: %v", err)
	}
}

const traced = `
version: 1
name: traced
target: http://127.0.0.1:8080
workloads:
  chat:
    protocol: sse
    load: {trace: {file: traces/small.csv, speed: 2}}
    request: {path: /, body: '{{ .Prompt | len }} {{ .InputTokens }} {{ .OutputTokens }}'}
`

func TestTraceOfAScenario(t *testing.T) {
	s := mustParse(t, traced, Options{})
	if s.Duration.String() != "1.501s" || s.Workloads["chat"].Load.Trace.Format != TraceAzure {
		t.Errorf("duration %s, %+v", s.Duration, s.Workloads["chat"].Load.Trace)
	}
	if s := mustParse(t, traced, Options{Duration: Duration(time.Second)}); s.Duration.String() != "1s" {
		t.Errorf("duration that was given: %s", s.Duration)
	}
	body, err := CompileTemplate("body", s.Workloads["chat"].Request.Body)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := OpenTrace("testdata", s.Workloads["chat"].Load.Trace)
	if err != nil {
		t.Fatal(err)
	}
	got, err := body.Append(nil, &Data{Workload: "chat", Seq: 2, Lengths: NewLengths("", rows, "chat", 1)})
	if err != nil || string(got) != "3600 900 77" {
		t.Errorf("body of row 2: %q, %v", got, err)
	}
}

func FuzzTrace(f *testing.F) {
	for _, name := range []string{"small.csv", "small.jsonl"} {
		src, err := os.ReadFile(filepath.Join("testdata/traces", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		for name, read := range map[string]func([]byte) ([]traceRow, int, error){"azure": readAzure, "mooncake": readMooncake} {
			rows, line, err := read(src)
			if err != nil && (line < 1 || line > strings.Count(string(src), "\n")+1) {
				t.Errorf("%s: %v on line %d", name, err, line)
			}
			for _, r := range rows {
				if r.in < 0 || r.out < 0 || r.in > maxTraceTokens || r.out > maxTraceTokens {
					t.Errorf("%s: %+v", name, r)
				}
			}
		}
	})
}
