package driver

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// redirected reports whether the answer leads on and the workload wants to be
// led, and where to.
func (x *httpExchange) redirected() (location string, ok bool) {
	if x.driver.redirects == 0 {
		return "", false
	}
	switch x.answer.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		location = x.answer.Header.Get("Location")
	}
	return location, location != ""
}

// follow makes the request that a redirect leads to, or says why it is not
// followed. As browsers and net/http have it, 307 and 308 repeat the request, and
// the others go on with GET, or HEAD after HEAD (RFC 9110, section 15.4). It stays
// on the target: load is not for servers that a scenario does not name.
func (x *httpExchange) follow(location string) (req *http.Request, refused string) {
	to, err := x.req.URL.Parse(location)
	switch {
	case err != nil:
		return nil, fmt.Sprintf("to %q, which is no address", location)
	case !sameServer(to, x.req.URL):
		return nil, fmt.Sprintf("%s to another server, %s: make that the target", x.answer.Status, location)
	case x.redirects >= x.driver.redirects:
		return nil, fmt.Sprintf("more than %d redirects, the last to %s", x.driver.redirects, location)
	}
	req = x.req.WithContext(x.req.Context())
	req.URL = to
	if code := x.answer.StatusCode; code == http.StatusTemporaryRedirect || code == http.StatusPermanentRedirect {
		if req.GetBody != nil {
			if req.Body, err = req.GetBody(); err != nil {
				return nil, err.Error()
			}
		}
		return req, ""
	}
	if req.Method != http.MethodHead {
		req.Method = http.MethodGet
	}
	if req.Body != nil {
		req.Body, req.GetBody, req.ContentLength = nil, nil, 0
		req.Header = req.Header.Clone()
		for name := range req.Header {
			if strings.HasPrefix(strings.ToLower(name), "content-") {
				delete(req.Header, name)
			}
		}
	}
	return req, ""
}

// sameServer compares schemes, hosts and ports.
func sameServer(a, b *url.URL) bool {
	return strings.EqualFold(a.Scheme, b.Scheme) && strings.EqualFold(a.Hostname(), b.Hostname()) && portOf(a) == portOf(b)
}

// portOf is the port a URL leads to; empty where its scheme has no default.
func portOf(u *url.URL) string {
	if port := u.Port(); port != "" {
		return port
	}
	return map[string]string{"http": "80", "https": "443"}[strings.ToLower(u.Scheme)]
}
