package scenario

import (
	"maps"
	"net/url"
	"strings"
)

// redactedValue stands where a credential was.
const redactedValue = "(left out)"

// Redacted returns a copy fit to be stored and shown: without the values of
// request headers that carry credentials, and without a password in the target.
// s stays as it was.
func (s *Scenario) Redacted() *Scenario {
	clean := *s
	if u, err := url.Parse(s.Target); err == nil && u.User != nil {
		clean.Target = u.Redacted()
	}
	clean.Workloads = make(map[string]*Workload, len(s.Workloads))
	for name, w := range s.Workloads {
		copied := *w
		if w.Request != nil {
			request := *w.Request
			request.Headers = redactHeaders(request.Headers)
			copied.Request = &request
		}
		if w.Room != nil {
			room := *w.Room
			room.Headers = redactHeaders(room.Headers)
			copied.Room = &room
		}
		clean.Workloads[name] = &copied
	}
	return &clean
}

func redactHeaders(headers map[string]string) map[string]string {
	clean := maps.Clone(headers)
	for name := range clean {
		if secret(name) {
			clean[name] = redactedValue
		}
	}
	return clean
}

// secret reports whether a header of that name carries a credential: whether one
// of its parts ends in a word for one, as in X-Auth-Token, apikey or Cookie.
func secret(header string) bool {
	for part := range strings.SplitSeq(strings.ReplaceAll(strings.ToLower(header), "api-key", "apikey"), "-") {
		for _, word := range []string{"authorization", "cookie", "token", "secret", "password", "apikey"} {
			if strings.HasSuffix(part, word) {
				return true
			}
		}
	}
	return false
}
