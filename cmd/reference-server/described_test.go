package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"go.uber.org/goleak"

	"github.com/edgeload/edgeload/internal/wire"
)

const secret = "the secret of these tests, which nobody else has"

// keysOf runs the keys command and returns what it prints, by name.
func keysOf(t *testing.T, args ...string) map[string]string {
	t.Helper()
	var out, said strings.Builder
	if code := run(t.Context(), append([]string{"keys", "--jwt-secret", secret}, args...), func(string) string { return "" }, &out, &said); code != exitOK {
		t.Fatalf("exit code %d: %s", code, said.String())
	}
	keys := make(map[string]string)
	lines := bufio.NewScanner(strings.NewReader(out.String()))
	for lines.Scan() {
		if name, key, ok := strings.Cut(lines.Text(), "="); ok {
			keys[name] = key
		}
	}
	return keys
}

// calls has a call of every operation that the OpenAPI document describes.
var calls = map[string]struct {
	path, body string
	status     int
}{
	"streamAI":        {wire.PathStreamAI, `{"prompt":"hi"}`, 200},
	"wsRelay":         {wire.PathWSRelay, "", 426},
	"trackEvent":      {wire.PathTrackEvent, `{"user_id":"u","event_type":"e"}`, 200},
	"fetchWithRetry":  {wire.PathFetchWithRetry, `{"url":"http://192.0.2.1/"}`, 403},
	"morningDigest":   {wire.PathMorningDigest, `{}`, 200},
	"limits":          {wire.PathLimits, `{"cpu":"1ms"}`, 200},
	"messages":        {wire.PathMessages, `{"model":"m","max_tokens":3,"messages":[{"role":"user","content":"hi"}]}`, 200},
	"chatCompletions": {wire.PathCompletions, `{"model":"m","messages":[{"role":"user","content":"hi"}]}`, 200},
	"truth":           {wire.PathAdmin + "truth", "", 200},
	"truthRecords":    {wire.PathAdmin + "truth/records", "", 200},
	"forgetTruth":     {wire.PathAdmin + "truth/records", "", 204},
	"faults":          {wire.PathAdmin + "faults", "", 200},
	"setFaults":       {wire.PathAdmin + "faults", `{"llm":"","boot:limits":""}`, 200},
	"clearFaults":     {wire.PathAdmin + "faults", "", 200},
	"cronJobs":        {wire.PathAdmin + "cron/jobs", "", 200},
	"cronSchedule":    {wire.PathAdmin + "cron/jobs", `{"name":"n","schedule":"0 9 * * *","command":"morning-digest"}`, 200},
	"cronAlter":       {wire.PathAdmin + "cron/jobs/99", `{"active":false}`, 404},
	"cronUnschedule":  {wire.PathAdmin + "cron/jobs/nope", "", 404},
	"cronRuns":        {wire.PathAdmin + "cron/runs", "", 200},
	"health":          {wire.PathHealth, "", 200},
	"metrics":         {wire.PathMetrics, "", 200},
	"openapi":         {wire.PathOpenAPI, "", 200},
}

// Everything that is described is served, and answers as described.
func TestDescribedCallsAreServed(t *testing.T) {
	defer goleak.VerifyNone(t)
	keys := keysOf(t)
	s := start(t, "--jwt-secret", secret, "--verify-jwt", "--sim-ttft", "constant:0s", "--sim-gap", "constant:0s", "--sim-tokens", "constant:3")
	defer s.ended(t)
	defer s.stop()
	client := &http.Client{Transport: new(http.Transport)}
	defer client.CloseIdleConnections()

	resp, err := client.Get(s.url + wire.PathOpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	document, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(document)
	if err != nil {
		t.Fatal(err)
	}
	doc.Servers = nil
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	described := 0
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			described++
			call, ok := calls[operation.OperationID]
			if !ok {
				t.Errorf("%s %s (%s) is described, and not called here", method, path, operation.OperationID)
				continue
			}
			req, err := http.NewRequest(method, s.url+call.path, strings.NewReader(call.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+keys["SERVICE_ROLE_KEY"])
			req.Header.Set("Content-Type", "application/json")
			answer, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			if err != nil || answer.StatusCode != call.status {
				t.Errorf("%s %s: answered %d %.200s, %v; want %d", method, call.path, answer.StatusCode, body, err, call.status)
			}
			route, parameters, err := router.FindRoute(req)
			if err != nil {
				t.Errorf("%s %s: %v", method, call.path, err)
				continue
			}
			input := &openapi3filter.ResponseValidationInput{
				RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, Route: route, PathParams: parameters},
				Status:                 answer.StatusCode, Header: answer.Header, Options: &openapi3filter.Options{IncludeResponseStatus: true},
			}
			if kind := answer.Header.Get("Content-Type"); strings.HasPrefix(kind, "application/json") {
				input.SetBodyBytes(body)
			} else {
				input.Options.ExcludeResponseBody = true
			}
			if err := openapi3filter.ValidateResponse(t.Context(), input); err != nil {
				t.Errorf("%s %s: the answer is not as described: %v", method, call.path, err)
			}
		}
	}
	if described != len(calls) {
		t.Errorf("%d operations are described, and %d are called here", described, len(calls))
	}
}

// Functions ask for a key with --verify-jwt, the admin interface always, and neither
// secret nor key is in the log.
func TestKeys(t *testing.T) {
	defer goleak.VerifyNone(t)
	keys := keysOf(t)
	short := keysOf(t, "--valid-for", "1ns")
	s := start(t, "--jwt-secret", secret, "--verify-jwt", "--log-level", "debug")
	client := &http.Client{Transport: new(http.Transport)}
	for _, tc := range []struct {
		path, key string
		status    int
	}{
		{wire.PathMorningDigest, "", 401},
		{wire.PathMorningDigest, "nonsense", 401},
		{wire.PathMorningDigest, short["ANON_KEY"], 401},
		{wire.PathMorningDigest, keys["ANON_KEY"], 200},
		{wire.PathMorningDigest, keys["SERVICE_ROLE_KEY"], 200},
		{wire.PathAdmin + "cron/jobs", keys["ANON_KEY"], 403},
		{wire.PathAdmin + "cron/jobs", short["SERVICE_ROLE_KEY"], 401},
		{wire.PathAdmin + "cron/jobs", keys["SERVICE_ROLE_KEY"], 400},
	} {
		req, err := http.NewRequest(http.MethodPost, s.url+tc.path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		if tc.key != "" {
			req.Header.Set("Authorization", "Bearer "+tc.key)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		code := resp.Header.Get("Sb-Error-Code")
		if err != nil || resp.StatusCode != tc.status || tc.status == 401 && !strings.HasPrefix(code, "UNAUTHORIZED_") {
			t.Errorf("%s with key %.12q: answered %d %s %s, %v; want %d", tc.path, tc.key, resp.StatusCode, code, body, err, tc.status)
		}
	}
	client.CloseIdleConnections()
	s.stop()
	s.ended(t)
	for _, hidden := range []string{secret, keys["ANON_KEY"], keys["SERVICE_ROLE_KEY"]} {
		if strings.Contains(s.log.String(), hidden) {
			t.Errorf("the log has a secret:\n%s", s.log)
		}
	}
}

// A switch of the admin interface takes hold at once, and is off again after DELETE.
func TestFaultSwitches(t *testing.T) {
	defer goleak.VerifyNone(t)
	key := keysOf(t)["SERVICE_ROLE_KEY"]
	s := start(t, "--jwt-secret", secret, "--sim-ttft", "constant:0s", "--sim-gap", "constant:0s")
	client := &http.Client{Transport: new(http.Transport)}
	ask := func(method, path, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode, resp.Header.Get("Sb-Error-Code")
	}
	meets := func(when string, streams, limits int) {
		t.Helper()
		if got, _ := ask(http.MethodPost, wire.PathStreamAI, `{"prompt":"hi"}`); got != streams {
			t.Errorf("%s: stream-ai answered %d, want %d", when, got, streams)
		}
		if got, code := ask(http.MethodPost, wire.PathLimits, "{}"); got != limits || (limits == 503) != (code == "BOOT_ERROR") {
			t.Errorf("%s: limits answered %d %s, want %d", when, got, code, limits)
		}
	}
	meets("before", 200, 200)
	if got, _ := ask(http.MethodPut, wire.PathAdmin+"faults", `{"llm":"status:529","boot:limits":"on"}`); got != 200 {
		t.Errorf("the switches answered %d", got)
	}
	meets("switched on", 529, 503)
	if got, _ := ask(http.MethodPut, wire.PathAdmin+"faults", `{"boot:limits":"perhaps"}`); got != 400 {
		t.Errorf("a bad setting was answered %d", got)
	}
	if got, _ := ask(http.MethodDelete, wire.PathAdmin+"faults", ""); got != 200 {
		t.Errorf("switching off answered %d", got)
	}
	meets("switched off", 200, 200)
	resp, err := client.Do(func() *http.Request {
		req, err := http.NewRequest(http.MethodGet, s.url+wire.PathAdmin+"faults", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		return req
	}())
	if err != nil {
		t.Fatal(err)
	}
	var settings map[string]string
	if err := json.NewDecoder(resp.Body).Decode(&settings); err != nil || len(settings) < 2 {
		t.Errorf("the switches are %v, %v", settings, err)
	}
	_ = resp.Body.Close()
	for name, setting := range settings {
		if setting != "" {
			t.Errorf("switch %s is off and shows %q", name, setting)
		}
	}
	client.CloseIdleConnections()
	s.stop()
	s.ended(t)
}
