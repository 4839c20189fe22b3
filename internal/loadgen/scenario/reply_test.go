package scenario

import (
	"testing"
	"time"
)

func TestReply(t *testing.T) {
	for text, want := range map[string]Reply{
		"503":                            {Status: 503},
		"reset":                          {Reset: true},
		"hang,delay:1s":                  {Hang: true, Delay: time.Second},
		"429,retry-after:2s,delay:150ms": {Status: 429, RetryAfter: 2 * time.Second, Delay: 150 * time.Millisecond},
	} {
		got, err := ParseReply(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%s reads as %+v (%s), %v", text, got, got, err)
		}
	}
	for _, text := range []string{"", "99", "600", "reset,retry-after:1s", "429,retry-after:1500ms", "429,retry-after:0s", "503,", "503,x:1s", "ok"} {
		if got, err := ParseReply(text); err == nil {
			t.Errorf("%q reads as %v", text, got)
		}
	}
}

func TestShare(t *testing.T) {
	for text, want := range map[string]Share{"10%": 0.1, "0.25": 0.25, "100%": 1, "0%": 0} {
		if got, err := ParseShare(text); err != nil || got != want {
			t.Errorf("%s reads as %v, %v", text, float64(got), err)
		}
	}
	for _, text := range []string{"", "101%", "1.1", "-1%", "ten", "1e-1"} {
		if got, err := ParseShare(text); err == nil {
			t.Errorf("%q reads as %v", text, got)
		}
	}
}

func FuzzReply(f *testing.F) {
	for _, text := range []string{"503", "reset", "hang", "429,retry-after:2s,delay:50ms"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseReply(text)
		if err != nil {
			return
		}
		if again, err := ParseReply(r.String()); err != nil || again != r {
			t.Errorf("%q is written %q, which reads as %v, %v", text, r, again, err)
		}
	})
}
