package scenario

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

const (
	thresholdForm    = `an aggregate, a comparison and a bound, such as "p(95) < 800ms", "rate < 1%" or "value == 1"`
	number           = `[0-9]+(\.[0-9]+)?`
	aggregatePattern = `p\(\s*` + number + `\s*\)|avg|mean|min|max|med|count|rate|value`
	thresholdPattern = `^\s*(` + aggregatePattern + `)\s*(<=|>=|==|!=|<|>)\s*` + number + `(%|/[smh]|B|[kK]B|MB|KiB|MiB|(ns|us|µs|ms|s|m|h)([0-9.]+(ns|us|µs|ms|s|m|h))*)?\s*$`
)

var (
	aggregateSyntax = regexp.MustCompile(`^(p\([^()]*\)|[a-zA-Z_]+[0-9]*)`)
	plainNumber     = regexp.MustCompile(`^` + number + `$`)
)

// ParseThreshold reads the notation of Threshold. Its error shows what is wrong
// and what is expected.
func ParseThreshold(text string) (Threshold, error) {
	t, err := parseThreshold(strings.TrimSpace(text))
	if err != nil {
		return Threshold{}, fmt.Errorf("%q: %w", text, err)
	}
	return t, nil
}

func parseThreshold(text string) (t Threshold, err error) {
	t.Text = text
	aggregate := aggregateSyntax.FindString(text)
	if aggregate == "" {
		return t, errors.New("want " + thresholdForm)
	}
	if t.Aggregate, t.Quantile, err = parseAggregate(aggregate); err != nil {
		return t, err
	}
	rest := strings.TrimSpace(text[len(aggregate):])
	for _, op := range []Op{LessEqual, GreaterEqual, Equal, NotEqual, Less, Greater} {
		if after, ok := strings.CutPrefix(rest, string(op)); ok {
			t.Op, rest = op, strings.TrimSpace(after)
			break
		}
	}
	if t.Op == "" {
		return t, fmt.Errorf("want <, <=, >, >=, == or != after %q, found %q; the form is %s", aggregate, rest, thresholdForm)
	}
	if rest == "" {
		return t, fmt.Errorf("nothing to compare with after %q; the form is %s", t.Op, thresholdForm)
	}
	if t.Bound, t.BoundUnit, err = parseBound(rest); err != nil {
		return t, err
	}
	return t, t.consistent()
}

// parseAggregate reads "p(95)" or a name; avg is mean and med is p(50).
func parseAggregate(text string) (Aggregate, float64, error) {
	if percent, ok := strings.CutPrefix(text, "p("); ok {
		percent = strings.TrimSpace(strings.TrimSuffix(percent, ")"))
		if plainNumber.MatchString(percent) {
			if q, err := strconv.ParseFloat(percent+"e-2", 64); err == nil && q > 0 && q <= 1 {
				return AggregateQuantile, q, nil
			}
		}
		return "", 0, fmt.Errorf("%q is no percentile: p() takes a number above 0 and at most 100, as p(99.9)", text)
	}
	switch text {
	case "avg", "mean":
		return AggregateMean, 0, nil
	case "med":
		return AggregateQuantile, 0.5, nil
	case "min", "max", "count", "rate", "value":
		return Aggregate(text), 0, nil
	}
	if percent, ok := strings.CutPrefix(text, "p"); ok && plainNumber.MatchString(percent) {
		return "", 0, fmt.Errorf("unknown aggregate %q; did you mean p(%s)", text, percent)
	}
	return "", 0, fmt.Errorf("unknown aggregate %q; want p(95), avg, mean, min, max, med, count, rate or value", text)
}

// parseBound reads what stands right of the comparison.
func parseBound(text string) (float64, BoundUnit, error) {
	if digits, ok := strings.CutSuffix(text, "%"); ok && plainNumber.MatchString(digits) {
		if v, err := strconv.ParseFloat(digits+"e-2", 64); err == nil {
			return v, BoundPercent, nil
		}
	}
	if plainNumber.MatchString(text) {
		if v, err := strconv.ParseFloat(text, 64); err == nil {
			return v, BoundNumber, nil
		}
	}
	if r, err := ParseRate(text); err == nil {
		return float64(r), BoundRate, nil
	}
	if n, err := parseSize(text); err == nil && sizeSyntax.MatchString(text) {
		return float64(n), BoundSize, nil
	}
	if d, err := ParseDuration(text); err == nil {
		return float64(d), BoundTime, nil
	}
	return 0, "", fmt.Errorf("%q is no bound; want a time (800ms), a share (1%%), a rate (50/s), a size (4KiB) or a plain number", text)
}
