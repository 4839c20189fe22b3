package scenario

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration written as Go writes it: "800ms", "1m30s". From 0
// to 720h.
type Duration time.Duration

// maxDuration keeps sums of durations far from overflow.
const maxDuration = 720 * time.Hour

const (
	durationForm    = `a duration such as 800ms, 30s or 1m30s`
	durationPattern = `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`
)

var durationSyntax = regexp.MustCompile(durationPattern)

// ParseDuration reads the notation of Duration.
func ParseDuration(text string) (Duration, error) {
	if !durationSyntax.MatchString(text) {
		if rest, negative := strings.CutPrefix(text, "-"); negative && durationSyntax.MatchString(rest) {
			return 0, fmt.Errorf("%q: a duration must not be negative", text)
		}
		return 0, fmt.Errorf("%q: want %s", text, durationForm)
	}
	d, err := time.ParseDuration(text)
	if err != nil || d > maxDuration {
		return 0, fmt.Errorf("%q: a duration must not be above %s", text, Duration(maxDuration))
	}
	return Duration(d), nil
}

// String is the shortest of Go's notations: "30s", "1m30s", "2h".
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText writes the notation that UnmarshalText reads, in YAML and JSON.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads the notation of Duration.
func (d *Duration) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDuration(string(text))
	return err
}

// Rate is a number of events a second, written "50/s", "600/m" or "10/h". Zero,
// or from 1e-6 to 1e6 a second.
type Rate float64

// Limits of a rate: gaps between 1 µs and 1e6 s, about 12 days.
const (
	maxRate Rate = 1e6
	minRate Rate = 1e-6
)

const (
	rateForm    = `a number and a unit of time such as 50/s, 600/m or 10/h`
	ratePattern = `^[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?/[smh]$`
)

var rateSyntax = regexp.MustCompile(ratePattern)

// perSecond is how many seconds a unit of a rate has.
func perSecond(unit byte) float64 {
	switch unit {
	case 'm':
		return 60
	case 'h':
		return 3600
	}
	return 1
}

// ParseRate reads the notation of Rate.
func ParseRate(text string) (Rate, error) {
	if !rateSyntax.MatchString(text) {
		number, unit, _ := strings.Cut(text, "/")
		v, err := strconv.ParseFloat(number, 64)
		switch {
		case err == nil && (math.IsNaN(v) || math.IsInf(v, 0)):
			return 0, fmt.Errorf("%q: a rate must be a finite number", text)
		case err == nil && v < 0:
			return 0, fmt.Errorf("%q: a rate must not be negative; want %s", text, rateForm)
		case err == nil && unit == "":
			return 0, fmt.Errorf("%q: a rate needs a unit of time; want %s", text, rateForm)
		}
		return 0, fmt.Errorf("%q: want %s", text, rateForm)
	}
	last := len(text) - 1
	v, err := strconv.ParseFloat(text[:last-1], 64)
	r := Rate(v / perSecond(text[last]))
	if err != nil || r > maxRate {
		return 0, fmt.Errorf("%q: a rate must not be above %s", text, maxRate)
	}
	if r < minRate && v != 0 {
		return 0, fmt.Errorf("%q: a rate above 0/s must not be below one in 1000000 s", text)
	}
	return r, nil
}

// String writes the rate by the second, minute or hour, whichever gives a whole
// number; ParseRate reads exactly the same rate back.
func (r Rate) String() string {
	for _, unit := range []byte("smh") {
		if v := math.Round(float64(r) * perSecond(unit)); Rate(v/perSecond(unit)) == r {
			return strconv.FormatFloat(v, 'f', -1, 64) + "/" + string(unit)
		}
	}
	return strconv.FormatFloat(float64(r), 'f', -1, 64) + "/s"
}

// MarshalText writes the notation that UnmarshalText reads, in YAML and JSON.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the notation of Rate.
func (r *Rate) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRate(string(text))
	return err
}
