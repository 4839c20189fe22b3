package cron

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// Dialect is a version of pg_cron whose grammar is read.
type Dialect int

// The dialects there are.
const (
	PgCron16 Dialect = iota // 1.6: all of the grammar
	PgCron14                // 1.4, which Debian 12 ships: neither N seconds nor $
)

// maxText is how many bytes pg_cron reads of a schedule in fields.
const maxText = 999

// field is one of the five.
type field struct {
	name      string
	low, high int
	names     []string // of the values from low on
}

var (
	minuteField  = field{name: "minute", low: 0, high: 59}
	hourField    = field{name: "hour", low: 0, high: 23}
	dayField     = field{name: "day of month", low: 1, high: 31}
	monthField   = field{name: "month", low: 1, high: 12, names: []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}}
	weekdayField = field{name: "day of week", low: 0, high: 7, names: []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}}
)

// Parse reads a schedule as pg_cron 1.6 does. An error names the field, the
// character, counted from 1, and what was expected there.
func Parse(text string) (Schedule, error) { return PgCron16.Parse(text) }

// Parse reads a schedule as that version does.
func (d Dialect) Parse(text string) (Schedule, error) {
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return Schedule{}, fmt.Errorf("schedule %q: expected text without NUL in UTF-8", text)
	}
	s, err := d.parseFields(text)
	if err == nil {
		return s, nil
	}
	if d == PgCron16 {
		if every, ok := parseSeconds(text); ok {
			return Schedule{every: every}, nil
		}
	}
	return Schedule{}, fmt.Errorf("schedule %q: %w", text, err)
}

// parser reads a text from pos on.
type parser struct {
	text string
	pos  int
}

// parseFields reads five fields or a word that stands for them.
func (d Dialect) parseFields(text string) (Schedule, error) {
	if len(text) > maxText {
		return Schedule{}, fmt.Errorf("expected at most %d bytes, found %d", maxText, len(text))
	}
	p := &parser{text: text}
	p.skipComments()
	if p.at('@') {
		return p.word()
	}
	var s Schedule
	var err error
	if s.minute, s.stars.minute, err = p.field(minuteField); err != nil {
		return Schedule{}, err
	}
	if s.hour, s.stars.hour, err = p.field(hourField); err != nil {
		return Schedule{}, err
	}
	if d == PgCron16 && p.at('$') {
		if s.lastDay, err = true, p.dollar(); err != nil {
			return Schedule{}, err
		}
	} else if s.day, s.stars.day, err = p.field(dayField); err != nil {
		return Schedule{}, err
	}
	if s.month, _, err = p.field(monthField); err != nil {
		return Schedule{}, err
	}
	if s.weekday, s.stars.weekday, err = p.field(weekdayField); err != nil {
		return Schedule{}, err
	}
	s.weekday = (s.weekday | s.weekday>>7) & 0x7f // 7 is Sunday too
	return s, nil
}

// word reads one of the words that begin with @.
func (p *parser) word() (Schedule, error) {
	at := p.pos
	p.skip(func(c byte) bool { return !blank(c) && c != '\n' })
	fields := ""
	switch w := p.text[at:p.pos]; w {
	case "@reboot", "@restart":
		return Schedule{reboot: true}, nil
	case "@yearly", "@annually":
		fields = "0 0 1 1 *"
	case "@monthly":
		fields = "0 0 1 * *"
	case "@weekly":
		fields = "0 0 * * 0"
	case "@daily", "@midnight":
		fields = "0 0 * * *"
	case "@hourly":
		fields = "0 * * * *"
	default:
		return Schedule{}, fmt.Errorf("character %d: expected @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually or @reboot, found %q", at+1, w)
	}
	return PgCron14.parseFields(fields)
}

// dollar reads $, which stands alone.
func (p *parser) dollar() error {
	p.pos++
	if p.pos == len(p.text) || !blank(p.text[p.pos]) {
		return p.errorf(dayField, "a blank after $")
	}
	p.skip(blank)
	return nil
}

// field reads a list of ranges and goes on to the next field. A field that begins
// with * is marked as such.
func (p *parser) field(f field) (set uint64, star bool, err error) {
	star = p.at('*')
	for {
		some, err := p.values(f)
		if err != nil {
			return 0, false, err
		}
		set |= some
		if !p.at(',') {
			break
		}
		p.pos++
	}
	p.skip(func(c byte) bool { return !blank(c) && c != '\n' })
	p.skip(blank)
	return set, star, nil
}

// values reads one range: n, a-b or *, the latter two with or without a step.
func (p *parser) values(f field) (uint64, error) {
	first, last, step := f.low, f.high, 1
	at := p.pos
	if p.at('*') {
		p.pos++
	} else {
		var err error
		if first, err = p.number(f, f.names, f.values()); err != nil {
			return 0, err
		}
		if last = first; p.at('-') {
			p.pos++
			if last, err = p.number(f, f.names, f.values()); err != nil {
				return 0, err
			}
		} else if p.at('/') {
			return 0, p.errorf(f, "a range before the step")
		}
	}
	if p.at('/') {
		p.pos++
		stepAt := p.pos
		var err error
		if step, err = p.number(f, nil, "a step"); err != nil {
			return 0, err
		}
		if step <= 0 {
			p.pos = stepAt
			return 0, p.errorf(f, "a step above 0")
		}
	}
	if min(first, last) < f.low || max(first, last) > f.high {
		p.pos = at
		return 0, p.errorf(f, f.values())
	}
	var set uint64
	for v := first; v <= last; v += min(step, f.high+1) {
		set |= 1 << v
	}
	return set, nil
}

// values says what the field may hold.
func (f field) values() string {
	what := fmt.Sprintf("%d to %d", f.low, f.high)
	if f.names != nil {
		what += fmt.Sprintf(" or %s to %s", f.names[0], f.names[len(f.names)-1])
	}
	return what
}

// number reads a number, or a name where there are some.
func (p *parser) number(f field, names []string, want string) (int, error) {
	at := p.pos
	p.skip(alphanumeric)
	word := p.text[at:p.pos]
	for i, name := range names {
		if strings.EqualFold(word, name) {
			return f.low + i, nil
		}
	}
	n, ok := atoi(word)
	if !ok {
		p.pos = at
		return 0, p.errorf(f, want)
	}
	return n, nil
}

// atoi is C's for digits: of a number too big for 64 bits it takes the biggest
// there is, and of the result the lower 32 bits. Thus a minute of 4294967296 is 0.
func atoi(digits string) (int, bool) {
	n := int64(0)
	for i := range len(digits) {
		c := digits[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		if n > (math.MaxInt64-int64(c-'0'))/10 {
			n = math.MaxInt64
			continue
		}
		n = n*10 + int64(c-'0')
	}
	return int(int32(n)), digits != "" //nolint:gosec // the cut is what is meant
}

// parseSeconds reads "N seconds".
func parseSeconds(text string) (time.Duration, bool) {
	p := &parser{text: strings.Trim(asciiLower(text), " \t\n\v\f\r")}
	if p.at('+') {
		p.pos++
	}
	at := p.pos
	p.skip(func(c byte) bool { return c >= '0' && c <= '9' })
	digits := strings.TrimLeft(p.text[at:p.pos], "0")
	unit := strings.TrimLeft(p.text[p.pos:], " \t\n\v\f\r")
	// A blank behind the singular is refused, behind the plural it is not.
	trailing := len(strings.TrimRight(text, " \t\n\v\f\r")) < len(text)
	if unit != "seconds" && (unit != "second" || trailing) {
		return 0, false
	}
	n, ok := atoi(digits)
	if !ok || len(digits) > 2 || n > 59 {
		return 0, false
	}
	return time.Duration(n) * time.Second, true
}

// asciiLower lowers A to Z alone.
func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// skipComments skips blanks, blank lines and lines that begin with #.
func (p *parser) skipComments() {
	for {
		p.skip(blank)
		if !p.at('\n') && !p.at('#') {
			return
		}
		p.skip(func(c byte) bool { return c != '\n' })
		p.pos = min(p.pos+1, len(p.text))
	}
}

// at says whether the next character is c.
func (p *parser) at(c byte) bool { return p.pos < len(p.text) && p.text[p.pos] == c }

// skip skips what is such.
func (p *parser) skip(such func(byte) bool) {
	for p.pos < len(p.text) && such(p.text[p.pos]) {
		p.pos++
	}
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// errorf says what was expected here and what is there.
func (p *parser) errorf(f field, want string) error {
	found := "the end"
	if rest := p.text[p.pos:]; rest != "" {
		if i := strings.IndexAny(rest, " \t\n"); i > 0 {
			rest = rest[:i]
		} else if i == 0 {
			rest = rest[:1]
		}
		found = fmt.Sprintf("%q", rest)
	}
	return fmt.Errorf("%s, character %d: expected %s, found %s", f.name, utf8.RuneCountInString(p.text[:p.pos])+1, want, found)
}
