package cron

import (
	"strings"
	"testing"
	"time"
)

func mustParse(t testing.TB, text string) Schedule {
	t.Helper()
	s, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "minute, character 1: expected 0 to 59, found the end",
		"60 * * * *":              `minute, character 1: expected 0 to 59, found "60"`,
		"* 5/2 * * *":             `hour, character 4: expected a range before the step, found "/2"`,
		"* * 0 * *":               `day of month, character 5: expected 1 to 31, found "0"`,
		"* * * foo *":             `month, character 7: expected 1 to 12 or jan to dec, found "foo"`,
		"* * * * 8":               `day of week, character 9: expected 0 to 7 or sun to sat, found "8"`,
		"* * * *":                 "day of week, character 8: expected 0 to 7 or sun to sat, found the end",
		"*/0 * * * *":             `minute, character 3: expected a step above 0, found "0"`,
		"1-* * * * *":             `minute, character 3: expected 0 to 59, found "*"`,
		"1, * * * *":              `minute, character 3: expected 0 to 59, found " "`,
		"0 11 $foo * *":           `day of month, character 7: expected a blank after $, found "foo"`,
		"@Daily":                  "character 1: expected @hourly",
		"60 seconds":              `minute, character 1: expected 0 to 59, found "60"`,
		"é * * * *":               `minute, character 1: expected 0 to 59, found "é"`,
		strings.Repeat(" ", 1000): "expected at most 999 bytes, found 1000",
		"* * * * *\x00":           "expected text without NUL",
	} {
		if s, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v, want %q", text, s, err, want)
		}
	}
}

func TestParseSame(t *testing.T) {
	for text, same := range map[string]string{
		"  0\t5 * * *  ":           "0 5 * * *",
		"@daily":                   "0 0 * * *",
		"@midnight now":            "0 0 * * *",
		"@hourly":                  "0 * * * *",
		"@weekly":                  "0 0 * * sun",
		"@monthly":                 "0 0 1 * *",
		"@annually":                "@yearly",
		"@restart":                 "@reboot",
		"0 0 * JAN-mar Mon-Fri":    "0 0 * 1-3 1-5",
		"0 0 * * 7":                "0 0 * * 0",
		"0 0 * * 5-7":              "0 0 * * 0,5,6",
		"0 0 * * * * command":      "0 0 * * *",
		"# a comment\n\n0 0 * * *": "0 0 * * *",
		"0 0 * * *\nand more":      "0 0 * * *",
		"0 0 * * 5#2":              "0 0 * * 5",
		"*/5;x * * * *":            "*/5 * * * *",
		"00,007 0 1 1 1":           "0,7 0 1 1 1",
		"10-40/100 0 1 1 1":        "10 0 1 1 1",
		"4294967297 0 1 1 1":       "1 0 1 1 1",
		"30-10 0 1 1 1":            "2-1 0 1 1 1",
		" 30 sEcOnDs ":             "30second",
		"+5 seconds":               "005\n seconds",
	} {
		if a, b := mustParse(t, text), mustParse(t, same); a != b {
			t.Errorf("%q is %+v\n%q is %+v", text, a, same, b)
		}
	}
}

func TestDialects(t *testing.T) {
	for _, text := range []string{"10 seconds", "0 0 $ * *"} {
		if _, err := PgCron16.Parse(text); err != nil {
			t.Error(err)
		}
		if s, err := PgCron14.Parse(text); err == nil {
			t.Errorf("1.4 reads %q as %+v", text, s)
		}
	}
}

func TestForms(t *testing.T) {
	s := mustParse(t, "45 seconds")
	at := time.Date(2028, 2, 28, 23, 59, 30, 5, time.UTC)
	if s.Every() != 45*time.Second || s.Reboot() || s.Matches(at) || !s.Next(at).Equal(at.Add(45*time.Second)) {
		t.Errorf("%+v: next %s", s, s.Next(at))
	}
	s = mustParse(t, "@reboot")
	if s.Every() != 0 || !s.Reboot() || s.Matches(at) || !s.Next(at).IsZero() {
		t.Errorf("%+v: next %s", s, s.Next(at))
	}
	for text, wild := range map[string]bool{
		"* 5 * * *": true, "5 * * * *": true, "*/10 5 * * *": true, "5 */2 * * *": true, "@hourly": true,
		"5 5 * * *": false, "0-59 0-23 * * *": false, "5,* 5 * * *": false, "@daily": false, "10 seconds": false,
	} {
		if got := mustParse(t, text).Wildcard(); got != wild {
			t.Errorf("%q wildcard = %v", text, got)
		}
	}
}
