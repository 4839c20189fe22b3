package target

import (
	"os/exec"
	"strings"
	"testing"
)

func TestReplaceShell(t *testing.T) {
	for line, want := range map[string]string{
		"./server --listen :80":             "exec ./server --listen :80",
		"server":                            "exec server",
		"server --a='b; c' --d=\"$E; f\"":   "exec server --a='b; c' --d=\"$E; f\"",
		`server a\;b`:                       `exec server a\;b`,
		"server --listen ${ADDR:-:80}":      "exec server --listen ${ADDR:-:80}",
		"server >log 2>&1":                  "exec server >log 2>&1",
		"'my server' --x":                   "exec 'my server' --x",
		"$SERVER":                           "exec $SERVER",
		"env A=1 server":                    "exec env A=1 server",
		"A=1 B='2 3' server":                "exec env A=1 B='2 3' server",
		"cd x && ./server":                  "cd x && exec ./server",
		"cd x && A=1 ./server":              "cd x && exec env A=1 ./server",
		"a; b || c":                         "a; b || exec c",
		"server\nother":                     "server\n exec other",
		"exec server":                       "exec server",
		"A=1 exec server":                   "A=1 exec server",
		"A=1":                               "A=1",
		"a | b":                             "a | b",
		"server &":                          "server &",
		"server & wait":                     "server & wait",
		"a;":                                "a;",
		"ulimit -n 100":                     "ulimit -n 100",
		"server $(cat args)":                "server $(cat args)",
		"server \"`cat args`\"":             "server \"`cat args`\"",
		"while true; do x; done":            "while true; do x; done",
		"if a; then b; fi":                  "if a; then b; fi",
		"{ a; b; }":                         "{ a; b; }",
		"(cd x; server)":                    "(cd x; server)",
		"trap 'echo bye' EXIT; server":      "trap 'echo bye' EXIT; server",
		"server 'unfinished":                "server 'unfinished",
		"server # comment":                  "server # comment",
		"case a in a) server;; esac":        "case a in a) server;; esac",
		"server <<X\ntext\nX":               "server <<X\ntext\nX",
		"for a in 1 2; do server; done >&2": "for a in 1 2; do server; done >&2",
	} {
		if got := replaceShell(line); got != want {
			t.Errorf("%q becomes %q, want %q", line, got, want)
		}
	}
}

// A shell that understood the line before understands it after.
func FuzzReplaceShell(f *testing.F) {
	for _, line := range []string{"a b", "A=1 b", "cd x && b 2>&1", "a; b 'c d' \"${E}\"", "a | b", "(a)", "while a; do b; done", "", "\\", "a\\\n;b", "$((1))", "a;;b", ";"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if strings.ContainsRune(line, 0) {
			return
		}
		after := replaceShell(line)
		if after == line || exec.Command("sh", "-n", "-c", line).Run() != nil {
			return
		}
		if out, err := exec.Command("sh", "-n", "-c", after).CombinedOutput(); err != nil {
			t.Errorf("%q is understood, %q is not: %s", line, after, out)
		}
	})
}
