package scenario

import (
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// TimeDist is a length of time, drawn anew for each use:
//
//	300ms                    constant
//	uniform:100ms,500ms      from the first to the second, equally likely
//	lognormal:200ms,0.5      median and σ of the logarithm, cut off at 4σ
type TimeDist struct{ shape }

// CountDist is a whole number, drawn anew for each use, in the notation of
// TimeDist without units: 5, uniform:2,8 or lognormal:100,0.6.
type CountDist struct{ shape }

// A shape is a distribution of numbers from lo to hi: constant where they are
// equal, uniform without a median.
type shape struct {
	lo, hi, median, sigma float64
}

// maxCount is the largest number that a CountDist draws.
const maxCount = 1_000_000

const (
	timeDistForm = `a time such as 300ms, or uniform:100ms,500ms, or lognormal:200ms,0.5`
	oneTime      = `([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+`
	oneNumber    = `[0-9]+(\.[0-9]+)?`

	countDistForm = `a whole number such as 5, or uniform:2,8, or lognormal:100,0.6`
	oneCount      = `[0-9]+`
)

// distPattern is the notation of a shape whose single value looks like one.
func distPattern(one string) string {
	return `^(` + one + `|uniform:` + one + `,` + one + `|lognormal:` + one + `,` + oneNumber + `)$`
}

var (
	timeDistSyntax  = regexp.MustCompile(distPattern(oneTime))
	countDistSyntax = regexp.MustCompile(distPattern(oneCount))
)

// ParseTimeDist reads the notation of TimeDist. Times go up to 720h.
func ParseTimeDist(text string) (TimeDist, error) {
	if !timeDistSyntax.MatchString(text) {
		return TimeDist{}, fmt.Errorf("%q: want %s", text, timeDistForm)
	}
	s, err := parseShape(text, float64(maxDuration), func(one string) (float64, error) {
		d, err := ParseDuration(one)
		return float64(d), err
	})
	return TimeDist{s}, err
}

// ParseCountDist reads the notation of CountDist. Numbers go up to 1,000,000.
func ParseCountDist(text string) (CountDist, error) {
	if !countDistSyntax.MatchString(text) {
		return CountDist{}, fmt.Errorf("%q: want %s", text, countDistForm)
	}
	s, err := parseShape(text, maxCount, func(one string) (float64, error) {
		n, err := strconv.ParseUint(one, 10, 64)
		if err != nil || n > maxCount {
			return 0, fmt.Errorf("%s is above the limit of %d", one, maxCount)
		}
		return float64(n), nil
	})
	return CountDist{s}, err
}

// parseShape reads text, which has the form of distPattern, with the values that
// value reads.
func parseShape(text string, most float64, value func(string) (float64, error)) (shape, error) {
	fail := func(why string) (shape, error) { return shape{}, fmt.Errorf("%q: %s", text, why) }
	kind, args, given := strings.Cut(text, ":")
	if !given {
		kind, args = "constant", text
	}
	first, second, _ := strings.Cut(args, ",")
	v, err := value(first)
	if err != nil {
		return fail(err.Error())
	}
	switch kind {
	case "uniform":
		upper, err := value(second)
		switch {
		case err != nil:
			return fail(err.Error())
		case v > upper:
			return fail("the smaller value comes first")
		}
		return shape{lo: v, hi: upper}, nil
	case "lognormal":
		sigma, err := strconv.ParseFloat(second, 64)
		switch {
		case err != nil || sigma <= 0 || sigma > 3:
			return fail("σ of a lognormal must be above 0 and at most 3")
		case v <= 0:
			return fail("the median of a lognormal must be above 0")
		}
		spread := math.Exp(4 * sigma)
		return shape{lo: v / spread, hi: math.Min(most, v*spread), median: v, sigma: sigma}, nil
	}
	return shape{lo: v, hi: v}, nil
}

// draw returns one value. A constant takes nothing from rng.
func (s shape) draw(rng *rand.Rand) float64 {
	switch {
	case s.sigma > 0:
		return math.Min(math.Max(s.median*math.Exp(s.sigma*rng.NormFloat64()), s.lo), s.hi)
	case s.hi > s.lo:
		return s.lo + rng.Float64()*(s.hi-s.lo)
	}
	return s.lo
}

// text is the notation of s with values written by value.
func (s shape) text(value func(float64) string) string {
	switch {
	case s.sigma > 0:
		return "lognormal:" + value(s.median) + "," + strconv.FormatFloat(s.sigma, 'f', -1, 64)
	case s.hi > s.lo:
		return "uniform:" + value(s.lo) + "," + value(s.hi)
	}
	return value(s.lo)
}

// Every returns the distribution that is always d.
func Every(d time.Duration) TimeDist { return TimeDist{shape{lo: float64(d), hi: float64(d)}} }

// Draw returns one length of time. A constant takes nothing from rng.
func (t TimeDist) Draw(rng *rand.Rand) time.Duration { return time.Duration(math.Round(t.draw(rng))) }

// Max is the longest time that Draw returns.
func (t TimeDist) Max() time.Duration { return time.Duration(math.Round(t.hi)) }

// String is the notation that ParseTimeDist reads.
func (t TimeDist) String() string {
	return t.text(func(v float64) string { return Duration(v).String() })
}

// MarshalText writes the notation that UnmarshalText reads, in YAML and JSON.
func (t TimeDist) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads the notation of TimeDist.
func (t *TimeDist) UnmarshalText(text []byte) (err error) {
	*t, err = ParseTimeDist(string(text))
	return err
}

// Always returns the distribution that is always n.
func Always(n int) CountDist { return CountDist{shape{lo: float64(n), hi: float64(n)}} }

// Draw returns one number. A constant takes nothing from rng.
func (c CountDist) Draw(rng *rand.Rand) int {
	if c.sigma == 0 && c.hi > c.lo {
		return int(c.lo) + rng.IntN(int(c.hi-c.lo)+1)
	}
	return int(math.Round(c.draw(rng)))
}

// Min is the smallest number that Draw returns.
func (c CountDist) Min() int { return int(math.Round(c.lo)) }

// Max is the largest number that Draw returns.
func (c CountDist) Max() int { return int(math.Round(c.hi)) }

// String is the notation that ParseCountDist reads.
func (c CountDist) String() string {
	return c.text(func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) })
}

// MarshalText writes the notation that UnmarshalText reads, in YAML and JSON.
func (c CountDist) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the notation of CountDist.
func (c *CountDist) UnmarshalText(text []byte) (err error) {
	*c, err = ParseCountDist(string(text))
	return err
}
