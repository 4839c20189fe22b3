package cron

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// show writes dues as "12:01wf", with w where wildcard jobs run and f where
// fixed-time jobs do.
func show(dues []Due) string {
	var out []string
	for _, d := range dues {
		s := d.Minute.Format("15:04")
		if d.Wildcard {
			s += "w"
		}
		if d.Fixed {
			s += "f"
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

// each writes the minutes from one to another as show does.
func each(from, to time.Time, kinds string) string {
	var out []string
	for m := from; !m.After(to); m = m.Add(time.Minute) {
		out = append(out, m.Format("15:04")+kinds)
	}
	return strings.Join(out, " ")
}

func TestClock(t *testing.T) {
	noon := time.Date(2028, 2, 29, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name string
		by   time.Duration // from 12:00:20 on
		want string
	}{
		{"the same minute", 39 * time.Second, ""},
		{"the next", 40 * time.Second, "12:01wf"},
		{"five minutes", 5 * time.Minute, "12:01wf 12:02wf 12:03wf 12:04wf 12:05wf"},
		{"six minutes", 6 * time.Minute, "12:01f 12:02f 12:03f 12:04f 12:05f 12:06wf"},
		{"three hours", 3 * time.Hour, each(noon.Add(time.Minute), noon.Add(179*time.Minute), "f") + " 15:00wf"},
		{"more than three hours", 3*time.Hour + time.Minute, "15:01wf"},
		{"a year", 365 * 24 * time.Hour, "12:00wf"},
		{"back within the minute", -20 * time.Second, ""},
		{"back by less than one", -50 * time.Second, ""},
		{"back by one", -80 * time.Second, "11:59w"},
		{"back by less than three hours", -179*time.Minute - 20*time.Second, "09:01w"},
		{"back by three hours", -180*time.Minute - 20*time.Second, "09:00wf"},
		{"back by a year", -365 * 24 * time.Hour, "12:00wf"},
	} {
		var c Clock
		if first := c.Tick(noon.Add(20 * time.Second)); first != nil {
			t.Errorf("%s: the first tick gives %s", tc.name, show(first))
		}
		now := noon.Add(20*time.Second + tc.by)
		if got := show(c.Tick(now)); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
		if again := c.Tick(now.Add(time.Millisecond)); again != nil {
			t.Errorf("%s: the same minute gives %s, too", tc.name, show(again))
		}
	}
}

// Set back, wildcard jobs go on and fixed-time jobs wait until all is as it was.
func TestClockBack(t *testing.T) {
	noon := time.Date(2028, 2, 29, 12, 0, 0, 0, time.UTC)
	c := ClockAt(noon)
	var got []string
	for now := noon.Add(-3 * time.Minute); now.Before(noon.Add(2 * time.Minute)); now = now.Add(20 * time.Second) {
		if dues := c.Tick(now); dues != nil {
			got = append(got, show(dues))
		}
	}
	if want := "11:57w 11:58w 11:59w 12:01wf"; strings.Join(got, " ") != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// A change of summer time is no leap, and what repeats by the wall clock is run
// twice.
func TestClockSummerTime(t *testing.T) {
	berlin := zones(t)[1]
	s := mustParse(t, "30 2 * * *")
	for _, tc := range []struct {
		from time.Time
		want int
	}{
		{time.Date(2028, 3, 26, 1, 0, 0, 0, berlin), 0},
		{time.Date(2028, 10, 29, 1, 0, 0, 0, berlin), 2},
		{time.Date(2028, 10, 30, 1, 0, 0, 0, berlin), 1},
	} {
		c, runs := ClockAt(tc.from), 0
		for i := range 6 * 60 {
			for _, d := range c.Tick(tc.from.Add(time.Duration(i) * time.Minute)) {
				if d.Runs(s) {
					runs++
				}
			}
		}
		if runs != tc.want {
			t.Errorf("from %s on it ran %d times, want %d", tc.from, runs, tc.want)
		}
	}
}

func TestDueRuns(t *testing.T) {
	at := time.Date(2028, 2, 29, 12, 5, 0, 0, time.UTC)
	for _, tc := range []struct {
		due        Due
		wild, five bool
	}{
		{Due{at, true, true}, true, true}, {Due{at, true, false}, true, false}, {Due{at, false, true}, false, true},
		{Due{at.Add(time.Minute), true, true}, true, false},
	} {
		if wild, five := tc.due.Runs(mustParse(t, "* * * * *")), tc.due.Runs(mustParse(t, "5 12 * * *")); wild != tc.wild || five != tc.five {
			t.Errorf("%s: wildcard %v, fixed-time %v", show([]Due{tc.due}), wild, five)
		}
	}
}

// However the clock moves within three hours, fixed-time jobs get each minute that
// it passes once, in order; and wildcard jobs the current one, never one twice in a
// row.
func TestClockLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := time.Date(2028, 2, 29, 12, 0, 0, 0, time.UTC)
		c := ClockAt(start)
		now, top := start, start
		var fixed, wild []time.Time
		for range rapid.IntRange(1, 60).Draw(t, "ticks") {
			step := time.Duration(rapid.Int64Range(0, int64(90*time.Second)).Draw(t, "step"))
			if rapid.IntRange(0, 5).Draw(t, "leap") == 0 {
				step = time.Duration(rapid.Int64Range(-int64(time.Hour), int64(time.Hour)).Draw(t, "by"))
			}
			if now = now.Add(step); top.Sub(now) > 2*time.Hour {
				now = top
			}
			if now.After(top) {
				top = now
			}
			for _, d := range c.Tick(now) {
				if d.Fixed {
					fixed = append(fixed, d.Minute)
				}
				if d.Wildcard {
					wild = append(wild, d.Minute)
				}
			}
		}
		var want []time.Time
		for m := start.Add(time.Minute); !m.After(top); m = m.Add(time.Minute) {
			want = append(want, m)
		}
		if !slices.Equal(fixed, want) {
			t.Fatalf("fixed-time jobs got %s, want %s", fmt.Sprint(fixed), fmt.Sprint(want))
		}
		for i := range len(wild) - 1 {
			if wild[i].Equal(wild[i+1]) {
				t.Fatalf("wildcard jobs got %s twice in a row", wild[i])
			}
		}
	})
}
