package scenario

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const staged = `
version: 1
name: staged
target: http://127.0.0.1:8080
duration: 10s
workloads:
  chat: &chat
    protocol: sse
    load: {rate: 5/s, arrivals: poisson}
    request: {path: /a, headers: {X-A: a, X-B: b}, body: x}
  more:
    <<: *chat
    timeout: 7s
thresholds:
  chat.ttft: ['p(95) < 1s', 'p(99) < 2s']
environments:
  local:
    target: http://127.0.0.1:9999
  staging:
    target: ${STAGING}
    duration: 1m
    workloads:
      chat:
        load: {rate: 50/s}
        request: {headers: {X-B: other, X-C: c}}
      more:
        load: {users: 3, rate: ~, arrivals: ~}
        timeout: ~
    thresholds:
      chat.ttft: ['p(95) < 5s']
      more.ttft: ['count > 0']
`

func TestEnvironments(t *testing.T) {
	env := func(name string) (string, bool) { return "https://staging.example.com", name == "STAGING" }
	base := mustParse(t, staged, Options{})
	if base.Target != "http://127.0.0.1:8080" || base.Environment != "" || len(base.Environments) != 2 {
		t.Errorf("without an environment: %+v", base)
	}
	s := mustParse(t, staged, Options{Env: env, Environment: "staging"})
	chat, more := s.Workloads["chat"], s.Workloads["more"]
	if s.Target != "https://staging.example.com" || s.Duration.String() != "1m" || s.Environment != "staging" {
		t.Errorf("staging: %+v", s)
	}
	if chat.Load.Rate != 50 || chat.Load.Arrivals != ArrivalsPoisson || chat.Request.Path != "/a" ||
		chat.Request.Headers["X-A"] != "a" || chat.Request.Headers["X-B"] != "other" || chat.Request.Headers["X-C"] != "c" {
		t.Errorf("chat: %+v, %+v", chat.Load, chat.Request)
	}
	if more.Load.Users != 3 || more.Load.Rate != 0 || more.Timeout.String() != "1m" || more.Request.Headers["X-B"] != "b" {
		t.Errorf("more: %+v, %+v", more, more.Request)
	}
	if len(s.Thresholds["chat.ttft"]) != 1 || len(s.Thresholds["more.ttft"]) != 1 {
		t.Errorf("thresholds: %+v", s.Thresholds)
	}
	if s := mustParse(t, staged, Options{Environment: "local", Target: "http://127.0.0.1:1"}); s.Target != "http://127.0.0.1:1" {
		t.Errorf("a target given for the run: %s", s.Target)
	}
}

func TestBadEnvironments(t *testing.T) {
	for _, c := range []struct{ from, to, environment, want string }{
		{"", "", "production", `x.yaml:16:1: environments: no environment "production": there are local, staging`},
		{"environments:", "thresholds2:", "local", `no environment "local": the file has none`},
		{"", "", "staging", "x.yaml:20:13: target: the environment variable STAGING is not set"},
		{"load: {rate: 50/s}", "load: {rate: fast}", "staging", "x.yaml:24:22: workloads.chat.load.rate: "},
		{"duration: 1m", "durtion: 1m", "staging", "x.yaml:21:5: durtion: unknown key; did you mean \"duration\"?"},
		{"duration: 1m", "version: 1", "", "x.yaml:21:5: environments.staging.version: an environment has every key of a scenario but"},
		{"    target: http://127.0.0.1:9999", "", "", "environments.local: no value"},
		{"  local:", "  Local:", "", `environments.Local: "Local": want at most 64`},
	} {
		_, err := Parse("x.yaml", []byte(strings.Replace(staged, c.from, c.to, 1)), Options{Environment: c.environment})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q in %q: %v; want %q", c.to, c.environment, err, c.want)
		}
	}
}

func TestReadEnvironments(t *testing.T) {
	write := func(src string) string {
		path := filepath.Join(t.TempDir(), "x.yaml")
		if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	set := Options{Env: func(string) (string, bool) { return "http://127.0.0.1:1", true }}
	all, err := ReadEnvironments(write(staged), set)
	if err != nil || len(all) != 3 || all[0].Environment != "" || all[1].Environment != "local" || all[2].Environment != "staging" {
		t.Fatalf("%v, %v", all, err)
	}
	// A problem of the file itself is told once, one of an environment too.
	bad := strings.NewReplacer("body: x", "body: '{{'", "rate: 50/s", "rate: 0/s").Replace(staged)
	_, err = ReadEnvironments(write(bad), set)
	if err == nil || strings.Count(err.Error(), "bad template") != 2 || strings.Count(err.Error(), "must be above 0") != 1 {
		t.Errorf("problems of all environments: %v", err)
	}
	set.Environment = "local"
	if all, err := ReadEnvironments(write(staged), set); err != nil || len(all) != 1 || all[0].Environment != "local" {
		t.Errorf("one of them: %v, %v", all, err)
	}
}
