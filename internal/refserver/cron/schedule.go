package cron

import (
	"math/bits"
	"time"
)

// Schedule says when a job runs. Schedules that mean the same and are treated the
// same where the clock leaps are equal. The zero Schedule never fires.
type Schedule struct {
	minute, hour, day, month, weekday uint64 // bit n stands for n; Sunday is 0
	lastDay                           bool   // $
	stars                             stars
	every                             time.Duration
	reboot                            bool
}

// stars says which fields begin with *.
type stars struct{ minute, hour, day, weekday bool }

// Every is the interval of a schedule of the form "N seconds", and 0 of others.
func (s Schedule) Every() time.Duration { return s.every }

// Reboot says that the schedule is @reboot: once, when the scheduler starts.
func (s Schedule) Reboot() bool { return s.reboot }

// Wildcard says that minute or hour begins with *, as do those of @hourly. Where
// the clock leaps such a job does not make up for every minute, as a fixed-time job
// does; see Clock.
func (s Schedule) Wildcard() bool { return s.stars.minute || s.stars.hour }

// Matches says whether the schedule fires in t's minute, as t's location shows it.
// A schedule of another form than five fields matches no minute.
func (s Schedule) Matches(t time.Time) bool {
	year, month, day := t.Date()
	return s.minute>>t.Minute()&1 == 1 && s.hour>>t.Hour()&1 == 1 && s.month>>month&1 == 1 &&
		s.onDay(year, month, day, t.Weekday())
}

// onDay says whether a day of a selected month is selected.
func (s Schedule) onDay(year int, month time.Month, day int, weekday time.Weekday) bool {
	inMonth := s.day>>day&1 == 1 || s.lastDay && day == daysIn(year, month)
	inWeek := s.weekday>>weekday&1 == 1
	if s.stars.day || s.stars.weekday {
		return inMonth && inWeek
	}
	return inMonth || inWeek
}

// daysIn is how many days a month has.
func daysIn(year int, month time.Month) int {
	return time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

const (
	minutesADay = 24 * 60
	// The Gregorian calendar repeats itself, days of the week included, after 400
	// years: what does not fire in these never does.
	cycle = 146_097 * minutesADay
)

// Next is the first instant after the given one at which the schedule fires, in
// the same location: the beginning of a minute, or Every later for "N seconds". It
// is zero for a schedule that never fires and for @reboot.
func (s Schedule) Next(after time.Time) time.Time {
	if s.every > 0 {
		return after.Add(s.every)
	}
	if s.minute == 0 || s.hour == 0 || s.month == 0 {
		return time.Time{}
	}
	from := floorDiv(after.Unix(), 60) + 1 // minutes since 1970, real time
	end := from + cycle
	for from < end {
		// Up to the zone's next change its wall clock runs evenly.
		t := time.Unix(from*60, 0).In(after.Location())
		_, offset := t.Zone()
		shift := floorDiv(int64(offset), 60)
		until := end
		if _, change := t.ZoneBounds(); !change.IsZero() {
			// On the last day of a leap year time gives a bound that is past.
			until = min(end, max(from+1, -floorDiv(-change.Unix(), 60)))
		}
		if m, ok := s.search(from+shift, until+shift); ok {
			return time.Unix((m-shift)*60, 0).In(after.Location())
		}
		from = until
	}
	return time.Time{}
}

// search finds the first minute in [from, until) of a wall clock that is never
// changed, in minutes since 1970, at which the schedule fires.
func (s Schedule) search(from, until int64) (int64, bool) {
	date, minute := floorDiv(from, minutesADay), from-floorDiv(from, minutesADay)*minutesADay
	for date*minutesADay < until {
		t := time.Unix(date*86_400, 0).UTC()
		year, month, day := t.Date()
		if s.month>>month&1 == 0 {
			date, minute = date+int64(daysIn(year, month)-day)+1, 0
			continue
		}
		if s.onDay(year, month, day, t.Weekday()) {
			if m, ok := s.inDay(minute); ok {
				m += date * minutesADay
				return m, m < until
			}
		}
		date, minute = date+1, 0
	}
	return 0, false
}

// inDay finds the first minute of a day, from the given one on, that is in a
// selected hour and selected itself.
func (s Schedule) inDay(from int64) (int64, bool) {
	hour, minute := from/60, from%60
	if s.hour>>hour&1 == 1 {
		if rest := s.minute >> minute << minute; rest != 0 {
			return hour*60 + int64(bits.TrailingZeros64(rest)), true
		}
	}
	rest := s.hour >> (hour + 1) << (hour + 1)
	if rest == 0 {
		return 0, false
	}
	return int64(bits.TrailingZeros64(rest)*60 + bits.TrailingZeros64(s.minute)), true
}

// floorDiv divides and rounds down.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
