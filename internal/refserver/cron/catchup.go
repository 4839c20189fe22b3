package cron

import "time"

// Clock decides which minutes are run. Its owner calls Tick at least once a
// minute; whatever became of the time in between, the rules are pg_cron's, which
// are Vixie cron's:
//
//   - The wall clock went forward by 1 to 5 minutes: each minute is run.
//   - By 6 minutes to 3 hours: fixed-time jobs are run for each minute, so that
//     none is lost, wildcard jobs for the current one alone.
//   - Back by less than 3 hours: wildcard jobs are run minute by minute, fixed-time
//     jobs again only once the clock has caught up, so that none is repeated.
//   - Further either way: what lies between is skipped, and the current minute run.
//
// A change of a time zone's offset is no leap: Clock counts real time. The zero
// Clock begins with its first Tick and makes up for nothing before. One goroutine
// owns it.
type Clock struct {
	begun  bool
	last   int64 // the minute up to which all is run, since 1970
	behind int64 // the minute run last while the clock is behind
}

// Due is a minute to be run, for jobs of one kind or both.
type Due struct {
	Minute          time.Time // its beginning
	Wildcard, Fixed bool
}

// Runs says whether a job of that schedule is to run.
func (d Due) Runs(s Schedule) bool {
	if s.Wildcard() && !d.Wildcard || !s.Wildcard() && !d.Fixed {
		return false
	}
	return s.Matches(d.Minute)
}

const (
	caughtUp = 5      // minutes: beyond, the clock has leapt
	changed  = 3 * 60 // minutes: beyond, it has been set anew
)

// ClockAt returns a Clock for which all is run up to the given instant's minute:
// one that takes over from another.
func ClockAt(last time.Time) *Clock {
	return &Clock{begun: true, last: minuteOf(last)}
}

// Tick returns what is due now that the wall clock shows that time, in order; often
// nothing. Its minutes are in now's location.
func (c *Clock) Tick(now time.Time) []Due {
	current := minuteOf(now)
	if !c.begun {
		c.begun, c.last = true, current
		return nil
	}
	// Rounded towards zero: less than a minute back is not back.
	passed := int64(now.Sub(time.Unix(c.last*60, 0)) / time.Minute)
	due := func(minute int64, wildcard, fixed bool) Due {
		return Due{Minute: time.Unix(minute*60, 0).In(now.Location()), Wildcard: wildcard, Fixed: fixed}
	}
	switch {
	case passed == 0:
		return nil
	case passed < 0 && passed > -changed:
		if c.behind == current {
			return nil
		}
		c.behind = current
		return []Due{due(current, true, false)}
	case passed < 0 || passed > changed:
		c.last, c.behind = current, 0
		return []Due{due(current, true, true)}
	}
	dues := make([]Due, 0, passed)
	for m := c.last + 1; m <= current; m++ {
		dues = append(dues, due(m, passed <= caughtUp || m == current, true))
	}
	c.last, c.behind = current, 0
	return dues
}

// minuteOf counts minutes since 1970.
func minuteOf(t time.Time) int64 { return floorDiv(t.Unix(), 60) }
