// Package crontab says at which instants a cron schedule fires, as pg_cron and the
// cron of Paul Vixie that it stems from mean it.
//
// A schedule is one of
//
//	minute hour day-of-month month day-of-week
//	N seconds                                      1 to 59
//	@hourly @daily @midnight @weekly @monthly @yearly @annually
//
// A field is a list, divided by commas, of *, a number, a range 1-5, or a range with
// a step, */15 and 8-18/2. Months and days of the week may be named by three letters
// in any case; Sunday is 0 and 7. A day of the month may be $, which is the month's
// last. Three rules are easily got wrong:
//
//   - Where neither the day of the month nor the day of the week begins with *, one of
//     the two is enough; else both must match. So */2 in one of them makes both count.
//   - A range that runs backwards, as 22-2 and fri-mon, holds nothing.
//   - What counts is what the clocks show at each minute of UTC. A local time that a
//     change of the clock skips does not come; one that it repeats comes twice.
//
// "N seconds" has no such rules: it is every instant whose Unix time is a multiple of
// N seconds, or, From another phase, every N seconds from there.
//
// The package knows neither runs nor calls. It exists because of the libraries at hand
// none reads all of this the same way.
package crontab

import "time"

// horizon is how far ahead an instant is looked for: a 29 February that is a given
// day of the week may be 40 years away.
const horizon = 41 * 366 * 24 * time.Hour

// A Schedule names instants. It does not change and may be used by any number of
// goroutines. The zero value has none: use Parse.
type Schedule struct {
	every  time.Duration // of "N seconds"; 0 for fields
	origin time.Time     // an instant of "N seconds"
	fields fields
	zone   *time.Location
}

// Seconds is the N of "N seconds" as a duration, and 0 for a schedule in fields.
func (s Schedule) Seconds() time.Duration { return s.every }

// ShortestGap is the least time between two instants.
func (s Schedule) ShortestGap() time.Duration {
	if s.every > 0 {
		return s.every
	}
	return time.Minute
}

// From returns the schedule of the same N seconds with an instant at origin; s itself
// where it is in fields.
func (s Schedule) From(origin time.Time) Schedule {
	if s.every > 0 {
		s.origin = origin
	}
	return s
}

// Next is the first instant at or after t, in UTC; false where there is none within
// 41 years.
func (s Schedule) Next(t time.Time) (time.Time, bool) {
	t = t.UTC().Round(0) // instants are the wall clock's
	if s.every > 0 {
		past := t.Sub(s.origin) % s.every
		switch {
		case past > 0:
			t = t.Add(s.every - past)
		case past < 0:
			t = t.Add(-past)
		}
		return t, true
	}
	if s.zone == nil || s.fields.never() {
		return time.Time{}, false
	}
	minute := t.Truncate(time.Minute)
	if minute.Before(t) {
		minute = minute.Add(time.Minute)
	}
	for end := minute.Add(horizon); minute.Before(end); {
		skip := s.fields.mismatch(minute.In(s.zone))
		if skip == 0 {
			return minute, true
		}
		minute = minute.Add(skip)
	}
	return time.Time{}, false
}

// Between lists the instants from from, included, to to, excluded, in UTC.
func (s Schedule) Between(from, to time.Time) []time.Time {
	var all []time.Time
	for at, ok := s.Next(from); ok && at.Before(to); at, ok = s.Next(at.Add(1)) {
		all = append(all, at)
	}
	return all
}
