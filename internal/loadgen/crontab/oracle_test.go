package crontab

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// fires is the oracle: it reads the fields anew for each minute and knows nothing of
// sets or leaps.
func fires(f []string, local time.Time) bool {
	if !covers(f[0], local.Minute(), 0, 59) || !covers(f[1], local.Hour(), 0, 23) || !covers(f[3], int(local.Month()), 1, 12) {
		return false
	}
	day := f[2] == "$" && local.AddDate(0, 0, 1).Day() == 1 || f[2] != "$" && covers(f[2], local.Day(), 1, 31)
	week := covers(f[4], int(local.Weekday()), 0, 7) || local.Weekday() == time.Sunday && covers(f[4], 7, 0, 7)
	if f[2][0] != '*' && f[4][0] != '*' {
		return day || week
	}
	return day && week
}

// covers reports whether a field in numbers names n.
func covers(text string, n, low, high int) bool {
	for part := range strings.SplitSeq(text, ",") {
		span, step, _ := strings.Cut(part, "/")
		from, to := low, high
		if span != "*" {
			a, b, ranged := strings.Cut(span, "-")
			from, _ = strconv.Atoi(a)
			if to = from; ranged {
				to, _ = strconv.Atoi(b)
			}
		}
		every, _ := strconv.Atoi(step)
		if n >= from && n <= to && (n-from)%max(every, 1) == 0 {
			return true
		}
	}
	return false
}

func drawField(t *rapid.T, name string, low, high int) string {
	n := func(what string) int { return rapid.IntRange(low, high).Draw(t, name+what) }
	one := func(int) string {
		switch rapid.IntRange(0, 5).Draw(t, name+"kind") {
		case 0:
			return fmt.Sprint(n("n"))
		case 1:
			return fmt.Sprintf("%d-%d", n("from"), n("to"))
		case 2:
			return fmt.Sprintf("%d-%d/%d", n("from"), n("to"), rapid.IntRange(1, 9).Draw(t, name+"step"))
		case 3:
			return fmt.Sprintf("*/%d", rapid.IntRange(1, 40).Draw(t, name+"step"))
		}
		return "*"
	}
	parts := []string{one(0)}
	for i := range rapid.IntRange(0, 2).Draw(t, name+"more") {
		parts = append(parts, one(i))
	}
	return strings.Join(parts, ",")
}

// Every schedule fires at the minutes of the walk, over changes of the clock too.
func TestAgainstMinuteWalk(t *testing.T) {
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia", "Africa/Casablanca"}
	turns := []string{"2026-03-28", "2026-10-24", "2026-03-07", "2026-10-31", "2026-04-04", "2026-10-03", "2011-12-29", "2028-02-27", "2026-12-30", "2026-02-14"}
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join([]string{
			drawField(t, "minute", 0, 59), drawField(t, "hour", 0, 23),
			rapid.OneOf(rapid.Just("$"), rapid.Just("*"), rapid.Custom(func(t *rapid.T) string { return drawField(t, "day", 1, 31) })).Draw(t, "days"),
			drawField(t, "month", 1, 12), drawField(t, "weekday", 0, 7),
		}, " ")
		zone, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		s, err := Parse(text, zone)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		from, err := time.Parse(time.DateOnly, rapid.SampledFrom(turns).Draw(t, "from"))
		if err != nil {
			t.Fatal(err)
		}
		var want []time.Time
		to, words := from.Add(48*time.Hour), strings.Fields(text)
		for at := from; at.Before(to); at = at.Add(time.Minute) {
			if fires(words, at.In(zone)) {
				want = append(want, at)
			}
		}
		got := s.Between(from, to)
		if len(got) != len(want) {
			t.Fatalf("%q in %s from %s fires %d times, by the walk %d: %v against %v", text, zone, from, len(got), len(want), got, want)
		}
		for i := range got {
			if !got[i].Equal(want[i]) {
				t.Fatalf("%q in %s: %s, by the walk %s", text, zone, got[i], want[i])
			}
		}
	})
}

// The long leaps over months and days pass over nothing.
func TestAgainstMinuteWalkOverAYear(t *testing.T) {
	for _, tc := range []struct{ text, zone string }{
		{"0 0 1 */3 *", "America/New_York"}, {"59 23 $ * *", "Pacific/Apia"}, {"0 3 * 2,11 sun", "Europe/Berlin"}, {"15 0 31 * */2", "Australia/Lord_Howe"},
	} {
		zone, err := time.LoadLocation(tc.zone)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Parse(tc.text, zone)
		if err != nil {
			t.Fatal(err)
		}
		words := strings.Fields(strings.ReplaceAll(tc.text, "sun", "0"))
		from := time.Date(2011, 6, 1, 0, 0, 0, 0, time.UTC)
		next, ok := s.Next(from)
		for at := from; at.Before(from.AddDate(1, 0, 0)); at = at.Add(time.Minute) {
			if !fires(words, at.In(zone)) {
				continue
			}
			if !ok || !next.Equal(at) {
				t.Fatalf("%s in %s: %s, by the walk %s", tc.text, tc.zone, next, at)
			}
			next, ok = s.Next(at.Add(1))
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"* * * * *", "*/5 9-17 * * mon-fri", "0 0 $ * *", "10 seconds", "@daily", "5-1/3,7 22-2 1,31 feb 7", "", "-", "*/0 * * * *", "9 9 9 9 9 9"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text, time.UTC)
		if err != nil {
			return
		}
		from := time.Date(2026, 2, 27, 22, 58, 30, 1, time.UTC)
		at, ok := s.Next(from)
		if !ok {
			return
		}
		if at.Before(from) {
			t.Fatalf("%q: %s comes after %s", text, at, from)
		}
		if again, ok := s.Next(at); !ok || !again.Equal(at) {
			t.Fatalf("%q: %s is an instant, and the next at it is %s", text, at, again)
		}
		if gap := s.ShortestGap(); len(s.Between(at, at.Add(gap))) != 1 {
			t.Fatalf("%q: two instants within %s of %s", text, gap, at)
		}
	})
}
