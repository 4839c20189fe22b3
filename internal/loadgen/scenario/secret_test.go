package scenario

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const secretive = `
version: 1
name: secretive
description: 'not the parameter ?token=abcdef, and ${DB_PASSWORD}'
target: http://127.0.0.1:8080
duration: 10s
workloads:
  api:
    protocol: http
    load: {rate: 5/s}
    request:
      path: '/?api_key=${QUERY}&n=${PLAIN}&x={{ .Seq }}'
      headers: {Authorization: 'Bearer ${KEY}', X-Plain: '${PLAIN}', X-Default: '${UNSET:-abcdef}', X-Token: '{{ .ID }}'}
      body: '{"password": "${BODY}", "max_tokens": 500, "token": {{ .Seq }}, "token2": "a", "note": "${PLAIN}"}'
    checks:
      - header: {name: X-Auth-Token, equals: '${HEADER_CHECK}'}
      - json: {path: '$.a.secret', contains: '${JSON_CHECK}'}
      - body: {contains: '${PLAIN}'}
`

func secretEnv(name string) (string, bool) {
	v, ok := map[string]string{
		"KEY": "key-value", "QUERY": "query/value?", "BODY": `body "value"`, "PLAIN": "plain-value", "DB_PASSWORD": "database-value",
		"HEADER_CHECK": "header-check", "JSON_CHECK": "json-check",
	}[name]
	return v, ok
}

func TestSecretsAreKnown(t *testing.T) {
	s := mustParse(t, secretive, Options{Env: secretEnv})
	want := []string{"database-value", "body \"value\"", "header-check", "query/value?", "json-check", "key-value"}
	if !slices.Equal(s.Secrets, want) {
		t.Errorf("secrets %q, want %q", s.Secrets, want)
	}
	b, err := json.Marshal(s.Redacted())
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range want {
		for _, form := range formsOf(secret) {
			if strings.Contains(string(b), form) {
				t.Errorf("%q is left in %s", form, b)
			}
		}
	}
	if !strings.Contains(string(b), "plain-value") || s.Workloads["api"].Request.Headers["Authorization"] != "Bearer key-value" {
		t.Errorf("what is no secret is gone, or the scenario itself was changed: %s", b)
	}
}

func TestLiteralCredentialsAreRefused(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{"Bearer ${KEY}", "Bearer literal-key", "13:32: workloads.api.request.headers.Authorization: the header Authorization carries a credential"},
		{"api_key=${QUERY}", "api_key=literal-key", "workloads.api.request.path: the parameter api_key carries a credential"},
		{"\"password\": \"${BODY}\"", `"password": "literal-key"`, "workloads.api.request.body: the field password carries a credential"},
		{"body: '{", "body: 'a=b&client_secret=literal-key' #'{", "the parameter client_secret carries a credential"},
	} {
		_, err := Parse("x.yaml", []byte(strings.Replace(secretive, c.from, c.to, 1)), Options{Env: secretEnv})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "write ${NAME}") {
			t.Errorf("%s: %v; want %q", c.to, err, c.want)
		} else if strings.Contains(err.Error(), "literal-key") {
			t.Errorf("%s: the message shows it: %v", c.to, err)
		}
	}
	for _, to := range []string{"Bearer ${KEY:-none}", "Bearer {{ .RunID }}", ""} {
		if _, err := Parse("x.yaml", []byte(strings.Replace(secretive, "Bearer ${KEY}", to, 1)), Options{Env: secretEnv}); err != nil {
			t.Errorf("%q: %v", to, err)
		}
	}
}

// A message that quotes what the environment gave does not show it.
func TestProblemsShowNoSecrets(t *testing.T) {
	src := strings.Replace(secretive, "'/?api_key=${QUERY}", "'no-slash?api_key=${QUERY}", 1)
	_, err := Parse("x.yaml", []byte(src), Options{Env: secretEnv})
	if err == nil || !strings.Contains(err.Error(), "a path begins with") || strings.Contains(err.Error(), "query/value") {
		t.Errorf("%v", err)
	}
}

func TestScrub(t *testing.T) {
	s := &Scenario{Secrets: []string{"a secret & more", "hush"}}
	for _, c := range []struct{ text, want string }{
		{"says hush, hush", "says (left out), (left out)"},
		{`{"x":"a secret & more"}`, `{"x":"(left out)"}`},
		{"?q=a+secret+%26+more&r=1", "?q=(left out)&r=1"},
		{"/a%20secret%20&%20more/", "/(left out)/"},
		{`{"x":"a secret \u0026 more"}`, `{"x":"(left out)"}`},
		{"cut off at a secr…", "cut off at (left out)…"},
		{strings.Repeat("cut off ", 20) + "at a secret & mo", strings.Repeat("cut off ", 20) + "at (left out)"},
		{"cut off at a+secret+%26+m…", "cut off at (left out)…"},
		{"/where/we/hush/up/a sec", "/where/we/(left out)/up/a sec"},
		{"nothing to hide", "nothing to hide"},
	} {
		if got := s.Scrub(c.text); got != c.want {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
	}
	if got := new(Scenario).Scrub("hush"); got != "hush" {
		t.Errorf("without secrets: %q", got)
	}
}

// Wherever a secret stands and whatever wrote it, it is gone.
func TestScrubbedTextHasNoSecret(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringOfN(rapid.RuneFrom([]rune(`abcXYZ09-_.:/+=&"\%é `)), 6, 30, -1).Draw(t, "secret")
		form := rapid.SampledFrom(formsOf(secret)).Draw(t, "form")
		text := rapid.String().Draw(t, "before") + form + rapid.String().Draw(t, "after")
		if got := (&Scenario{Secrets: []string{secret}}).Scrub(text); strings.Contains(strings.ReplaceAll(got, redactedValue, ""), form) && !strings.Contains(redactedValue, form) {
			t.Errorf("%q is left in %q", form, got)
		}
	})
}

func FuzzCredentials(f *testing.F) {
	f.Add("workloads.a.request.body", `{"password": "x", "token": {{ .Seq }}, "a_secret": "${X:-}"}`)
	f.Add("workloads.a.request.path", "/?token=x&api_key={{ .ID | urlquery }}#")
	f.Add("workloads.a.request.headers.Cookie", "a=b")
	f.Fuzz(func(t *testing.T, path, text string) {
		for _, c := range credentialsIn(path, text) {
			if c.what == "" || !strings.Contains(text, strings.Trim(c.value, `"`)) {
				t.Errorf("%+v of %q", c, text)
			}
		}
	})
}
