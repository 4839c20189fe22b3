package retry

import (
	"strings"
	"testing"
	"time"
)

func TestParseRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		ms, after string
		want      time.Duration
		ok        bool
	}{
		{"", "", 0, false},
		{"", "3", 3 * time.Second, true},
		{"", " 3 ", 3 * time.Second, true},
		{"", "0", 0, true},
		{"", "1.5", 1500 * time.Millisecond, true},
		{"250", "3", 250 * time.Millisecond, true},
		{"soon", "3", 3 * time.Second, true},
		{"250.5", "", 250500 * time.Microsecond, true},
		{"", "Mon, 23 Nov 2026 12:00:07 GMT", 7 * time.Second, true},
		{"", "Monday, 23-Nov-26 12:00:07 GMT", 7 * time.Second, true},
		{"", "Mon Nov 23 12:00:07 2026", 7 * time.Second, true},
		{"", "Mon, 23 Nov 2026 11:59:00 GMT", 0, true},
		{"", "Mon, 23 Nov 2026 12:00:07 CET", 0, false},
		{"", "-3", 0, false},
		{"", "3s", 0, false},
		{"", "1.2.3", 0, false},
		{"", "0x10", 0, false},
		{"", "99999999999999999999", farthestAsk, true},
		{"", strings.Repeat("9", 400), farthestAsk, true},
		{strings.Repeat("9", 400), "3", farthestAsk, true},
		{"-1", "", 0, false},
		{"", "Fri, 31 Dec 9999 23:59:59 GMT", farthestAsk, true},
	} {
		if got, ok := ParseRetryAfter(tc.ms, tc.after, now); got != tc.want || ok != tc.ok {
			t.Errorf("%q, %q: got %s, %t; want %s, %t", tc.ms, tc.after, got, ok, tc.want, tc.ok)
		}
	}
}

func FuzzParseRetryAfter(f *testing.F) {
	f.Add("250", "3")
	f.Add("", "Mon, 23 Nov 2026 12:00:07 GMT")
	f.Add("1e9", "Monday, 23-Nov-26 12:00:07 GMT")
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, ms, after string) {
		wait, ok := ParseRetryAfter(ms, after, now)
		if wait < 0 || wait > farthestAsk || !ok && wait != 0 {
			t.Fatalf("%q, %q: %s, %t", ms, after, wait, ok)
		}
	})
}
