package driver

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// pathOf is a JSON path.
func pathOf(tb testing.TB, text string) scenario.JSONPath {
	tb.Helper()
	p, err := scenario.ParseJSONPath(text)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func TestExtracts(t *testing.T) {
	from := func(text string) *scenario.Extract {
		if strings.HasPrefix(text, "$") {
			return &scenario.Extract{JSON: pathOf(t, text)}
		}
		return &scenario.Extract{Header: text}
	}
	for _, tt := range []struct {
		from, body, value, problem string
	}{
		{"x-job-id", "", "a-1", ""},
		{"X-None", "", "", "no header X-None"},
		{"$.id", `{"id": "a \"b\""}`, `a "b"`, ""},
		{"$.id", `{"id": 7.50}`, "7.50", ""},
		{"$.id", `{"id": true}`, "true", ""},
		{"$.id", `{"id": ""}`, "", ""},
		{"$.all", `{"all": [1,{"a":null}]}`, `[1,{"a":null}]`, ""},
		{"$.all[*].id", `{"all": [{}, {"id": 2}, {"id": 3}]}`, "2", ""},
		{"$.id", `{"id": null}`, "", "$.id leads to nothing in 200 OK"},
		{"$.id", `[]`, "", "$.id leads to nothing in 200 OK"},
		{"$.id", `oops`, "", "no JSON"},
	} {
		e, err := newExtracts(map[string]*scenario.Extract{"job": from(tt.from), "also": {Header: "X-Job-Id"}})
		if err != nil {
			t.Fatal(err)
		}
		x := &httpExchange{
			answer: &http.Response{Status: "200 OK", Header: http.Header{"X-Job-Id": {"a-1", "b"}}},
			kept:   []byte(tt.body), size: len(tt.body),
		}
		vars, class, problem := e.from(x)
		if tt.problem != "" {
			if class != "extract job" || !strings.Contains(problem, tt.problem) || vars != nil {
				t.Errorf("%s of %s: %v, %q, %q", tt.from, tt.body, vars, class, problem)
			}
			continue
		}
		if diff := cmp.Diff(map[string]string{"job": tt.value, "also": "a-1"}, vars); diff != "" || problem != "" {
			t.Errorf("%s of %s: %s %s", tt.from, tt.body, diff, problem)
		}
	}
	if _, err := newExtracts(map[string]*scenario.Extract{"a": nil}); err == nil {
		t.Error("an extract from nothing")
	}
}

// A value that is not there is a failed check: what needs it cannot go on.
func TestHTTPExtracts(t *testing.T) {
	target := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/long" {
			_, _ = w.Write([]byte(`{"id": 1, "more": "` + strings.Repeat("x", maxChecked) + `"}`))
			return
		}
		_, _ = w.Write([]byte(`{"id": 1}`))
	}))
	run := get(target, "/")
	run.Extract = map[string]*scenario.Extract{"id": {JSON: pathOf(t, "$.id")}}
	run.do(t).counts(map[string]float64{"succeeded": 1, "failed": 0})
	run.Request.Path = "/long"
	run.do(t).failed("extract id", "extracts look at")
	run = get(target, "/")
	run.Extract = map[string]*scenario.Extract{"id": {JSON: pathOf(t, "$.nope")}}
	f := run.do(t)
	f.counts(map[string]float64{"check_failed": 1, "failed": 1})
	f.failed("extract id", "$.nope leads to nothing", `{"id": 1}`)
}
