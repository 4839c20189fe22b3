package retry

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// UnmarshalText reads KIND or KIND:KEY=VALUE,…, the keys being attempts, base, cap,
// retry_after (true or false), attempt_timeout, budget (none, finagle, grpc) and
// seed. What is not given is as in Default. Durations are Go's, such as 1.5s. The
// error names everything that is wrong.
func (p *Policy) UnmarshalText(text []byte) error {
	kind, rest, more := strings.Cut(strings.TrimSpace(string(text)), ":")
	read := Default(Kind(kind))
	var errs []error
	if kind == "" {
		errs = append(errs, errors.New("no kind: want none, guide, full, equal or decorrelated"))
	}
	seen := make(map[string]bool)
	for pair := range strings.SplitSeq(rest, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		switch {
		case !ok && !more:
			continue
		case !ok:
			errs = append(errs, fmt.Errorf("%q: want KEY=VALUE", pair))
			continue
		case seen[key]:
			errs = append(errs, fmt.Errorf("%s is given twice", key))
			continue
		}
		seen[key] = true
		if err := read.set(key, value); err != nil {
			errs = append(errs, err)
		}
	}
	if seen["attempts"] && read.Attempts == 0 {
		errs = append(errs, errors.New("attempts 0: want at least 1"))
	}
	if err := errors.Join(append(errs, read.Validate())...); err != nil {
		return fmt.Errorf("retry policy %q: %w", text, err)
	}
	*p = read
	return nil
}

// set reads one value.
func (p *Policy) set(key, value string) error {
	var err error
	switch key {
	case "attempts":
		p.Attempts, err = strconv.Atoi(value)
	case "base":
		p.Base, err = time.ParseDuration(value)
	case "cap":
		p.Cap, err = time.ParseDuration(value)
	case "retry_after":
		p.RetryAfter, err = strconv.ParseBool(value)
	case "attempt_timeout":
		p.AttemptTimeout, err = time.ParseDuration(value)
	case "budget":
		p.Budget = BudgetName(value)
	case "seed":
		p.Seed, err = strconv.ParseUint(value, 10, 64)
	default:
		return fmt.Errorf("unknown key %q: want attempts, base, cap, retry_after, attempt_timeout, budget or seed", key)
	}
	if err != nil {
		return fmt.Errorf("%s %q: %w", key, value, err)
	}
	return nil
}

// MarshalText writes what UnmarshalText reads, with the values that differ from
// Default.
func (p Policy) MarshalText() ([]byte, error) {
	usual := Default(p.kind())
	var pairs []string
	add := func(differs bool, key string, value any) {
		if differs {
			pairs = append(pairs, fmt.Sprintf("%s=%v", key, value))
		}
	}
	add(max(p.Attempts, 1) != usual.Attempts, "attempts", max(p.Attempts, 1))
	add(p.Base != usual.Base, "base", p.Base)
	add(p.Cap != usual.Cap, "cap", p.Cap)
	add(p.RetryAfter != usual.RetryAfter, "retry_after", p.RetryAfter)
	add(p.AttemptTimeout != usual.AttemptTimeout, "attempt_timeout", p.AttemptTimeout)
	add(p.Budget != "" && p.Budget != NoBudget, "budget", p.Budget)
	add(p.Seed != 0, "seed", p.Seed)
	text := string(p.kind())
	if len(pairs) > 0 {
		text += ":" + strings.Join(pairs, ",")
	}
	return []byte(text), nil
}

// String is the text form.
func (p Policy) String() string {
	text, err := p.MarshalText()
	if err != nil { // it has none
		return err.Error()
	}
	return string(text)
}
