package llm

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"time"
)

// Bounds of every draw. A notation whose parameters lie outside is refused;
// the open tail of a lognormal is cut off here.
const (
	MaxDuration = time.Hour // longest duration
	MaxCount    = 1_000_000 // largest count; the smallest is 1
)

// Durations is a distribution of durations. Its zero value stands for the
// default of the field it is used in. Its values may be copied and used
// concurrently.
type Durations struct{ d dist }

// ParseDurations reads a distribution of durations, with values as
// time.ParseDuration takes them, from 0 to MaxDuration:
//
//	constant:300ms
//	uniform:100ms,500ms
//	lognormal:200ms,0.5                    median, σ of the logarithm
//	quantiles:10ms,20ms,90ms               values at evenly spaced levels: 0, 0.5, 1
//	quantiles:0=10ms,0.5=20ms,0.99=80ms,1=2s
func ParseDurations(text string) (Durations, error) {
	d, err := parse(text, flavour{value: durationValue, preset: func(name string) ([]float64, []float64, error) {
		if _, _, err := preset(name); err == nil {
			return nil, nil, fmt.Errorf("preset %s counts tokens: want a table of durations here", name)
		}
		return nil, nil, errors.New("a table of durations takes at least two values")
	}})
	return Durations{d}, err
}

// ConstantDuration is "constant:v", v brought between 0 and MaxDuration.
func ConstantDuration(v time.Duration) Durations {
	v = min(max(v, 0), MaxDuration)
	return Durations{constant(float64(v), v.String())}
}

func durationValue(text string) (float64, error) {
	v, err := time.ParseDuration(text)
	if err != nil || v < 0 || v > MaxDuration {
		return 0, fmt.Errorf("duration %q: want one such as 300ms, from 0 to %s", text, MaxDuration)
	}
	return float64(v), nil
}

// Sample draws one duration, from 0 to MaxDuration.
func (d Durations) Sample(rng *rand.Rand) time.Duration {
	return time.Duration(min(d.d.sample(rng), float64(MaxDuration)))
}

// IsZero reports whether d is the zero value.
func (d Durations) IsZero() bool { return d.d.text == "" }

// String returns the notation d was parsed from.
func (d Durations) String() string { return d.d.text }

// MarshalText returns the notation.
func (d Durations) MarshalText() ([]byte, error) { return []byte(d.d.text), nil }

// UnmarshalText is ParseDurations, for flags and files.
func (d *Durations) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDurations(string(text))
	return err
}

// Counts is a distribution of whole numbers from 1. Its zero value stands for
// the default of the field it is used in. Its values may be copied and used
// concurrently.
type Counts struct{ d dist }

// ParseCounts reads a distribution of counts: the notation of ParseDurations
// with whole numbers from 1 to MaxCount, and "quantiles:NAME" for a preset
// (Presets lists them). Draws that fall between two whole numbers are rounded
// to the nearer one, and lognormal ones cut off at both bounds.
func ParseCounts(text string) (Counts, error) {
	d, err := parse(text, flavour{value: countValue, preset: preset})
	return Counts{d}, err
}

// ConstantCount is "constant:n", n brought between 1 and MaxCount.
func ConstantCount(n int) Counts {
	n = min(max(n, 1), MaxCount)
	return Counts{constant(float64(n), strconv.Itoa(n))}
}

func countValue(text string) (float64, error) {
	v, err := strconv.Atoi(text)
	if err != nil || v < 1 || v > MaxCount {
		return 0, fmt.Errorf("count %q: want a whole number from 1 to %d", text, MaxCount)
	}
	return float64(v), nil
}

// Sample draws one count, from 1 to MaxCount.
func (c Counts) Sample(rng *rand.Rand) int {
	return int(min(max(math.Round(c.d.sample(rng)), 1), MaxCount))
}

// IsZero reports whether c is the zero value.
func (c Counts) IsZero() bool { return c.d.text == "" }

// String returns the notation c was parsed from.
func (c Counts) String() string { return c.d.text }

// MarshalText returns the notation.
func (c Counts) MarshalText() ([]byte, error) { return []byte(c.d.text), nil }

// UnmarshalText is ParseCounts, for flags and files.
func (c *Counts) UnmarshalText(text []byte) (err error) {
	*c, err = ParseCounts(string(text))
	return err
}
