package llm

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
)

// notation is the sentence that every parse error ends with.
const notation = `want "constant:V", "uniform:LOW,HIGH", "lognormal:MEDIAN,SIGMA" or "quantiles:…"`

// dist is a distribution over float64 in the unit of the flavour that parsed
// it (nanoseconds or a count): a sampler by inverse CDF or by the lognormal's
// own formula. It is immutable.
type dist struct {
	text   string
	median float64 // lognormal, where levels is nil
	sigma  float64
	levels []float64 // probabilities from 0 to 1, ascending
	values []float64 // value at each level, not descending
}

// sample draws one value.
func (d dist) sample(rng *rand.Rand) float64 {
	if d.levels == nil {
		return d.median * math.Exp(d.sigma*rng.NormFloat64())
	}
	if len(d.values) == 1 {
		return d.values[0]
	}
	return d.quantile(rng.Float64())
}

// quantile interpolates the inverse CDF linearly between the levels.
func (d dist) quantile(p float64) float64 {
	for i := 1; i < len(d.levels); i++ {
		if p <= d.levels[i] {
			share := (p - d.levels[i-1]) / (d.levels[i] - d.levels[i-1])
			return d.values[i-1] + share*(d.values[i]-d.values[i-1])
		}
	}
	return d.values[len(d.values)-1]
}

// flavour is what tells durations from counts while a notation is parsed.
type flavour struct {
	value  func(text string) (float64, error)
	preset func(name string) (levels, values []float64, err error)
}

// parse reads one notation; the error says what was expected.
func parse(text string, fl flavour) (dist, error) {
	kind, rest, found := strings.Cut(strings.TrimSpace(text), ":")
	if !found {
		return dist{}, fmt.Errorf("distribution %q: %s", text, notation)
	}
	d, err := parseKind(kind, rest, fl)
	if err != nil {
		return dist{}, fmt.Errorf("distribution %q: %w", text, err)
	}
	d.text = strings.TrimSpace(text)
	return d, nil
}

func parseKind(kind, rest string, fl flavour) (dist, error) {
	args := strings.Split(rest, ",")
	for i := range args {
		args[i] = strings.TrimSpace(args[i])
	}
	switch kind {
	case "constant":
		if len(args) != 1 {
			return dist{}, fmt.Errorf("constant takes one value, got %d", len(args))
		}
		v, err := fl.value(args[0])
		return constant(v, args[0]), err
	case "uniform":
		if len(args) != 2 {
			return dist{}, fmt.Errorf("uniform takes LOW,HIGH, got %d values", len(args))
		}
		return table([]string{"0=" + args[0], "1=" + args[1]}, fl)
	case "lognormal":
		if len(args) != 2 {
			return dist{}, fmt.Errorf("lognormal takes MEDIAN,SIGMA, got %d values", len(args))
		}
		return lognormal(args[0], args[1], fl)
	case "quantiles":
		if len(args) == 1 {
			levels, values, err := fl.preset(args[0])
			return dist{levels: levels, values: values}, err
		}
		return table(args, fl)
	default:
		return dist{}, fmt.Errorf("unknown kind %q: %s", kind, notation)
	}
}

// constant is the distribution of one value, given with its own notation.
func constant(v float64, text string) dist {
	return dist{text: "constant:" + text, levels: []float64{0}, values: []float64{v}}
}

func lognormal(median, sigma string, fl flavour) (dist, error) {
	m, err := fl.value(median)
	if err != nil {
		return dist{}, fmt.Errorf("median: %w", err)
	}
	if m <= 0 {
		return dist{}, errors.New("median of a lognormal must be above zero")
	}
	s, err := strconv.ParseFloat(sigma, 64)
	if err != nil || !(s >= 0 && s <= 10) {
		return dist{}, fmt.Errorf("sigma %q: want a number from 0 to 10", sigma)
	}
	return dist{median: m, sigma: s}, nil
}

// table reads an explicit table: values alone stand at evenly spaced levels
// from 0 to 1; otherwise each is LEVEL=VALUE, the first level 0, the last 1.
func table(args []string, fl flavour) (dist, error) {
	d := dist{levels: make([]float64, len(args)), values: make([]float64, len(args))}
	_, _, named := strings.Cut(args[0], "=")
	for i, arg := range args {
		level, value, found := strings.Cut(arg, "=")
		if found != named {
			return dist{}, errors.New("table mixes VALUE and LEVEL=VALUE: want one or the other")
		}
		if !found {
			value = arg
			d.levels[i] = float64(i) / float64(len(args)-1)
		} else if p, err := strconv.ParseFloat(strings.TrimSpace(level), 64); err != nil {
			return dist{}, fmt.Errorf("level %q: want a number from 0 to 1", level)
		} else {
			d.levels[i] = p
		}
		v, err := fl.value(strings.TrimSpace(value))
		if err != nil {
			return dist{}, err
		}
		d.values[i] = v
		if i > 0 && !(d.levels[i] > d.levels[i-1]) {
			return dist{}, fmt.Errorf("level %q does not ascend", level)
		}
		if i > 0 && v < d.values[i-1] {
			return dist{}, fmt.Errorf("value %q is below the one before it: want values that do not descend", value)
		}
	}
	if d.levels[0] != 0 || d.levels[len(args)-1] != 1 {
		return dist{}, errors.New("table must begin at level 0 and end at level 1")
	}
	return d, nil
}
