package scenario

import (
	"strings"
	"testing"
)

func TestSourceRange(t *testing.T) {
	for text, want := range map[string]string{
		"127.0.0.2":          "127.0.0.2",
		"127.0.0.16/30":      "127.0.0.16 127.0.0.17 127.0.0.18 127.0.0.19",
		"127.0.0.7/32":       "127.0.0.7",
		"::1":                "::1",
		"::ffff:127.0.0.3":   "127.0.0.3",
		"fd00::fffe/127":     "fd00::fffe fd00::ffff",
		"255.255.255.254/31": "255.255.255.254 255.255.255.255",
	} {
		r, err := ParseSourceRange(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		var got []string
		for _, a := range Addrs([]SourceRange{r}) {
			got = append(got, a.String())
		}
		if strings.Join(got, " ") != want || r.Len() != len(got) {
			t.Errorf("%s: %v (Len %d), want %s", text, got, r.Len(), want)
		}
		if again, err := ParseSourceRange(r.String()); err != nil || again != r {
			t.Errorf("%s is written %s, and read as %v, %v", text, r, again, err)
		}
	}
	for _, text := range []string{"", "localhost", "127.0.0.1:80", "127.0.0.1/", "127.0.0.1/33", "127.0.0.1/24", "10.0.0.0/8", "::/0", "fe80::1%eth0", "::ffff:127.0.0.0/104", "1.2.3"} {
		if r, err := ParseSourceRange(text); err == nil {
			t.Errorf("%q is read as %s", text, r)
		}
	}
}

func FuzzSourceRange(f *testing.F) {
	for _, text := range []string{"127.0.0.2", "127.0.0.16/28", "::1", "fd00::/120", "0.0.0.0/0", "1.2.3.4/-1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseSourceRange(text)
		if err != nil {
			return
		}
		addrs := Addrs([]SourceRange{r})
		if len(addrs) != r.Len() || len(addrs) < 1 || len(addrs) > maxSources {
			t.Errorf("%q: %d addresses, Len %d", text, len(addrs), r.Len())
		}
		for _, a := range addrs {
			if !r.Contains(a) {
				t.Errorf("%q: %s is not in it", text, a)
			}
		}
		if again, err := ParseSourceRange(r.String()); err != nil || again != r {
			t.Errorf("%q is written %s, and read as %v, %v", text, r, again, err)
		}
	})
}
