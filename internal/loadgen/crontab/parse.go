package crontab

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxText bounds a schedule's length, in bytes.
const maxText = 1000

// Form says in a message what a schedule looks like.
const Form = `five fields such as "*/5 9-17 * * mon-fri", or "10 seconds" (1 to 59)`

// A field says what may stand in one of the five places.
type field struct {
	name      string
	low, high int
	names     []string // of low and those that follow it
}

func fieldOrder() [5]field {
	return [5]field{
		{name: "minute", high: 59},
		{name: "hour", high: 23},
		{name: "day of month", low: 1, high: 31},
		{name: "month", low: 1, high: 12, names: []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
		{name: "day of week", high: 7, names: []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
	}
}

// named are the schedules that have a name, as crontab(5) lists them.
func named() map[string]string {
	return map[string]string{
		"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
		"@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
	}
}

// Parse reads a schedule whose fields are meant in zone; nil is UTC. The error says
// which field is wrong.
func Parse(text string, zone *time.Location) (Schedule, error) {
	if len(text) > maxText {
		return Schedule{}, fmt.Errorf("schedule of %d bytes: want at most %d", len(text), maxText)
	}
	s, err := parse(strings.Fields(text), zone)
	if err != nil {
		return Schedule{}, fmt.Errorf("%q: %w", text, err)
	}
	return s, nil
}

func parse(words []string, zone *time.Location) (Schedule, error) {
	if zone == nil {
		zone = time.UTC
	}
	if len(words) == 1 && strings.HasPrefix(words[0], "@") {
		name := strings.ToLower(words[0])
		if name == "@reboot" {
			return Schedule{}, errors.New("@reboot names no instants that a call could be held against")
		}
		five, ok := named()[name]
		if !ok {
			return Schedule{}, fmt.Errorf("no schedule has this name; want %s", Form)
		}
		words = strings.Fields(five)
	}
	switch len(words) {
	case 2:
		return parseSeconds(words[0], words[1])
	case 5:
		s := Schedule{zone: zone}
		return s, s.fields.parse([5]string(words))
	}
	return Schedule{}, fmt.Errorf("want %s", Form)
}

// parseSeconds reads "N seconds".
func parseSeconds(count, unit string) (Schedule, error) {
	n, err := strconv.ParseUint(count, 10, 32)
	if unit = strings.ToLower(unit); err != nil || unit != "seconds" && unit != "second" {
		return Schedule{}, fmt.Errorf("want %s", Form)
	}
	if n < 1 || n > 59 {
		return Schedule{}, fmt.Errorf("%d seconds: want 1 to 59", n)
	}
	return Schedule{every: time.Duration(n) * time.Second, origin: time.Unix(0, 0).UTC()}, nil
}

// parse reads the five fields.
func (f *fields) parse(words [5]string) (err error) {
	order := fieldOrder()
	for i, into := range []*set{&f.minute, &f.hour, &f.day, &f.month, &f.weekday} {
		if order[i].low == 1 && order[i].high == 31 && words[i] == "$" {
			f.lastDay = true
			continue
		}
		if *into, err = order[i].parse(words[i]); err != nil {
			return fmt.Errorf("%s %q: %w", order[i].name, words[i], err)
		}
	}
	f.dayStar, f.weekdayStar = strings.HasPrefix(words[2], "*"), strings.HasPrefix(words[4], "*")
	if f.weekday.has(7) { // Sunday's other number
		f.weekday |= 1
	}
	return nil
}

// parse reads a field: a list of ranges.
func (f field) parse(text string) (all set, err error) {
	for part := range strings.SplitSeq(text, ",") {
		some, err := f.parseRange(part)
		if err != nil {
			return 0, err
		}
		all |= some
	}
	return all, nil
}

// parseRange reads *, N, N-M, */S or N-M/S.
func (f field) parseRange(text string) (some set, err error) {
	span, step, stepped := strings.Cut(text, "/")
	first, last, ranged := strings.Cut(span, "-")
	from, to, every := f.low, f.high, 1
	if span == "*" {
		ranged = true
	} else {
		if from, err = f.number(first); err != nil {
			return 0, err
		}
		to = from
		if ranged {
			if to, err = f.number(last); err != nil {
				return 0, err
			}
		}
	}
	if stepped {
		if !ranged {
			return 0, fmt.Errorf("%q: a step goes with * or a range", text)
		}
		if every, err = digits(step); err != nil || every < 1 {
			return 0, fmt.Errorf("step %q: want a whole number above 0", step)
		}
	}
	for n := from; n <= to; n += every {
		some |= 1 << n
	}
	return some, nil
}

// number reads a number within the field's bounds, or a name.
func (f field) number(text string) (int, error) {
	for i, name := range f.names {
		if strings.EqualFold(text, name) {
			return f.low + i, nil
		}
	}
	n, err := digits(text)
	if err != nil {
		return 0, fmt.Errorf("%q: want a number from %d to %d%s", text, f.low, f.high, f.orName())
	}
	if n < f.low || n > f.high {
		return 0, fmt.Errorf("%d: want %d to %d", n, f.low, f.high)
	}
	return n, nil
}

func (f field) orName() string {
	if f.names == nil {
		return ""
	}
	return " or a name such as " + f.names[0]
}

// digits reads a whole number without a sign.
func digits(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	return int(n), err
}
