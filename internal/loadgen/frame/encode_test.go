package frame

import (
	"strings"
	"testing"
)

func TestClosePayload(t *testing.T) {
	for _, c := range []struct {
		code   int
		reason string
	}{{1000, ""}, {1013, "too slow"}, {4999, strings.Repeat("x", 123)}, {NoStatus, ""}} {
		payload := AppendClose([]byte("b"), c.code, c.reason)
		code, reason, err := ParseClose(payload[1:])
		if err != nil || code != c.code || reason != c.reason {
			t.Errorf("%d %q came back as %d %q, %v", c.code, c.reason, code, reason, err)
		}
	}
	long := strings.Repeat("ä", 100)
	if _, reason, err := ParseClose(AppendClose(nil, 1000, long)); err != nil || reason != long[:122] {
		t.Errorf("a long reason came back as %d bytes, %v", len(reason), err)
	}
	for _, bad := range []string{"\x00\x00", "\x03\xe7", "\x03\xec", "\x03\xed", "\x03\xee", "\x03\xf7", "\x0b\xb7", "\x13\x88", "\x03\xe8\xff"} {
		if code, reason, err := ParseClose([]byte(bad)); err == nil {
			t.Errorf("payload % x is %d %q", bad, code, reason)
		}
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	payload, b := make([]byte, 70000), make([]byte, 0, 70014)
	for _, n := range []int{0, 125, 126, 70000} {
		if allocs := testing.AllocsPerRun(100, func() { b = Append(b[:0], Binary, 42, payload[:n]) }); allocs != 0 {
			t.Errorf("%v allocations for %d bytes", allocs, n)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	payload, buf := make([]byte, 256), make([]byte, 0, 300)
	b.SetBytes(int64(len(payload)))
	for b.Loop() {
		buf = Append(buf[:0], Text, 0x01020304, payload)
	}
}
