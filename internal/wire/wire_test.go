package wire

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestStampRoundTrip(t *testing.T) {
	for _, ns := range []int64{0, 1, 1_763_922_000_123_456_789, math.MaxInt64} {
		line := string(AppendStamp(nil, time.Unix(0, ns)))
		comment, ok := strings.CutPrefix(line, ":")
		if !ok || !strings.HasSuffix(comment, "\n") {
			t.Fatalf("%q is no comment line", line)
		}
		got, ok := ParseStamp([]byte(strings.TrimSuffix(comment, "\n")))
		if !ok || got != ns {
			t.Errorf("stamp of %d reads as %d, %v", ns, got, ok)
		}
	}
}

func TestParseStampRejects(t *testing.T) {
	for _, s := range []string{"", " ", "sent=", " sent=", "ping", " sent=12x", " sent=-1", " sent= 1", "  sent=1", " sent=9223372036854775808", " sent=99999999999999999999"} {
		if got, ok := ParseStamp([]byte(s)); ok {
			t.Errorf("%q reads as stamp %d", s, got)
		}
	}
}

func TestParseStampDoesNotAllocate(t *testing.T) {
	comment := []byte(" sent=1763922000123456789")
	if n := testing.AllocsPerRun(100, func() { ParseStamp(comment) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParseStamp(f *testing.F) {
	f.Add([]byte(" sent=1763922000123456789"))
	f.Add([]byte("keep-alive"))
	f.Fuzz(func(t *testing.T, comment []byte) {
		ns, ok := ParseStamp(comment)
		if !ok {
			return
		}
		again, ok := ParseStamp([]byte(strings.Trim(string(AppendStamp(nil, time.Unix(0, ns))), ":\n")))
		if !ok || again != ns {
			t.Errorf("%q reads as %d, written and read again %d", comment, ns, again)
		}
	})
}
