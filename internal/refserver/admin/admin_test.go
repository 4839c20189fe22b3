package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"go.uber.org/goleak"

	"github.com/edgeload/edgeload/internal/refserver/cron"
	"github.com/edgeload/edgeload/internal/refserver/edge"
	"github.com/edgeload/edgeload/internal/refserver/store"
	"github.com/edgeload/edgeload/internal/refserver/truth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// caller calls an edge.Server whose admin interface it is, with a service_role key,
// and holds every answer against the OpenAPI description.
type caller struct {
	t      *testing.T
	server *edge.Server
	key    string
	check  func(*http.Request, *httptest.ResponseRecorder)
}

func serving(t *testing.T, o Options) *caller {
	t.Helper()
	secret := []byte("a secret of these tests, long enough")
	key, err := edge.MintKey(secret, edge.RoleService, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	router, err := gorillamux.NewRouter(document(t))
	if err != nil {
		t.Fatal(err)
	}
	c := &caller{t: t, key: key, server: edge.New(edge.Options{Admin: New(o), Auth: &edge.Auth{Secret: secret}})}
	t.Cleanup(func() {
		if err := c.server.Close(); err != nil {
			t.Error(err)
		}
	})
	c.check = func(r *http.Request, answer *httptest.ResponseRecorder) {
		t.Helper()
		route, parameters, err := router.FindRoute(r)
		if err != nil {
			t.Errorf("%s %s is not described: %v", r.Method, r.URL, err)
			return
		}
		input := &openapi3filter.ResponseValidationInput{
			RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, Route: route, PathParams: parameters},
			Status:                 answer.Code, Header: answer.Header(),
			Options: &openapi3filter.Options{IncludeResponseStatus: true},
		}
		if answer.Code != http.StatusNoContent {
			input.SetBodyBytes(answer.Body.Bytes())
		}
		if err := openapi3filter.ValidateResponse(t.Context(), input); err != nil {
			t.Errorf("%s %s: the answer is not as described: %v", r.Method, r.URL, err)
		}
	}
	return c
}

// call makes a call that is answered with status, and decodes the answer into out
// unless that is nil.
func (c *caller) call(method, path, body string, status int, out any) string {
	c.t.Helper()
	r := httptest.NewRequest(method, "/admin/v1/"+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+c.key)
	answer := httptest.NewRecorder()
	c.server.ServeHTTP(answer, r)
	if answer.Code != status {
		c.t.Errorf("%s %s %s: answered %d %s, want %d", method, path, body, answer.Code, answer.Body, status)
	}
	c.check(r, answer)
	text := answer.Body.String()
	if out != nil {
		if err := json.Unmarshal([]byte(text), out); err != nil {
			c.t.Errorf("%s %s: %v in %s", method, path, err, text)
		}
	}
	return text
}

func TestTruth(t *testing.T) {
	ledger := truth.New(0)
	for range 3 {
		ledger.Add(truth.Record{Kind: truth.Job, Name: "track-event", ID: "a", Event: "queued"})
	}
	ledger.Add(truth.Record{Kind: truth.Job, Name: "track-event", ID: "a", Event: "lost", Detail: "wall_clock"})
	pending := 0
	c := serving(t, Options{Truth: ledger, Pending: func() int { return pending }, Sections: map[string]func() any{"relay": func() any { return map[string]int{"peers": 40} }}})

	var all struct {
		Counts   []truth.Count
		Sections map[string]map[string]int
	}
	c.call("GET", "truth", "", 200, &all)
	if len(all.Counts) != 2 || all.Counts[0].Event != "lost" || all.Counts[0].Count != 1 || all.Counts[1].Count != 3 || all.Sections["relay"]["peers"] != 40 {
		t.Errorf("got %+v", all)
	}

	var page struct {
		Records       []truth.Record
		Next, Dropped uint64
	}
	c.call("GET", "truth/records?limit=3", "", 200, &page)
	if len(page.Records) != 3 || page.Next != 3 || page.Dropped != 0 {
		t.Errorf("first page %+v", page)
	}
	c.call("GET", "truth/records?after=3", "", 200, &page)
	if len(page.Records) != 1 || page.Next != 4 || page.Records[0].Detail != "wall_clock" {
		t.Errorf("second page %+v", page)
	}
	c.call("GET", "truth/records?after=x", "", 400, nil)
	c.call("GET", "truth/records?limit=10001", "", 400, nil)
	pending = 2
	if said := c.call("DELETE", "truth/records", "", 409, nil); !strings.Contains(said, "2 jobs are pending") {
		t.Errorf("said %s", said)
	}
	pending = 0
	c.call("DELETE", "truth/records", "", 204, nil)
	c.call("GET", "truth", "", 200, &all)
	if len(all.Counts) != 0 {
		t.Errorf("after the reset there are %+v", all.Counts)
	}
}

// setting is a switch that takes all but "bad".
func setting(value *string) Switch {
	return Switch{
		Get: func() string { return *value },
		Set: func(s string) error {
			if s == "bad" {
				return errors.New("want anything else")
			}
			*value = s
			return nil
		},
	}
}

func TestFaultSwitches(t *testing.T) {
	var a, b string
	c := serving(t, Options{Switches: map[string]Switch{"a": setting(&a), "b": setting(&b)}})
	c.call("PUT", "faults", `{"a":"1"}`, 200, nil)
	if a != "1" || b != "" {
		t.Errorf("a is %q, b %q", a, b)
	}
	if said := c.call("PUT", "faults", `{"a":"2","b":"bad"}`, 400, nil); a != "1" || b != "" || !strings.Contains(said, "switch b: want anything else") {
		t.Errorf("a refused change left a at %q, b at %q, and said %s", a, b, said)
	}
	if said := c.call("PUT", "faults", `{"c":"1"}`, 400, nil); !strings.Contains(said, "want one of a, b") {
		t.Errorf("said %s", said)
	}
	c.call("PUT", "faults", `{"a":"1"} {}`, 400, nil)
	c.call("PUT", "faults", `[`, 400, nil)
	var now map[string]string
	c.call("GET", "faults", "", 200, &now)
	if len(now) != 2 || now["a"] != "1" {
		t.Errorf("got %v", now)
	}
	c.call("DELETE", "faults", "", 200, &now)
	if now["a"] != "" {
		t.Errorf("got %v", now)
	}
}

func TestCronCalls(t *testing.T) {
	db, err := store.Open(t.Context(), store.Memory)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	c := serving(t, Options{Cron: cron.New(cron.Options{Store: db})})
	var made struct{ JobID int64 }
	c.call("POST", "cron/jobs", `{"name":"digest","schedule":"0 9 * * *","command":"morning-digest {\"a\":1}"}`, 200, &made)
	first := made.JobID
	c.call("POST", "cron/jobs", `{"name":"digest","schedule":"5 seconds","command":"morning-digest"}`, 200, &made)
	if made.JobID != first {
		t.Errorf("a name that exists became job %d, it was %d", made.JobID, first)
	}
	for body, want := range map[string]string{
		`{"schedule":"61 * * * *","command":"x"}`:               "minute",
		`{"schedule":"* * * * *","command":"DROP TABLE x"}`:     "command",
		`{"schedule":"* * * * *","command":"x","function":"x"}`: "unknown field",
		`{"schedule":5,"command":"x"}`:                          "schedule: want a string, not number",
		`[]`:                                                    "want an object, not array",
		`{"name":"a\nb","schedule":"* * * * *","command":"x"}`:  "no control characters",
	} {
		if said := c.call("POST", "cron/jobs", body, 400, nil); !strings.Contains(said, want) {
			t.Errorf("%s: said %s, want something of %q", body, said, want)
		}
	}
	c.call("PATCH", "cron/jobs/1", `{"active":false,"schedule":"@hourly"}`, 204, nil)
	c.call("PATCH", "cron/jobs/digest", `{}`, 400, nil)
	c.call("PATCH", "cron/jobs/99", `{"active":true}`, 404, nil)
	var jobs []store.Job
	c.call("GET", "cron/jobs", "", 200, &jobs)
	if len(jobs) != 1 || jobs[0].Schedule != "@hourly" || jobs[0].Active {
		t.Errorf("got %+v", jobs)
	}
	if said := c.call("GET", "cron/runs?job=1", "", 200, nil); said != "[]" {
		t.Errorf("runs %s", said)
	}
	c.call("DELETE", "cron/jobs/nope", "", 404, nil)
	c.call("DELETE", "cron/jobs/digest", "", 204, nil)
	c.call("DELETE", "cron/jobs/1", "", 404, nil)
}

func TestWithoutCron(t *testing.T) {
	c := serving(t, Options{})
	if said := c.call("GET", "cron/jobs", "", 404, nil); !strings.Contains(said, "--cron off") {
		t.Errorf("said %s", said)
	}
}

func TestOnlyTheServiceRoleGetsIn(t *testing.T) {
	c := serving(t, Options{})
	for _, key := range []string{"", "Bearer x"} {
		r := httptest.NewRequest("GET", "/admin/v1/truth", nil)
		r.Header.Set("Authorization", key)
		answer := httptest.NewRecorder()
		c.server.ServeHTTP(answer, r)
		if answer.Code != http.StatusUnauthorized {
			t.Errorf("key %q: answered %d", key, answer.Code)
		}
	}
	anon, err := edge.MintKey([]byte("a secret of these tests, long enough"), edge.RoleAnon, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	c.key = anon
	c.call("GET", "truth", "", 403, nil)
}

// An error that is nobody's business stays in the log.
func TestFailuresStayInside(t *testing.T) {
	c := serving(t, Options{Switches: map[string]Switch{"a": {
		Get: func() string { return "" },
		Set: func(string) error { return errors.New("the password is 1234") },
	}}})
	if said := c.call("DELETE", "faults", "", 500, nil); strings.Contains(said, "1234") {
		t.Errorf("said %s", said)
	}
}

func TestUnknownCallsAreNamed(t *testing.T) {
	c := serving(t, Options{})
	r := httptest.NewRequest("GET", "/admin/v1/nope", nil)
	r.Header.Set("Authorization", "Bearer "+c.key)
	answer := httptest.NewRecorder()
	c.server.ServeHTTP(answer, r)
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.Code != 404 || !bytes.Contains(body, []byte("/openapi.json")) {
		t.Errorf("answered %d %s, %v", answer.Code, body, err)
	}
}
