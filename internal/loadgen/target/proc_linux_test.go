package target

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseStat(t *testing.T) {
	const rest = "S 7 8 8 0 -1 4194560 1 2 3 4 100 23 40 2 20 0 12 0 5555 1000000 250 18446744073709551615 1"
	want := stat{state: 'S', parent: 7, group: 8, self: 123, waited: 42, start: 5555, threads: 12, rss: 250}
	for _, name := range []string{"sh", "a b", ") R 1 (", "(sd-pam)", "\xff"} {
		got, err := parseStat([]byte("42 (" + name + ") " + rest + "\n"))
		if d := cmp.Diff(want, got, cmp.AllowUnexported(stat{})); err != nil || d != "" {
			t.Errorf("%q: %v\n%s", name, err, d)
		}
	}
	for _, line := range []string{"", "42", "42 (sh) S 1", "42 (sh) " + strings.Replace(rest, "S 7", "S x", 1)} {
		if _, err := parseStat([]byte(line)); !errors.Is(err, errStat) {
			t.Errorf("%q: %v", line, err)
		}
	}
	if _, err := readStat(1<<30, nil); !noProcess(err) {
		t.Errorf("no such process: %v", err)
	}
}

func FuzzParseStat(f *testing.F) {
	own, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(own)
	f.Add([]byte("1 (a) b) Z 0 -1 0 0 -1 0 0 0 0 0 0 0 -5 -5 20 0 1 0 1 1 -1 0"))
	f.Fuzz(func(t *testing.T, line []byte) {
		s, err := parseStat(line)
		if err == nil && (s.rss < 0 || s.parent < 0 || s.threads < 0) {
			t.Errorf("%q: %+v", line, s)
		}
	})
}

// One look beside a tree of one process, and of two hundred.
func BenchmarkScan(b *testing.B) {
	for _, n := range []int{1, 200} {
		b.Run(fmt.Sprintf("processes=%d", n), func(b *testing.B) {
			p, err := Start(b.Context(), Options{Shell: fmt.Sprintf("for i in $(seq %d); do sleep 60 & done; echo ready; wait", n-1)})
			if err != nil {
				b.Fatal(err)
			}
			defer func() {
				if err := p.Stop(b.Context()); err != nil {
					b.Error(err)
				}
			}()
			s := NewSampler(p)
			for sampled := 0; sampled < n; {
				procs, err := s.scan.scan()
				if err != nil {
					b.Fatal(err)
				}
				sampled = len(procs)
			}
			for b.Loop() {
				procs, err := s.scan.scan()
				if err != nil {
					b.Fatal(err)
				}
				s.tree.account(procs)
			}
		})
	}
}
