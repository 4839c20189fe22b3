package scenario

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A JSONPath leads to values within a JSON document. It is the part of RFC 9535
// that selects by names and places:
//
//	$               the whole document
//	.name ['name']  the member of that name; also ["name"]
//	[2] [-1]        an array's element, from 0, or from its end
//	.* [*]          every member's value or every element
//
// Within quotes \ stands before a quote, itself, b f n r t or uXXXX. What the rest
// of RFC 9535 has, such as filters, slices and "..", is refused.
type JSONPath struct {
	// Text is the path as written.
	Text  string
	Steps []JSONStep
}

// A JSONStep leads from a value to values within it. A step that does not fit the
// value (a name in an array) leads to nothing.
type JSONStep struct {
	// All members' values or elements; Name and Index mean nothing then.
	All bool
	// Name of a member, where InArray is not set.
	Name string
	// InArray: the step takes element Index, from the end where that is below 0.
	InArray bool
	Index   int
}

const (
	jsonPathForm = `a path such as $.items[0].id, made of .name, ['name'], [0], [-1], .* and [*]`
	maxJSONSteps = 100
)

var (
	// nameShorthand is member-name-shorthand of RFC 9535, section 2.5.1.1.
	nameShorthand = regexp.MustCompile(`^[A-Za-z_\x{80}-\x{D7FF}\x{E000}-\x{10FFFF}][A-Za-z0-9_\x{80}-\x{D7FF}\x{E000}-\x{10FFFF}]*`)
	jsonIndex     = regexp.MustCompile(`^(0|-?[1-9][0-9]{0,15})\s*\]`)
)

// ParseJSONPath reads the notation of JSONPath.
func ParseJSONPath(text string) (JSONPath, error) {
	p := JSONPath{Text: text}
	rest, ok := strings.CutPrefix(text, "$")
	if !ok || !utf8.ValidString(text) {
		return JSONPath{}, fmt.Errorf("%q: want %s", text, jsonPathForm)
	}
	for rest != "" {
		step, after, err := parseJSONStep(rest)
		if err != nil {
			return JSONPath{}, fmt.Errorf("%q: at %q: %w; want %s", text, rest, err, jsonPathForm)
		}
		if p.Steps = append(p.Steps, step); len(p.Steps) > maxJSONSteps {
			return JSONPath{}, fmt.Errorf("%.40q…: more than %d steps", text, maxJSONSteps)
		}
		rest = after
	}
	return p, nil
}

func parseJSONStep(text string) (step JSONStep, rest string, err error) {
	if after, ok := strings.CutPrefix(text, "."); ok {
		if after, ok := strings.CutPrefix(after, "*"); ok {
			return JSONStep{All: true}, after, nil
		}
		name := nameShorthand.FindString(after)
		if name == "" {
			return step, "", errors.New("no name after the dot")
		}
		return JSONStep{Name: name}, after[len(name):], nil
	}
	inside, ok := strings.CutPrefix(text, "[")
	if !ok {
		return step, "", errors.New(`neither "." nor "["`)
	}
	inside = strings.TrimLeft(inside, " \t\r\n")
	switch {
	case strings.HasPrefix(inside, "*"):
		step, rest = JSONStep{All: true}, inside[1:]
	case strings.HasPrefix(inside, "'"), strings.HasPrefix(inside, `"`):
		if step.Name, rest, err = parseJSONName(inside); err != nil {
			return step, "", err
		}
	default:
		m := jsonIndex.FindStringSubmatch(inside)
		if m == nil {
			return step, "", errors.New("no quoted name, place or * in the brackets")
		}
		if step.Index, err = strconv.Atoi(m[1]); err != nil {
			return step, "", errors.New("a place out of range")
		}
		step.InArray, rest = true, inside[len(m[1]):]
	}
	rest, ok = strings.CutPrefix(strings.TrimLeft(rest, " \t\r\n"), "]")
	if !ok {
		return step, "", errors.New("no ] after it")
	}
	return step, rest, nil
}

// parseJSONName reads a quoted name, and gives what stands behind it.
func parseJSONName(text string) (name, rest string, err error) {
	quote := text[0]
	var b strings.Builder
	for i := 1; i < len(text); {
		switch c := text[i]; {
		case c == quote:
			return b.String(), text[i+1:], nil
		case c < ' ':
			return "", "", errors.New("a control character in a name")
		case c != '\\':
			b.WriteByte(c)
			i++
		default:
			r, n, err := unescape(text[i:], quote)
			if err != nil {
				return "", "", err
			}
			b.WriteRune(r)
			i += n
		}
	}
	return "", "", errors.New("a quote that is not closed")
}

// unescape reads the escape that text begins with, of n bytes.
func unescape(text string, quote byte) (r rune, n int, err error) {
	bad := errors.New(`no escape: \ stands before a quote, itself, /, b, f, n, r, t or uXXXX`)
	if len(text) < 2 {
		return 0, 0, bad
	}
	switch c := text[1]; c {
	case quote, '\\', '/':
		return rune(c), 2, nil
	case 'b':
		return '\b', 2, nil
	case 'f':
		return '\f', 2, nil
	case 'n':
		return '\n', 2, nil
	case 'r':
		return '\r', 2, nil
	case 't':
		return '\t', 2, nil
	case 'u':
		high, ok := hex4(text[2:])
		if !ok {
			return 0, 0, bad
		}
		if high < 0xD800 || high > 0xDFFF {
			return high, 6, nil
		}
		// A pair of surrogates, of which the second follows.
		low, ok := hex4(strings.TrimPrefix(text[6:], `\u`))
		if !ok || high > 0xDBFF || low < 0xDC00 || low > 0xDFFF || !strings.HasPrefix(text[6:], `\u`) {
			return 0, 0, errors.New("half a surrogate pair")
		}
		return (high-0xD800)<<10 + (low - 0xDC00) + 0x10000, 12, nil
	}
	return 0, 0, bad
}

// hex4 reads four hexadecimal digits.
func hex4(text string) (rune, bool) {
	if len(text) < 4 {
		return 0, false
	}
	v, err := strconv.ParseUint(text[:4], 16, 32)
	return rune(v), err == nil
}

// String is the path as written.
func (p JSONPath) String() string { return p.Text }

// MarshalText writes the path as written, in YAML and JSON.
func (p JSONPath) MarshalText() ([]byte, error) { return []byte(p.Text), nil }

// UnmarshalText reads the notation of JSONPath.
func (p *JSONPath) UnmarshalText(text []byte) (err error) {
	*p, err = ParseJSONPath(string(text))
	return err
}
