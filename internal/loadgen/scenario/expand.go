package scenario

import (
	"fmt"
	"regexp"
	"strings"
)

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// A fault is what is wrong with one ${…} in a text.
type fault struct {
	at      string // as it is written, to find it by
	message string
}

// expand replaces ${NAME} and ${NAME:-default} in text by the environment's
// values and $$ by one dollar. As in a shell, a default stands in for a variable
// that is unset or empty. A dollar before anything else stands for itself.
func expand(text string, env func(string) (string, bool)) (expanded string, changed bool, faults []fault) {
	if !strings.Contains(text, "$") {
		return text, false, nil
	}
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, "$")
		b.WriteString(before)
		if !found {
			return b.String(), changed, faults
		}
		text = after
		switch {
		case strings.HasPrefix(text, "$"):
			b.WriteByte('$')
			text, changed = text[1:], true
		case strings.HasPrefix(text, "{"):
			inside, rest, closed := strings.Cut(text[1:], "}")
			if !closed {
				faults = append(faults, fault{"${", `"${" is not closed; write $${ for a literal one`})
				return b.String(), true, faults
			}
			value, wrong := lookUp(inside, env)
			if wrong != "" {
				faults = append(faults, fault{"${" + inside, wrong})
			}
			b.WriteString(value)
			text, changed = rest, true
		default:
			b.WriteByte('$')
		}
	}
}

// lookUp gives the value of what stands between the braces.
func lookUp(inside string, env func(string) (string, bool)) (value, wrong string) {
	name, fallback, hasFallback := strings.Cut(inside, ":-")
	if !variable.MatchString(name) {
		return "", fmt.Sprintf("${%s} does not name a variable; want ${NAME} or ${NAME:-default}, or $$ for a literal dollar", inside)
	}
	if env != nil {
		if v, ok := env(name); ok && (v != "" || !hasFallback) {
			return v, ""
		}
	}
	if hasFallback {
		return fallback, ""
	}
	return "", fmt.Sprintf("the environment variable %s is not set and has no default; set it, give -e %s=…, or write ${%s:-default}", name, name, name)
}
