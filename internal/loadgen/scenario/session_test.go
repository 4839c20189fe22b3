package scenario

import (
	"strings"
	"testing"
	"time"
)

const talking = `
version: 1
name: talking
target: http://127.0.0.1:8080
duration: 10s
workloads:
  chat:
    protocol: sse
    load: {rate: 5/s, session: {turns: 'uniform:2,4', think: 'lognormal:5s,0.6'}}
    request: {path: '/?turn={{ .Turn }}', body: '{"id": {{ .Session | json }}, "messages": {{ .Messages | json }}}'}
`

func TestSession(t *testing.T) {
	s := mustParse(t, talking, Options{}).Workloads["chat"].Load.Session
	seen := make(map[int]int)
	for n := range uint64(300) {
		turns := s.TurnsOf(1, "chat", n)
		seen[turns]++
		if turns != s.TurnsOf(1, "chat", n) {
			t.Fatalf("session %d: two numbers of turns", n)
		}
		if think := s.ThinkBefore(1, "chat", n, 1); think <= 0 || think != s.ThinkBefore(1, "chat", n, 1) || think == s.ThinkBefore(1, "chat", n, 2) {
			t.Fatalf("session %d thinks for %v", n, think)
		}
	}
	if len(seen) != 3 || seen[2] < 50 || seen[3] < 50 || seen[4] < 50 {
		t.Errorf("turns of 300 sessions: %v", seen)
	}
	closed := mustParse(t, strings.Replace(talking, "rate: 5/s", "users: 5", 1), Options{})
	if closed.Workloads["chat"].Load.Session == nil {
		t.Error("a closed model has no session")
	}
	without := strings.Replace(talking, ", think: 'lognormal:5s,0.6'", "", 1)
	if think := mustParse(t, without, Options{}).Workloads["chat"].Load.Session.ThinkBefore(1, "chat", 0, 1); think != time.Duration(0) {
		t.Errorf("thinks for %v without think", think)
	}
}

func TestBadSession(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{", session: {turns: 'uniform:2,4', think: 'lognormal:5s,0.6'}", "", "no session: the workload's load has none"},
		{"turns: 'uniform:2,4'", "turns: 0", "a session has at least one turn"},
		{"turns: 'uniform:2,4', ", "", "workloads.chat.load.session.turns: this key is required"},
		{"protocol: sse", "protocol: http", "no messages: only a workload of protocol sse keeps"},
		{"rate: 5/s", "trace: {file: traces/small.csv}", "does not go with a trace"},
	} {
		_, err := Parse("testdata/x.yaml", []byte(strings.Replace(talking, c.from, c.to, 1)), Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v; want %q", c.to, err, c.want)
		}
	}
}
