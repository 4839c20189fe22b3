package scenario

import (
	"cmp"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// minSecret is how long a value from the environment is, in bytes, that is replaced
// wherever it stands: a shorter one stands in too many places by chance.
const minSecret = 4

// leastCut is the length, in bytes, from which on a text may be the beginning of a
// longer one, without a mark that says so: an example of an error.
const leastCut = 100

var (
	// parameters are name and value of a query, in a URL or a form; a value may hold
	// the actions of a template.
	parameters = regexp.MustCompile(`(?:^|[?&])([^?&=\s"'{}]+)=((?:\{\{.*?\}\}|[^&\s"'#])*)`)
	// members are name and value of a JSON object's member that is text, or that a
	// template writes.
	members = regexp.MustCompile(`"([^"\\\s]+)"\s*:\s*("(?:\{\{.*?\}\}|[^"\\]|\\.)*"|\{\{.*?\}\}|\$\{[^}]*\})`)
)

// A credential is a part of a text whose name says that it carries one.
type credential struct {
	what  string // as "the header X-Token"
	value string // as it is written
}

// credentialsIn finds the credentials in the text at path, which is as it stands in
// the file.
func credentialsIn(path, text string) (found []credential) {
	if _, name, ok := cutLast(path, ".headers."); ok {
		if Secret(name) {
			found = append(found, credential{"the header " + name, text})
		}
		return found
	}
	if _, key, ok := cutLast(path, "."); ok && Secret(key) {
		return append(found, credential{"the key " + key, text})
	}
	for _, m := range parameters.FindAllStringSubmatch(text, -1) {
		if Secret(m[1]) {
			found = append(found, credential{"the parameter " + m[1], m[2]})
		}
	}
	for _, m := range members.FindAllStringSubmatch(text, -1) {
		if Secret(m[1]) {
			found = append(found, credential{"the field " + m[1], strings.Trim(m[2], `"`)})
		}
	}
	return found
}

// cutLast cuts s around the last separator.
func cutLast(s, separator string) (before, after string, found bool) {
	i := strings.LastIndex(s, separator)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(separator):], true
}

// literal reports that a credential's value stands in the file itself: that it comes
// neither from the environment nor from a template.
func (c credential) literal() bool {
	value := c.value
	for _, scheme := range []string{"Bearer", "Basic"} {
		value = strings.TrimSpace(strings.TrimPrefix(value, scheme))
	}
	return value != "" && !strings.Contains(value, "${") && !strings.Contains(value, "{{")
}

// secrets refuses credentials that stand in the file, and notes those that came from
// the environment. A variable whose own name says credential is one wherever it stands.
func (c *checker) secrets() {
	s := c.scenario
	note := func(text string, also func(name string) bool) {
		expand(text, func(name string) (string, bool) {
			if c.env == nil {
				return "", false
			}
			value, ok := c.env(name)
			if ok && len(value) >= minSecret && also(name) && !slices.Contains(s.Secrets, value) {
				s.Secrets = append(s.Secrets, value)
			}
			return value, ok
		})
	}
	always := func(string) bool { return true }
	for path, text := range c.texts {
		note(text, Secret)
		if c.compared(path) {
			note(text, always)
		}
		for _, found := range credentialsIn(path, text) {
			note(found.value, always)
			if !found.literal() || !sends(path) {
				continue
			}
			c.wrong(path, "%s carries a credential, which does not belong into a file: write ${NAME}, and set NAME in the environment or by -e", found.what)
			if len(found.value) >= minSecret {
				c.hidden = append(c.hidden, found.value)
			}
		}
	}
	slices.SortFunc(s.Secrets, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
}

// sends reports whether the text at path is part of what is sent: what an answer is
// held against may be any text, and so may a description.
func sends(path string) bool {
	return path != "description" && !strings.Contains(path, ".checks[") && !strings.HasPrefix(path, "thresholds.")
}

// compared reports whether the text at path is what a header or value that carries a
// credential is compared with.
func (c *checker) compared(path string) bool {
	at, key, ok := cutLast(path, ".")
	if !ok || !slices.Contains([]string{"equals", "contains", "matches"}, key) {
		return false
	}
	if name, ok := c.texts[at+".name"]; ok {
		return Secret(name)
	}
	steps := strings.FieldsFunc(c.texts[at+".path"], func(r rune) bool { return strings.ContainsRune(`.[]'"$`, r) })
	return len(steps) > 0 && Secret(steps[len(steps)-1])
}

// Scrub replaces the scenario's secrets wherever they stand in text, also as JSON or a
// URL writes them, and where the end of the text cuts one off.
func (s *Scenario) Scrub(text string) string {
	for _, secret := range s.Secrets {
		for _, form := range formsOf(secret) {
			text = strings.ReplaceAll(text, form, redactedValue)
		}
	}
	const mark = "…"
	body, cut := strings.CutSuffix(text, mark)
	if !cut && len(text) < leastCut {
		return text
	}
	for _, secret := range s.Secrets {
		for _, form := range formsOf(secret) {
			body = withoutTail(body, form)
		}
	}
	if cut {
		body += mark
	}
	return body
}

// formsOf lists how a secret may be written, the longest first.
func formsOf(secret string) []string {
	forms := []string{secret, url.QueryEscape(secret), url.PathEscape(secret)}
	quoted := strconv.Quote(secret)
	forms = append(forms, quoted[1:len(quoted)-1], strings.Join(strings.Fields(secret), " "))
	if b, err := json.Marshal(secret); err == nil {
		forms = append(forms, string(b[1:len(b)-1]))
	}
	if text, err := toJSON(secret); err == nil {
		forms = append(forms, text[1:len(text)-1])
	}
	slices.SortFunc(forms, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	forms = slices.Compact(forms)
	return slices.DeleteFunc(forms, func(form string) bool { return len(form) < minSecret })
}

// withoutTail replaces the beginning of a secret that text ends with.
func withoutTail(text, secret string) string {
	for n := min(len(secret), len(text)); n >= minSecret; n-- {
		if kept, ok := strings.CutSuffix(text, secret[:n]); ok {
			return kept + redactedValue
		}
	}
	return text
}

// scrubProblems takes secrets out of problems: those of the environment, which a
// message may quote, and those that stand in the file, which the line shows.
func (c *checker) scrubProblems() {
	for i := range c.problems {
		p := &c.problems[i]
		p.Message = c.scenario.Scrub(p.Message)
		for _, value := range c.hidden {
			p.Source = strings.ReplaceAll(p.Source, value, redactedValue)
			p.Message = strings.ReplaceAll(p.Message, value, redactedValue)
		}
	}
}
