package cron

import (
	"fmt"
	"strings"
	"time"
)

// String is the schedule as it was understood, in the grammar of pg_cron 1.6: five
// fields of numbers, "N seconds" or @reboot. Equal schedules have equal strings,
// and Parse makes of it what it was. It need not be the text that was parsed:
// @daily is "0 0 * * *".
func (s Schedule) String() string {
	switch {
	case s.every > 0:
		return fmt.Sprintf("%d seconds", s.every/time.Second)
	case s.reboot:
		return "@reboot"
	}
	day := dayField.text(s.day, s.stars.day)
	if s.lastDay {
		day = "$"
	}
	weekday := field{low: 0, high: 6} // Sunday once
	return strings.Join([]string{
		minuteField.text(s.minute, s.stars.minute),
		hourField.text(s.hour, s.stars.hour),
		day,
		monthField.text(s.month, s.month == 1<<13-2),
		weekday.text(s.weekday, s.stars.weekday),
	}, " ")
}

// text writes a set so that it begins with * where it must and nowhere else.
func (f field) text(set uint64, star bool) string {
	if star {
		return f.starred(set)
	}
	if set == 0 {
		return fmt.Sprintf("%d-%d", f.high, f.low)
	}
	var parts []string
	for v := f.low; v <= f.high; v++ {
		if set>>v&1 == 0 {
			continue
		}
		end := v
		for end < f.high && set>>(end+1)&1 == 1 {
			end++
		}
		if end < v+2 {
			parts, end = append(parts, fmt.Sprint(v)), v
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", v, end))
		}
		v = end
	}
	return strings.Join(parts, ",")
}

// starred writes a set that holds f.low, as all do that were written with *.
func (f field) starred(set uint64) string {
	for step := 1; step <= f.high-f.low+1; step++ {
		var every uint64
		for v := f.low; v <= f.high; v += step {
			every |= 1 << v
		}
		switch {
		case every != set:
		case step == 1:
			return "*"
		default:
			return fmt.Sprintf("*/%d", step)
		}
	}
	return fmt.Sprintf("*/%d,%s", f.high+1, f.text(set&^(1<<f.low), false))
}
