package driver

import (
	"fmt"
	"strings"
	"testing"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

func lit(text string) *scenario.Literal { l := scenario.Literal(text); return &l }

func jsonCheck(t *testing.T, path string, k scenario.JSONCheck) scenario.Check {
	t.Helper()
	p, err := scenario.ParseJSONPath(path)
	if err != nil {
		t.Fatal(err)
	}
	k.Path = p
	return scenario.Check{JSON: &k}
}

func TestHTTPChecks(t *testing.T) {
	const body = `{"id": 7, "big": 9007199254740993, "name": "Anna \u0041", "ok": true, "none": null, "list": [{"n": 1}, {"n": 2, "s": "two"}], "o": {"b": 2.0, "a": "x"}, "a b": ""}`
	server := listen(t, always(fmt.Sprintf("HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nX-Two: one\r\nx-two: two\r\nSet-Cookie: s3cret\r\nContent-Length: %d\r\n\r\n%s", len(body), body)))
	header := func(h scenario.HeaderCheck) scenario.Check { return scenario.Check{Header: &h} }
	whole := func(b scenario.BodyCheck) scenario.Check { return scenario.Check{Body: &b} }
	j := func(path string, k scenario.JSONCheck) scenario.Check { return jsonCheck(t, path, k) }
	equals := func(text string) scenario.JSONCheck { return scenario.JSONCheck{Equals: lit(text)} }

	for _, k := range []scenario.Check{
		{Status: scenario.Statuses{{First: 201, Last: 201}}},
		header(scenario.HeaderCheck{Name: "content-type"}),
		header(scenario.HeaderCheck{Name: "Content-Type", Equals: lit("application/json")}),
		header(scenario.HeaderCheck{Name: "X-Two", Equals: lit("two")}),
		header(scenario.HeaderCheck{Name: "X-Two", Contains: "ne"}),
		header(scenario.HeaderCheck{Name: "X-Two", Matches: "^t.o$"}),
		header(scenario.HeaderCheck{Name: "X-Three", Absent: true}),
		whole(scenario.BodyCheck{Equals: lit(body)}),
		whole(scenario.BodyCheck{Contains: `"id": 7`}),
		whole(scenario.BodyCheck{Matches: `"id": \d`}),
		j("$", scenario.JSONCheck{}),
		j("$.id", equals("7")), j("$.id", equals("7.0")), j("$.big", equals("9007199254740993")),
		j("$.name", equals("Anna A")), j("$.name", equals(`"Anna A"`)), j("$['a b']", equals("")), j("$.ok", equals("true")), j("$.none", equals("null")),
		j("$.name", scenario.JSONCheck{Contains: "nna"}), j("$.name", scenario.JSONCheck{Matches: "^A"}),
		j("$.list[1].n", equals("2")), j("$.list[-1].s", equals("two")), j("$.list[*].n", equals("2")), j("$.*.a", equals("x")), j("$.list.*.s", scenario.JSONCheck{}),
		j("$.o", equals(`{"a": "x", "b": 2}`)), j("$.list", equals(`[{"n":1},{"s":"two","n":2}]`)),
		j("$.missing", scenario.JSONCheck{Absent: true}), j("$.list[2]", scenario.JSONCheck{Absent: true}), j("$.id.x", scenario.JSONCheck{Absent: true}),
	} {
		f := get("http://"+server.addr, "/").with(k).do(t)
		if f.metrics["succeeded"].Value != 1 {
			t.Errorf("%v: %+v", k, f.errors)
		}
	}
	for _, tt := range []struct {
		k       scenario.Check
		example string
	}{
		{scenario.Check{Status: scenario.Statuses{{First: 200, Last: 200}}}, "201 Created, application/json: {"},
		{header(scenario.HeaderCheck{Name: "X-Three"}), "no header X-Three"},
		{header(scenario.HeaderCheck{Name: "X-Two", Equals: lit("three")}), "X-Two: one, two"},
		{header(scenario.HeaderCheck{Name: "X-Two", Absent: true}), "X-Two: one, two"},
		{header(scenario.HeaderCheck{Name: "Set-Cookie", Equals: lit("x")}), "header Set-Cookie is there"},
		{whole(scenario.BodyCheck{Equals: lit("x")}), body[:20]},
		{whole(scenario.BodyCheck{Contains: "Berta"}), body[:20]},
		{whole(scenario.BodyCheck{Matches: "^id"}), body[:20]},
		{j("$.id", equals("8")), "$.id is 7"},
		{j("$.id", equals(`"7"`)), "$.id is 7"},
		{j("$.id", scenario.JSONCheck{Contains: "7"}), "$.id is 7"},
		{j("$.big", equals("9007199254740992")), "$.big is 9007199254740993"},
		{j("$.name", equals("Anna")), `$.name is "Anna A"`},
		{j("$.name", equals("7")), `$.name is "Anna A"`},
		{j("$.ok", equals("false")), "$.ok is true"},
		{j("$.ok", equals(`"true"`)), "$.ok is true"},
		{j("$.none", scenario.JSONCheck{Absent: true}), "$.none is null"},
		{j("$.list[*].n", equals("3")), "$.list[*].n is 1"},
		{j("$.o", equals(`{"a": "x"}`)), `$.o is {"b":2.0,"a":"x"}`},
		{j("$.list", equals("[]")), "$.list is ["},
		{j("$.list[5]", scenario.JSONCheck{}), "$.list[5] leads to nothing in 201"},
		{j("$[0]", scenario.JSONCheck{}), "leads to nothing"},
		{j("$.list.n", scenario.JSONCheck{}), "leads to nothing"},
	} {
		f := get("http://"+server.addr, "/").with(scenario.Check{Header: &scenario.HeaderCheck{Name: "X-Two"}}, tt.k).do(t)
		f.totals(map[string]float64{"requests": 1, "check_failed": 1, "failed": 1, "status_2xx": 1, "connections": 1, "bytes_in": float64(len(body))})
		f.failed("check "+tt.k.String(), tt.example)
		if strings.Contains(f.errors["check "+tt.k.String()].Example, "s3cret") {
			t.Errorf("a cookie is shown: %+v", f.errors)
		}
	}
}

// The first check that does not hold names the failure; a status that is no
// success does so before all of them, unless a check is on it.
func TestHTTPChecksOrder(t *testing.T) {
	body := func(text string) scenario.Check { return scenario.Check{Body: &scenario.BodyCheck{Contains: text}} }
	named := body("z")
	named.Name = "has a z"
	target := func(code string) string {
		return "http://" + listen(t, always("HTTP/1.1 "+code+" X\r\nContent-Length: 2\r\n\r\nab")).addr
	}
	get(target("200"), "/").with(body("a"), named, body("y")).do(t).failed("check has a z", "200 X: ab")
	get(target("500"), "/").with(named).do(t).failed("http 500", "500 X: ab")
	get(target("500"), "/").with(named, scenario.Check{Status: scenario.Statuses{{First: 500, Last: 500}}}).do(t).failed("check has a z")
}

func TestHTTPChecksOfOddBodies(t *testing.T) {
	answer := func(body string) string {
		return "http://" + listen(t, always(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body))).addr
	}
	id := jsonCheck(t, "$.id", scenario.JSONCheck{})
	get(answer("<html>"), "/").with(id).do(t).failed("check json $.id", "no JSON: ", "<html>")
	get(answer(""), "/").with(id).do(t).failed("check json $.id", "no JSON: ")
	get(answer(`{"id":1} x`), "/").with(id).do(t).failed("check json $.id", "no JSON: ")
	long := strings.Repeat(" ", maxChecked) + "{}"
	f := get(answer(long), "/").with(id).do(t)
	f.failed("check json $.id", fmt.Sprintf("%d bytes", len(long)))
	if n := f.metrics["bytes_in"].Value; n != float64(len(long)) {
		t.Errorf("%v bytes in", n)
	}
}

func FuzzJSONChecks(f *testing.F) {
	f.Add(`{"a":[1,{"b":"c"}]}`, "$.a[1].b", "c")
	f.Add(`[1e3,null,"\u0041"]`, "$[*]", "1000")
	f.Add(`{"a":`, "$", "{}")
	f.Fuzz(func(t *testing.T, body, path, equals string) {
		p, err := scenario.ParseJSONPath(path)
		if err != nil {
			return
		}
		checks, err := newHTTPChecks([]scenario.Check{{JSON: &scenario.JSONCheck{Path: p, Equals: lit(equals)}}, {JSON: &scenario.JSONCheck{Path: p, Absent: true}}})
		if err != nil {
			t.Fatal(err)
		}
		x := &httpExchange{kept: []byte(body), size: len(body), answer: response(200)}
		there := checks.all[0].problem(x) == ""
		absent := checks.all[1].problem(x) == ""
		if there && absent {
			t.Errorf("%s of %s equals %s and is absent", path, body, equals)
		}
	})
}
