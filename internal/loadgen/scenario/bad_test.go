package scenario

import (
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite golden files and the published schema")

// golden compares got with a file, or rewrites it.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// someMetrics stands in for what the drivers record.
func someMetrics() map[Protocol][]Metric {
	return map[Protocol][]Metric{
		SSE:       {{"ttft", "histogram", "ns"}, {"itl", "histogram", "ns"}, {"complete", "counter", "1"}, {"errors", "ratio", "1"}},
		HTTP:      {{"latency", "histogram", "ns"}, {"failed", "counter", "1"}},
		WebSocket: {{"fanout", "histogram", "ns"}, {"delivery_ratio", "ratio", "1"}},
	}
}

// problemsOf parses a document that must be refused.
func problemsOf(t *testing.T, name, src string, o Options) Problems {
	t.Helper()
	s, err := Parse(name, []byte(src), o)
	var problems Problems
	if !errors.As(err, &problems) || len(problems) == 0 || s != nil {
		t.Fatalf("Parse(%s) = %v, %v; want problems and no scenario", name, s, err)
	}
	lines := strings.Split(strings.ToValidUTF8(src, "�"), "\n")
	for _, p := range problems {
		if p.File != name || p.Line < 1 || p.Line > len(lines) || p.Column < 1 || p.Message == "" {
			t.Errorf("problem without a place in the file: %+v", p)
		} else if p.Source != lines[p.Line-1] {
			t.Errorf("line %d is %q, problem shows %q", p.Line, lines[p.Line-1], p.Source)
		}
	}
	if !slices.IsSortedFunc(problems, func(a, b Problem) int { return (a.Line-b.Line)*10000 + a.Column - b.Column }) {
		t.Errorf("problems are not sorted by place: %v", problems)
	}
	return problems
}

func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("bad files: %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			problems := problemsOf(t, file, string(src), Options{Metrics: someMetrics(), Local: func(a netip.Addr) bool { return a.IsLoopback() }})
			golden(t, strings.TrimSuffix(file, ".yaml")+".golden", problems.Error()+"\n")
		})
	}
}
