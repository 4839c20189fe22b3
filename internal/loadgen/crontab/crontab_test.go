package crontab

import (
	"strings"
	"testing"
	"time"
)

func parsed(t testing.TB, text, zone string) Schedule {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse(text, loc)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What docs/cron.md says of the grammar.
func TestFires(t *testing.T) {
	const days = 24 * time.Hour
	for _, tc := range []struct {
		text, zone, from string
		within           time.Duration
		want             string
	}{
		{"0 0 13 * 5", "UTC", "2026-11-01T00:00:00Z", 15 * days, "2026-11-06T00:00:00Z 2026-11-13T00:00:00Z"},
		{"0 0 13 * 5", "UTC", "2026-10-10T00:00:00Z", 5 * days, "2026-10-13T00:00:00Z"}, // a Tuesday
		{"0 0 */2 * 5", "UTC", "2026-11-01T00:00:00Z", 30 * days, "2026-11-13T00:00:00Z 2026-11-27T00:00:00Z"},
		{"0 0 $ * *", "UTC", "2028-01-15T00:00:00Z", 50 * days, "2028-01-31T00:00:00Z 2028-02-29T00:00:00Z"},
		{"0 0 $ * 1", "UTC", "2026-11-22T00:00:00Z", 10 * days, "2026-11-23T00:00:00Z 2026-11-30T00:00:00Z"},
		{"30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3 * days, "2026-03-28T01:30:00Z 2026-03-30T00:30:00Z"},
		{"30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 1 * days, "2026-10-25T00:30:00Z 2026-10-25T01:30:00Z"},
		{"0 0 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", 2 * days, "2026-10-03T13:30:00Z 2026-10-04T13:00:00Z"},
		{"0 22-2 * * *", "UTC", "2026-11-01T00:00:00Z", 3 * days, ""},
		{"0 0 * * fri-mon", "UTC", "2026-11-01T00:00:00Z", 20 * days, ""},
		{"0 12 * NOV Sun,7", "UTC", "2026-11-20T00:00:00Z", 30 * days, "2026-11-22T12:00:00Z 2026-11-29T12:00:00Z"},
		{"5,10-20/5 9 1 jan-feb *", "UTC", "2026-01-15T00:00:00Z", 365 * days, "2026-02-01T09:05:00Z 2026-02-01T09:10:00Z 2026-02-01T09:15:00Z 2026-02-01T09:20:00Z 2027-01-01T09:05:00Z 2027-01-01T09:10:00Z 2027-01-01T09:15:00Z 2027-01-01T09:20:00Z"},
		{"@weekly", "UTC", "2026-11-20T00:00:00Z", 10 * days, "2026-11-22T00:00:00Z 2026-11-29T00:00:00Z"},
		{"10 seconds", "Europe/Berlin", "2026-11-20T00:00:00.5Z", 25 * time.Second, "2026-11-20T00:00:10Z 2026-11-20T00:00:20Z"},
		{" 7  SECONDS ", "UTC", "1970-01-01T00:00:00Z", 15 * time.Second, "1970-01-01T00:00:00Z 1970-01-01T00:00:07Z 1970-01-01T00:00:14Z"},
		{"7 seconds", "UTC", "1969-12-31T23:59:50Z", 11 * time.Second, "1969-12-31T23:59:53Z 1970-01-01T00:00:00Z"},
	} {
		from, err := time.Parse(time.RFC3339, tc.from)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, at := range parsed(t, tc.text, tc.zone).Between(from, from.Add(tc.within)) {
			got = append(got, at.Format(time.RFC3339))
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s in %s from %s: %v, want %s", tc.text, tc.zone, tc.from, got, tc.want)
		}
	}
}

func TestNever(t *testing.T) {
	for _, text := range []string{"0 0 30 2 *", "0 0 31 4,6,9,11 *", "5-1 * * * *"} {
		if at, ok := parsed(t, text, "America/New_York").Next(time.Unix(1.8e9, 0)); ok {
			t.Errorf("%s fires at %s", text, at)
		}
	}
	// A leap day on a Sunday is up to 40 years away.
	at, ok := parsed(t, "0 0 29 2 */7", "UTC").Next(time.Date(2072, 3, 1, 0, 0, 0, 0, time.UTC))
	if !ok || at.Format(time.DateOnly) != "2104-02-29" && at.Weekday() != time.Sunday {
		t.Errorf("a leap day on a Sunday: %s, %v", at, ok)
	}
	if at, ok := (Schedule{}).Next(time.Now()); ok {
		t.Errorf("no schedule at all fires at %s", at)
	}
}

func TestFromAnotherPhase(t *testing.T) {
	origin := time.Unix(1_800_000_000, 123_456_789)
	s := parsed(t, "10 seconds", "UTC").From(origin)
	for _, after := range []time.Duration{-25 * time.Second, 0, 1, 9 * time.Second, 35 * time.Second} {
		at, ok := s.Next(origin.Add(after))
		if gap := at.Sub(origin); !ok || gap%(10*time.Second) != 0 || gap < after || gap >= after+10*time.Second {
			t.Errorf("after %s comes %s", after, gap)
		}
	}
	hourly := parsed(t, "@hourly", "UTC")
	if at, _ := hourly.From(origin).Next(origin); at.Minute() != 0 {
		t.Errorf("a schedule in fields was moved to %s", at)
	}
	if hourly.ShortestGap() != time.Minute || s.ShortestGap() != 10*time.Second || s.Seconds() != 10*time.Second || hourly.Seconds() != 0 {
		t.Errorf("gaps %s and %s, seconds %s and %s", hourly.ShortestGap(), s.ShortestGap(), hourly.Seconds(), s.Seconds())
	}
}

func TestRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "want five fields",
		"* * * *":                 "want five fields",
		"* * * * * *":             "want five fields",
		"60 * * * *":              `minute "60": 60: want 0 to 59`,
		"* 24 * * *":              "hour",
		"* * 0 * *":               "day of month",
		"* * 32 * *":              "day of month",
		"* * * 13 *":              "month",
		"* * * foo *":             "or a name such as jan",
		"* * * * 8":               "day of week",
		"0-60 * * * *":            "60: want 0 to 59",
		"-5 * * * *":              "minute",
		"5- * * * *":              "minute",
		"*/0 * * * *":             "step",
		"5/2 * * * *":             "a step goes with",
		"*/ * * * *":              "step",
		"1,,2 * * * *":            "minute",
		"1-5-7 * * * *":           "minute",
		"*/2/3 * * * *":           "step",
		"*5 * * * *":              "minute",
		"* $ * * *":               "hour",
		"* * $,1 * *":             "day of month",
		"0 seconds":               "want 1 to 59",
		"60 seconds":              "want 1 to 59",
		"-1 seconds":              "want five fields",
		"10 minutes":              "want five fields",
		"@reboot":                 "names no instants",
		"@often":                  "no schedule has this name",
		strings.Repeat("*", 2000): "want at most 1000",
	} {
		if s, err := Parse(text, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%.40q) = %+v, %v; want an error with %q", text, s, err, want)
		}
	}
}
