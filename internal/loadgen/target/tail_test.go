package target

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestTail(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var whole strings.Builder
		var kept tail
		for _, n := range rapid.SliceOfN(rapid.IntRange(0, 3*tailSize/2), 0, 6).Draw(t, "writes") {
			b := make([]byte, n)
			for i := range b {
				b[i] = byte('a' + (whole.Len()+i)%26)
			}
			if m, err := kept.Write(b); m != n || err != nil {
				t.Fatalf("Write = %d, %v", m, err)
			}
			whole.Write(b)
		}
		s := whole.String()
		lost := max(0, len(s)-tailSize)
		want := s[lost:]
		if lost > 0 {
			want = fmt.Sprintf("[%d bytes before this were not kept]\n", lost) + want
		}
		if kept.String() != want {
			t.Fatalf("after %d bytes: kept %d bytes that differ", len(s), len(kept.String()))
		}
	})
}

func TestLastLine(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "\n\n": "", "a": "a", "a\nb\n\n": "b", "a\r\nb\r\n": "b",
		strings.Repeat("x", 301): strings.Repeat("x", 300) + "…",
		strings.Repeat("é", 200): strings.Repeat("é", 150) + "…",
	} {
		if got := lastLine(in); got != want {
			t.Errorf("last line of %.20q is %q, want %q", in, got, want)
		}
	}
}
