package wire

import (
	"bytes"
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

func TestCutStamp(t *testing.T) {
	const message = `{"a":1}`
	stamped := append(AppendStamp(nil, time.Unix(0, 1_763_922_000_123_456_789)), message...)
	if ns, rest, ok := CutStamp(stamped); !ok || ns != 1_763_922_000_123_456_789 || string(rest) != message {
		t.Errorf("%d, %q, %v", ns, rest, ok)
	}
	for _, s := range []string{"", message, ": sent=1", ": sent=x\n" + message, ": ping\n" + message, " : sent=1\n"} {
		if ns, rest, ok := CutStamp([]byte(s)); ok || ns != 0 || string(rest) != s {
			t.Errorf("%q is cut into %d and %q", s, ns, rest)
		}
	}
	if n := testing.AllocsPerRun(100, func() { CutStamp(stamped) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzCutStamp(f *testing.F) {
	f.Add([]byte(": sent=1763922000123456789\n{}"))
	f.Add([]byte(": keep-alive\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		ns, rest, ok := CutStamp(b)
		if !ok && (ns != 0 || !bytes.Equal(rest, b)) {
			t.Fatalf("no stamp in %q, and yet %d and %q", b, ns, rest)
		}
		if ok && !bytes.HasSuffix(b, append([]byte{'\n'}, rest...)) {
			t.Fatalf("%q leaves %q", b, rest)
		}
	})
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
