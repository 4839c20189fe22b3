package crontab

import "time"

// A set holds whole numbers from 0 to 63.
type set uint64

func (s set) has(n int) bool { return s&(1<<n) != 0 }

// fields are the five of a schedule, read.
type fields struct {
	minute, hour, day, month, weekday set
	lastDay                           bool // $ in the day of the month
	dayStar, weekdayStar              bool // the field begins with *
}

// never reports a field that holds nothing, as a range that runs backwards.
func (f *fields) never() bool { return f.minute == 0 || f.hour == 0 || f.month == 0 }

// mismatch is 0 where the schedule fires at the minute that local shows; else how far
// ahead, in whole minutes, an instant may be at the earliest. Clocks are changed by
// three hours at most, but where a place has left out a day to change sides of the
// date line; leaps leave room for that.
func (f *fields) mismatch(local time.Time) time.Duration {
	const room = 3 * time.Hour
	year, month, day := local.Date()
	hour, minute, _ := local.Clock()
	last := daysOf(year, month)
	rest := time.Duration(23-hour)*time.Hour + time.Duration(60-minute)*time.Minute // of the day
	switch {
	case !f.month.has(int(month)):
		return max(rest+time.Duration(last-day-1)*24*time.Hour-room, time.Minute)
	case !f.onDay(day, day == last, local.Weekday()):
		return max(rest-room, time.Minute)
	case !f.hour.has(hour) || !f.minute.has(minute):
		return time.Minute
	}
	return 0
}

// onDay holds a date against the two fields that name days.
func (f *fields) onDay(day int, last bool, weekday time.Weekday) bool {
	byDay := f.day.has(day) || f.lastDay && last
	byWeekday := f.weekday.has(int(weekday))
	if f.dayStar || f.weekdayStar {
		return byDay && byWeekday
	}
	return byDay || byWeekday
}

// daysOf is how many days a month has.
func daysOf(year int, month time.Month) int {
	return time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
}
