package scenario

import (
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
)

// redactedValue stands where a credential was.
const redactedValue = "(left out)"

// Redacted returns a copy fit to be stored and shown: without the values of headers
// and query parameters that carry credentials, without a password in the target, and
// without what Scrub replaces. s stays as it was.
func (s *Scenario) Redacted() *Scenario {
	clean, ok := redactedCopy(reflect.ValueOf(*s), "", s.Scrub).Interface().(Scenario)
	if !ok {
		return &Scenario{} // a copy has the type of what it is of
	}
	if u, err := url.Parse(clean.Target); err == nil && u.User != nil {
		clean.Target = u.Redacted()
	}
	for _, w := range clean.Workloads {
		if w != nil {
			w.Checks = redactChecks(w.Checks)
		}
	}
	if clean.Secrets = nil; clean.Workloads == nil {
		clean.Workloads = make(map[string]*Workload)
	}
	return &clean
}

// redactChecks leaves out what headers that carry credentials are compared with.
func redactChecks(checks []Check) []Check {
	clean := slices.Clone(checks)
	for i, k := range clean {
		if k.Header == nil || !Secret(k.Header.Name) {
			continue
		}
		h := *k.Header
		if h.Equals != nil {
			value := Literal(redactedValue)
			h.Equals = &value
		}
		for _, text := range []*string{&h.Contains, &h.Matches} {
			if *text != "" {
				*text = redactedValue
			}
		}
		clean[i].Header = &h
	}
	return clean
}

func redactHeaders(headers map[string]string) map[string]string {
	clean := maps.Clone(headers)
	for name := range clean {
		if Secret(name) {
			clean[name] = redactedValue
		}
	}
	return clean
}

// redactQuery leaves out the values of a path's parameters that carry credentials.
func redactQuery(path string) string {
	base, query, ok := strings.Cut(path, "?")
	if !ok {
		return path
	}
	parameters := strings.Split(query, "&")
	for i, p := range parameters {
		if name, _, ok := strings.Cut(p, "="); ok && Secret(name) {
			parameters[i] = name + "=" + redactedValue
		}
	}
	return base + "?" + strings.Join(parameters, "&")
}

// Secret reports whether a header or parameter of that name carries a credential: whether one
// of its parts ends in a word for one, as in X-Auth-Token, apikey or Cookie.
func Secret(header string) bool {
	name := strings.NewReplacer("_", "-", "api-key", "apikey", "api_key", "apikey").Replace(strings.ToLower(header))
	for part := range strings.SplitSeq(name, "-") {
		for _, word := range []string{"authorization", "cookie", "token", "secret", "password", "apikey"} {
			if strings.HasSuffix(part, word) {
				return true
			}
		}
	}
	return false
}
