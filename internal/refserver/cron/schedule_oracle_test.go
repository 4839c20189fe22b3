package cron

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// written is a schedule as a table of what it selects, made together with its text
// and without Parse.
type written struct {
	text                              string
	minute, hour, day, month, weekday map[int]bool
	lastDay, either                   bool
}

// item draws one element of a list and the values it stands for.
func item(t *rapid.T, low, high int, names []string) (string, []int) {
	word := func(v int) string {
		if v-low < len(names) && rapid.Bool().Draw(t, "named") {
			name := names[v-low]
			if rapid.Bool().Draw(t, "upper") {
				return strings.ToUpper(name)
			}
			return name
		}
		return fmt.Sprint(v)
	}
	a := rapid.IntRange(low, high).Draw(t, "a")
	var text string
	var b int
	step := 1
	switch rapid.IntRange(0, 5).Draw(t, "form") {
	case 0:
		return word(a), []int{a}
	case 1:
		text, a, b = "*", low, high
	case 2:
		step = rapid.IntRange(1, high+10).Draw(t, "step")
		text, a, b = fmt.Sprintf("*/%d", step), low, high
	case 3:
		b = rapid.IntRange(low, high).Draw(t, "b") // it may be before a
		text = word(a) + "-" + word(b)
	default:
		b = rapid.IntRange(a, high).Draw(t, "b")
		step = rapid.IntRange(1, 9).Draw(t, "step")
		text = fmt.Sprintf("%s-%s/%d", word(a), word(b), step)
	}
	var values []int
	for v := a; v <= b; v += step {
		values = append(values, v)
	}
	return text, values
}

// list draws a field.
func list(t *rapid.T, low, high int, names []string) (string, map[int]bool) {
	set := map[int]bool{}
	var parts []string
	for range rapid.SampledFrom([]int{1, 1, 1, 2, 4}).Draw(t, "items") {
		part, values := item(t, low, high, names)
		parts = append(parts, part)
		for _, v := range values {
			set[v] = true
		}
	}
	return strings.Join(parts, ","), set
}

func draw(t *rapid.T) written {
	var w written
	texts := make([]string, 5)
	texts[0], w.minute = list(t, 0, 59, nil)
	texts[1], w.hour = list(t, 0, 23, nil)
	texts[2], w.day = list(t, 1, 31, nil)
	if w.lastDay = rapid.IntRange(0, 4).Draw(t, "last day") == 0; w.lastDay {
		texts[2], w.day = "$", map[int]bool{}
	}
	texts[3], w.month = list(t, 1, 12, []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"})
	texts[4], w.weekday = list(t, 0, 7, []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"})
	if w.weekday[7] {
		w.weekday[0] = true
	}
	w.either = texts[2][0] != '*' && texts[4][0] != '*'
	w.text = strings.Join(texts, rapid.SampledFrom([]string{" ", "\t", " \t  "}).Draw(t, "blanks"))
	return w
}

// matches is the rule, spelt out.
func (w written) matches(m minute) bool {
	day := w.day[m.day] || w.lastDay && m.last
	weekday := w.weekday[m.weekday]
	if w.either {
		day = day || weekday
	} else {
		day = day && weekday
	}
	return w.minute[m.minute] && w.hour[m.hour] && w.month[m.month] && day
}

// minute is what a wall clock shows.
type minute struct {
	minute, hour, day, month, weekday int
	last                              bool // the day is its month's last
}

func read(t time.Time) minute {
	return minute{t.Minute(), t.Hour(), t.Day(), int(t.Month()), int(t.Weekday()), t.AddDate(0, 0, 1).Day() == 1}
}

// zones are some with summer time by an hour and by half an hour, and one without.
func zones(t *testing.T) []*time.Location {
	t.Helper()
	var out []*time.Location
	for _, name := range []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"} {
		loc, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, loc)
	}
	return out
}

// From any instant on, the instants Next gives one after the other are those at
// which a walk minute by minute finds the schedule to match: none left out, none
// twice. Half of the walks begin shortly before a change of the clocks.
func TestNextIsTheWalk(t *testing.T) {
	locs := zones(t)
	rapid.Check(t, func(t *rapid.T) {
		w := draw(t)
		s, err := Parse(w.text)
		if err != nil {
			t.Fatal(err)
		}
		loc := rapid.SampledFrom(locs).Draw(t, "zone")
		start := time.Unix(rapid.Int64Range(1_735_689_600, 2_051_222_400).Draw(t, "start"), 0).In(loc) // 2025 to 2034
		if _, change := start.ZoneBounds(); !change.IsZero() && rapid.Bool().Draw(t, "at a change") {
			start = change.Add(-time.Duration(rapid.Int64Range(0, int64(26*time.Hour)).Draw(t, "before")))
		}
		next := s.Next(start)
		for m := start.Truncate(time.Minute).Add(time.Minute); m.Before(start.Add(50 * time.Hour)); m = m.Add(time.Minute) {
			want := w.matches(read(m))
			if want != s.Matches(m) {
				t.Fatalf("%q at %s: matches %v, want %v", w.text, m, !want, want)
			}
			switch {
			case want && !next.Equal(m):
				t.Fatalf("%q in %s: %s follows what was before, want %s", w.text, loc, next, m)
			case want:
				next = s.Next(m)
			case next.Equal(m):
				t.Fatalf("%q in %s: fires at %s, which it does not match", w.text, loc, m)
			}
		}
	})
}

// Schedules that fire seldom, compared with the walk over three years in each zone, the last a leap year.
func TestNextOverYears(t *testing.T) {
	texts := []string{
		"30 2 * * *", "15 2 * * sun", "0 0 29 2 *", "59 23 $ * *", "0 12 $ 2 1", "0 0 1 1 *", "5 4 */31 * 1-5", "0 3 13 * fri",
		"0 3 13 * *,5", "0 0 31 */2 *", "45 1 25-31 3,10 */7", "0-20/20 1-3 * 4,10 6-7", "1 0 30 2 *", "0 2 29 2 */3",
	}
	schedules := make([]Schedule, len(texts))
	for i, text := range texts {
		schedules[i] = mustParse(t, text)
	}
	var wg sync.WaitGroup
	for _, loc := range zones(t) {
		wg.Go(func() {
			start := time.Date(2026, 1, 1, 0, 0, 0, 0, loc)
			end := start.AddDate(3, 0, 0)
			next := make([]time.Time, len(texts))
			for i, s := range schedules {
				next[i] = s.Next(start.Add(-time.Second))
			}
			fires := 0
			for m := start; m.Before(end); m = m.Add(time.Minute) {
				for i, s := range schedules {
					if s.Matches(m) != next[i].Equal(m) {
						t.Errorf("%q in %s at %s: matches %v, next %s", texts[i], loc, m, s.Matches(m), next[i])
						return
					}
					if next[i].Equal(m) {
						fires++
						next[i] = s.Next(m)
					}
				}
			}
			if fires < 1_500 {
				t.Errorf("%s: %d fires in all", loc, fires)
			}
		})
	}
	wg.Wait()
}

// What is the same instant is the same however it is shown: an hour that comes
// twice fires twice, one that is left out does not fire.
func TestNextWhereClocksChange(t *testing.T) {
	berlin := zones(t)[1]
	s := mustParse(t, "30 2 * * *")
	at := time.Date(2028, 3, 25, 12, 0, 0, 0, berlin)
	var got []string
	for range 2 {
		at = s.Next(at)
		got = append(got, at.Format(time.RFC3339))
	}
	at = time.Date(2028, 10, 28, 12, 0, 0, 0, berlin)
	for range 3 {
		at = s.Next(at)
		got = append(got, at.Format(time.RFC3339))
	}
	want := "2028-03-27T02:30:00+02:00 2028-03-28T02:30:00+02:00 2028-10-29T02:30:00+02:00 2028-10-29T02:30:00+01:00 2028-10-30T02:30:00+01:00"
	if strings.Join(got, " ") != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestNever(t *testing.T) {
	from := time.Date(2088, 2, 29, 0, 0, 0, 0, time.UTC) // a Sunday
	for _, text := range []string{"0 0 31 2,4,6,9,11 *", "5-1 * * * *", "* 3-2 * * *", "* * 5-1 * */7", "* * * 12-1 *", "0 0 */30 2 5-3"} {
		if next := mustParse(t, text).Next(from); !next.IsZero() {
			t.Errorf("%q fires at %s", text, next)
		}
	}
	var zero Schedule
	if next := zero.Next(from); !next.IsZero() {
		t.Errorf("the zero schedule fires at %s", next)
	}
	// 2100 has no leap day, which makes the wait for a Sunday among them the longest.
	want := from.AddDate(4, 0, 0)
	for want.Month() != time.February || want.Day() != 29 || want.Weekday() != time.Sunday {
		want = want.AddDate(0, 0, 1)
	}
	if next := mustParse(t, "0 0 29 2 */7").Next(from); !next.Equal(want) || want.Year() != 2128 {
		t.Errorf("the next leap day on a Sunday is %s, want %s", next, want)
	}
}

func TestString(t *testing.T) {
	for text, want := range map[string]string{
		"@daily": "0 0 * * *", "*/15 0-23 1,2,5-9 * 7": "*/15 0-23 1,2,5-9 * 0", "22-2 * $ jan *": "59-0 * $ 1 *",
		"*/60,3 */7,1 * * */7": "*/60,3 */24,1,7,14,21 * * */7", "1 seconds": "1 seconds", "@restart": "@reboot",
	} {
		if got := mustParse(t, text).String(); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	if got := (Schedule{}).String(); got != "59-0 23-0 31-1 12-1 6-0" {
		t.Errorf("the zero schedule is %q", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"0 9 * * *", "*/5 0-8/2 $ jan-MAR mon,7", "@hourly", "59 seconds", "# c\n1 2 3 4 5 cmd", "* * *,3 * */2", "5-1 * * * *",
		"4294967296 * * * *", "* * * * 5#2", "+1 second", "\t@reboot x", "*/99999999999999999999 * * * *",
	} {
		f.Add(text)
	}
	at := time.Date(2028, 2, 29, 12, 34, 56, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		old, oldErr := PgCron14.Parse(text)
		s, err := Parse(text)
		if err != nil {
			if oldErr == nil {
				t.Fatalf("1.4 accepts %q, 1.6 does not: %v", text, err)
			}
			return
		}
		if oldErr == nil && old != s {
			t.Fatalf("%q is %s in 1.4, %s in 1.6", text, old, s)
		}
		again, err := Parse(s.String())
		if err != nil || again != s || again.String() != s.String() {
			t.Fatalf("%q is %q, which is %q: %v", text, s, again, err)
		}
		next := s.Next(at)
		if s.Every() == 0 && !next.IsZero() && (!s.Matches(next) || !next.After(at)) {
			t.Fatalf("%q: %s follows %s", s, next, at)
		}
	})
}
