package scenario

import (
	"strings"
	"testing"
)

// The caret stands below the column, whatever stands before it.
func TestProblemCaret(t *testing.T) {
	long := strings.Repeat("x", 500) + "!" + strings.Repeat("y", 500)
	for name, tc := range map[string]struct {
		source string
		column int
	}{
		"plain":      {"rate: !5", 7},
		"accents":    {"é, ö: !", 7},
		"a tab":      {"a\tb !", 5},
		"a long one": {long, 501},
		"control":    {"\x01\x02!", 3},
	} {
		text := Problem{File: "f.yaml", Line: 12, Column: tc.column, Path: "a.b", Message: "m", Source: tc.source}.Error()
		lines := strings.Split(text, "\n")
		if len(lines) != 3 || !strings.HasSuffix(lines[0], ": a.b: m") || !strings.HasPrefix(lines[0], "f.yaml:12:") {
			t.Errorf("%s: %q", name, text)
			continue
		}
		source, caret := []rune(lines[1]), []rune(lines[2])
		if len(source) > excerptWidth+20 || len(caret) > len(source) || source[len(caret)-1] != '!' {
			t.Errorf("%s: the caret misses the mark:\n%s\n%s", name, lines[1], lines[2])
		}
	}
	if text := (Problem{File: "f.yaml", Line: 1, Column: 9, Message: "m"}).Error(); text != "f.yaml:1:9: m\n    1 | \n      | ^" {
		t.Errorf("past the end of a line: %q", text)
	}
}

func TestSuggest(t *testing.T) {
	known := []string{"rate", "stages", "users", "arrivals"}
	for word, want := range map[string]string{
		"rat":                       `; did you mean "rate"?`,
		"Rate":                      `; did you mean "rate"?`,
		"arivals":                   `; did you mean "arrivals"?`,
		"usesr":                     `; did you mean "users"?`,
		"vus":                       "; known: arrivals, rate, stages, users",
		"":                          "; known: arrivals, rate, stages, users",
		strings.Repeat("rate", 100): "; known: arrivals, rate, stages, users",
	} {
		if got := suggest(word, known); got != want {
			t.Errorf("suggest(%q) = %q, want %q", word, got, want)
		}
	}
	if got := suggest("a", nil); got != "" {
		t.Errorf("of nothing: %q", got)
	}
}
