package scenario

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A Reply is what a scripted upstream does with one call: a status, reset (the
// connection is cut with a TCP reset before any byte of an answer) or hang (no
// answer until the caller gives up), and details behind commas:
//
//	503
//	429,retry-after:2s        with a Retry-After of so many seconds
//	200,delay:150ms           after that time
//	reset
//	hang
type Reply struct {
	// Status to answer; 0 for reset and hang.
	Status int
	// Reset and Hang are the replies without an answer.
	Reset, Hang bool
	// RetryAfter of the answer, whole seconds; 0 for none.
	RetryAfter time.Duration
	// Delay before the reply, beside the upstream's own.
	Delay time.Duration
}

const (
	replyForm    = `a status such as 503, or reset, or hang; with details as in 429,retry-after:2s,delay:50ms`
	replyPattern = `^([2-5][0-9][0-9]|reset|hang)(,(retry-after|delay):` + oneTime + `)*$`
)

var replySyntax = regexp.MustCompile(replyPattern)

// ParseReply reads the notation of Reply.
func ParseReply(text string) (Reply, error) {
	if !replySyntax.MatchString(text) {
		return Reply{}, fmt.Errorf("%q: want %s", text, replyForm)
	}
	var r Reply
	kind, details, _ := strings.Cut(text, ",")
	switch kind {
	case "reset":
		r.Reset = true
	case "hang":
		r.Hang = true
	default:
		r.Status, _ = strconv.Atoi(kind) // three digits by the syntax
	}
	for details != "" {
		var detail string
		detail, details, _ = strings.Cut(details, ",")
		name, value, _ := strings.Cut(detail, ":")
		d, err := ParseDuration(value)
		if err != nil {
			return Reply{}, fmt.Errorf("%q: %s: %w", text, name, err)
		}
		switch {
		case name == "delay":
			r.Delay = time.Duration(d)
		case r.Status == 0:
			return Reply{}, fmt.Errorf("%q: retry-after goes with a status", text)
		case d <= 0 || time.Duration(d)%time.Second != 0:
			return Reply{}, fmt.Errorf("%q: retry-after is a whole number of seconds above 0", text)
		default:
			r.RetryAfter = time.Duration(d)
		}
	}
	return r, nil
}

// String is the notation that ParseReply reads.
func (r Reply) String() string {
	s := strconv.Itoa(r.Status)
	switch {
	case r.Reset:
		s = "reset"
	case r.Hang:
		s = "hang"
	}
	if r.RetryAfter > 0 {
		s += ",retry-after:" + Duration(r.RetryAfter).String()
	}
	if r.Delay > 0 {
		s += ",delay:" + Duration(r.Delay).String()
	}
	return s
}

// IsZero reports that no reply was given.
func (r Reply) IsZero() bool { return r == Reply{} }

// MarshalText writes the notation that UnmarshalText reads, in YAML and JSON.
func (r Reply) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the notation of Reply.
func (r *Reply) UnmarshalText(text []byte) (err error) {
	*r, err = ParseReply(string(text))
	return err
}

// Share is a part of a whole, 0 to 1, written "10%" or "0.1".
type Share float64

const (
	shareForm    = `a share such as 10% or 0.1`
	sharePattern = `^[0-9]+(\.[0-9]+)?%?$`
)

var shareSyntax = regexp.MustCompile(sharePattern)

// ParseShare reads the notation of Share.
func ParseShare(text string) (Share, error) {
	number, percent := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(number, 64)
	if percent {
		v /= 100
	}
	if err != nil || !shareSyntax.MatchString(text) || v > 1 {
		return 0, fmt.Errorf("%q: want %s, at most 100%%", text, shareForm)
	}
	return Share(v), nil
}

// String is the share in per cent.
func (s Share) String() string { return strconv.FormatFloat(float64(s)*100, 'f', -1, 64) + "%" }

// MarshalText writes the notation that UnmarshalText reads, in YAML and JSON.
func (s Share) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the notation of Share.
func (s *Share) UnmarshalText(text []byte) (err error) {
	*s, err = ParseShare(string(text))
	return err
}
