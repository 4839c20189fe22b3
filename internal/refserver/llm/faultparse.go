package llm

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxFaults is how many faults one notation may join.
const maxFaults = 32

// ParseFaults reads what goes wrong: "none", or faults joined by semicolons.
//
//	status:429,retry-after:2s    that status, with or without Retry-After
//	error-event@10               an overloaded_error after 10 tokens
//	error-event@10,api_error     an error of that type
//	cut@10                       the connection is cut
//	truncate@10                  the stream ends without its last events
//	stall@10,30s                 nothing for 30 s
//	malformed@5                  an event that is not JSON
//	empty@3                      a chunk without text
//	reasoning:20                 20 tokens of reasoning first
//	role-only                    a first chunk without text; with OpenAI's API
//	                             that is so anyway, and role-only:off undoes it
//	split                        each event in two writes
//	ping:5s                      pings
//	seed:7                       of the probabilities
//
// After a fault ~P gives the probability, above 0 to 1, with which an answer has
// it, and #N holds it to the first N answers that draw it, as in
// "status:529~0.1#5".
func ParseFaults(text string) (Faults, error) {
	text = strings.TrimSpace(text)
	if text == noFaults || text == "" {
		return Faults{}, nil
	}
	var faults Faults
	for part := range strings.SplitSeq(text, ";") {
		part = strings.TrimSpace(part)
		if seed, found := strings.CutPrefix(part, "seed:"); found {
			n, err := strconv.ParseUint(seed, 10, 64)
			if err != nil || faults.seeded {
				return Faults{}, fmt.Errorf("fault %q: want one seed, an unsigned integer below 2^64", part)
			}
			faults.seed, faults.seeded = n, true
			continue
		}
		fault, err := parseFault(part)
		if err != nil {
			return Faults{}, fmt.Errorf("fault %q: %w", part, err)
		}
		faults.list = append(faults.list, fault)
	}
	if len(faults.list) > maxFaults {
		return Faults{}, fmt.Errorf("%d faults: want at most %d", len(faults.list), maxFaults)
	}
	return faults, nil
}

// parseFault reads one fault.
func parseFault(text string) (Fault, error) {
	f := Fault{Probability: 1}
	text, first, bounded := cutLast(text, "#")
	if bounded {
		n, err := strconv.Atoi(first)
		if err != nil || n < 1 {
			return f, fmt.Errorf("#%s: want a number of answers from 1", first)
		}
		f.First = n
	}
	text, probability, random := cutLast(text, "~")
	if random {
		p, err := strconv.ParseFloat(probability, 64)
		if err != nil || !(p > 0 && p <= 1) {
			return f, fmt.Errorf("~%s: want a probability above 0 to 1", probability)
		}
		f.Probability = p
	}
	head, rest, more := strings.Cut(text, ",")
	var extra []string
	if more {
		extra = strings.Split(rest, ",")
	}
	name, after, struck := strings.Cut(head, "@")
	value := ""
	given := false
	if !struck {
		name, value, given = strings.Cut(head, ":")
	}
	f.Kind = FaultKind(name)
	switch {
	case !f.Kind.known():
		return f, fmt.Errorf("unknown kind %q: want %s", name, kindList())
	case f.Kind.strikes() != struck:
		if struck {
			return f, fmt.Errorf("%s takes no @", name)
		}
		return f, fmt.Errorf("want %s@N, N the tokens before it", name)
	case struck:
		n, err := strconv.Atoi(after)
		if err != nil || n < 0 || n > MaxCount {
			return f, fmt.Errorf("@%s: want a number of tokens from 0 to %d", after, MaxCount)
		}
		f.After = n
	}
	if err := f.parseValue(value, given); err != nil {
		return f, err
	}
	return f, f.parseExtra(extra)
}

// parseValue reads what stands behind the colon.
func (f *Fault) parseValue(value string, given bool) (err error) {
	switch f.Kind {
	case FaultStatus:
		f.Status, err = parseStatus(value)
	case FaultReasoning:
		if f.Tokens, err = strconv.Atoi(value); err != nil || f.Tokens < 1 || f.Tokens > MaxCount {
			return fmt.Errorf("%q: want a number of tokens from 1 to %d", value, MaxCount)
		}
	case FaultPing:
		if f.For, err = faultDuration(value); err == nil && f.For < time.Millisecond {
			err = errors.New("want an interval of 1ms or more")
		}
	case FaultRoleOnly:
		if given && value != "off" {
			return fmt.Errorf("%q: want role-only or role-only:off", value)
		}
		f.Off = given
	default:
		if given {
			return fmt.Errorf("%s takes no value", f.Kind)
		}
	}
	return err
}

// parseExtra reads what stands behind commas.
func (f *Fault) parseExtra(extra []string) (err error) {
	switch {
	case f.Kind == FaultStall && len(extra) == 1:
		f.For, err = faultDuration(extra[0])
	case f.Kind == FaultStall:
		err = errors.New("want stall@N,D")
	case len(extra) == 0:
	case f.Kind == FaultStatus && len(extra) == 1 && strings.HasPrefix(extra[0], "retry-after:"):
		f.RetryAfter, err = faultDuration(strings.TrimPrefix(extra[0], "retry-after:"))
	case f.Kind == FaultErrorEvent && len(extra) == 1 && isErrorType(extra[0]):
		f.Type = extra[0]
	default:
		err = fmt.Errorf("unexpected %q", strings.Join(extra, ","))
	}
	return err
}

// faultDuration reads a length of time above 0.
func faultDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 || d > MaxDuration {
		return 0, fmt.Errorf("duration %q: want one such as 2s, above 0 to %s", text, MaxDuration)
	}
	return d, nil
}

// isErrorType reports whether text may be the type of an error: small letters and
// underscores.
func isErrorType(text string) bool {
	return text != "" && len(text) <= 64 && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz_") == ""
}

// cutLast cuts text at the last separator.
func cutLast(text, separator string) (before, after string, found bool) {
	if i := strings.LastIndex(text, separator); i >= 0 {
		return text[:i], text[i+len(separator):], true
	}
	return text, "", false
}

func (k FaultKind) known() bool {
	for _, kind := range faultKinds {
		if k == kind {
			return true
		}
	}
	return false
}

func kindList() string {
	names := make([]string, len(faultKinds))
	for i, kind := range faultKinds {
		names[i] = string(kind)
	}
	return strings.Join(names, ", ")
}
