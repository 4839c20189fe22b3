package retry

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// The forms of a date in HTTP, RFC 9110 §5.6.7: the first is written, all three are
// read.
const (
	dateIMF     = "Mon, 02 Jan 2006 15:04:05 GMT"
	dateRFC850  = "Monday, 02-Jan-06 15:04:05 GMT"
	dateANSI    = "Mon Jan _2 15:04:05 2006"
	farthestAsk = 1000 * time.Hour // more than that is as good as never
)

// ParseRetryAfter reads how long an answer asks to wait, from the values of its
// headers Retry-After-Ms (milliseconds, as Anthropic's and OpenAI's APIs send it; it
// wins) and Retry-After (seconds or a date, RFC 9110 §10.2.3), now being the instant
// of the answer. Empty values are absent ones. A date that has passed asks for no
// wait; ok is false where neither header can be read.
func ParseRetryAfter(milliseconds, after string, now time.Time) (wait time.Duration, ok bool) {
	if wait, ok = amount(milliseconds, time.Millisecond); ok {
		return wait, true
	}
	if wait, ok = amount(after, time.Second); ok {
		return wait, true
	}
	after = strings.TrimSpace(after)
	for _, form := range []string{dateIMF, dateRFC850, dateANSI} {
		if at, err := time.Parse(form, after); err == nil {
			return min(max(at.Sub(now), 0), farthestAsk), true
		}
	}
	return 0, false
}

// amount reads a decimal number of units, fractions included: servers send them,
// though for seconds the standard has none.
func amount(text string, unit time.Duration) (time.Duration, bool) {
	text = strings.TrimSpace(text)
	if text == "" || strings.Trim(text, "0123456789.") != "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(text, 64)
	if errors.Is(err, strconv.ErrRange) { // n is infinite, and so more than that
		err = nil
	}
	if err != nil {
		return 0, false
	}
	if n >= float64(farthestAsk)/float64(unit) {
		return farthestAsk, true
	}
	return time.Duration(n * float64(unit)), true
}
