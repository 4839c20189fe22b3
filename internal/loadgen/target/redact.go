package target

import (
	"regexp"
	"slices"
	"strings"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// leftOut stands where a credential was.
const leftOut = "(left out)"

var (
	// word is a word of a command: quoted pieces hold spaces.
	word = regexp.MustCompile(`(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s'"\\])+|['"\\]`)
	// named is a word that names what it gives: NAME=value, --name=value, or the
	// header 'Name: value'.
	named = regexp.MustCompile(`(?s)^(['"]?-{0,2}([A-Za-z_][A-Za-z0-9_.-]*)(?:=|:\s*))(.+)$`)
	// pair is name=value within a word, as in the query of a URL.
	pair = regexp.MustCompile(`([A-Za-z_][A-Za-z0-9_.-]*)=([^\s&;'"]+)`)
	// user is what stands before the host of a URL.
	user = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)([^\s/@'"]+)@`)
)

// Redacted returns a command line fit to be stored and shown: without the values of
// variables, flags, headers and parameters whose names say that they carry a
// credential, as in API_TOKEN=…, --jwt-secret … or 'Authorization: …', and without
// passwords in URLs. What else may be a secret is not known for one: it belongs
// into the environment.
func Redacted(command string) string {
	var b strings.Builder
	at, secret := 0, false
	for _, span := range word.FindAllStringIndex(command, -1) {
		b.WriteString(command[at:span[0]])
		at = span[1]
		if secret {
			b.WriteString(leftOut)
			secret = false
			continue
		}
		var shown string
		shown, secret = redactedWord(command[span[0]:span[1]])
		b.WriteString(shown)
	}
	b.WriteString(command[at:])
	return b.String()
}

// redactedWord is one word without its credential; next says that the word behind
// it is one.
func redactedWord(w string) (shown string, next bool) {
	if m := named.FindStringSubmatch(w); m != nil && secretName(m[2]) {
		return m[1] + leftOut, false
	}
	if strings.HasPrefix(w, "-") && !strings.ContainsAny(w, "=:") && secretName(strings.TrimLeft(w, "-")) {
		return w, true
	}
	if n := len(w); n > 2 && (w[0] == '\'' || w[0] == '"') && w[n-1] == w[0] {
		return w[:1] + Redacted(w[1:n-1]) + w[n-1:], false // a command for another shell
	}
	w = user.ReplaceAllStringFunc(w, func(part string) string {
		m := user.FindStringSubmatch(part)
		if name, _, ok := strings.Cut(m[2], ":"); ok {
			return m[1] + name + ":" + leftOut + "@"
		}
		return m[1] + leftOut + "@" // a token, as it may be
	})
	return pair.ReplaceAllStringFunc(w, func(part string) string {
		if name, _, _ := strings.Cut(part, "="); secretName(name) {
			return name + "=" + leftOut
		}
		return part
	}), false
}

// secretName reports whether a variable, flag, header or parameter of that name
// carries a credential: by scenario.Secret, or as a key or password by its last part.
func secretName(name string) bool {
	if scenario.Secret(name) {
		return true
	}
	parts := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return strings.ContainsRune("_-.", r) })
	return len(parts) > 0 && slices.Contains([]string{"key", "jwt", "pass", "passwd", "pwd", "credentials"}, parts[len(parts)-1])
}
