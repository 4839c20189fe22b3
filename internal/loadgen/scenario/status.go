package scenario

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// A Status is the status of an HTTP answer, written as a code (404) or as a
// class (4xx); from 200 to 599, for what is below is no final answer.
type Status struct {
	// First and Last of the codes that are meant; equal for one code.
	First, Last int
}

// Statuses is a list of them; in a file one may stand without brackets.
type Statuses []Status

const (
	statusForm    = `a status such as 200, a class such as 2xx, or a list of these`
	statusPattern = `^([2-5][0-9][0-9]|[2-5]xx)$`
)

var statusSyntax = regexp.MustCompile(statusPattern)

// Contains reports whether code is one of s.
func (s Statuses) Contains(code int) bool {
	for _, status := range s {
		if code >= status.First && code <= status.Last {
			return true
		}
	}
	return false
}

// String writes the statuses with commas between.
func (s Statuses) String() string {
	texts := make([]string, len(s))
	for i, status := range s {
		texts[i] = status.String()
	}
	return strings.Join(texts, ", ")
}

// String writes the notation that UnmarshalText reads.
func (s Status) String() string {
	if s.First != s.Last {
		return strconv.Itoa(s.First/100) + "xx"
	}
	return strconv.Itoa(s.First)
}

// MarshalText writes the notation that UnmarshalText reads, in YAML and JSON.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the notation of Status.
func (s *Status) UnmarshalText(text []byte) error {
	if !statusSyntax.Match(text) {
		return fmt.Errorf("%q: want %s; from 200 to 599", text, statusForm)
	}
	digits, class := strings.CutSuffix(string(text), "xx")
	n, err := strconv.Atoi(digits)
	if err != nil {
		return fmt.Errorf("%q: want %s", text, statusForm)
	}
	*s = Status{n, n}
	if class {
		*s = Status{n * 100, n*100 + 99}
	}
	return nil
}

// A Literal is text that may stand in a file as a number, true or false, without
// quotes.
type Literal string

// MarshalText writes the text.
func (l Literal) MarshalText() ([]byte, error) { return []byte(l), nil }

// UnmarshalText takes the text as it stands.
func (l *Literal) UnmarshalText(text []byte) error {
	*l = Literal(text)
	return nil
}
