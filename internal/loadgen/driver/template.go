package driver

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// userAgent is sent where a scenario sets none.
const userAgent = "edgeload"

// A requestTemplate makes the HTTP request of one arrival. Any number of
// goroutines may use it at once.
type requestTemplate struct {
	base    *url.URL
	method  string
	close   bool // of its connection
	path    *scenario.Template
	headers []headerTemplate // sorted by name
	body    *scenario.Template
}

type headerTemplate struct {
	name  string // canonical
	value *scenario.Template
}

// requestDefaults are what requests have in common beside what a scenario says of each.
type requestDefaults struct {
	types string // media types accepted; empty: it is not said
	gzip  bool   // accepted
	close bool   // a connection each
}

// newRequestTemplate compiles r, whose path is resolved against target as a
// browser resolves a link (RFC 3986). The templates are named "path", "body" and
// "headers.<Name>". Unless r says otherwise a request accepts what accept says, and a
// body is JSON.
func newRequestTemplate(target string, r *scenario.Request, accept requestDefaults) (*requestTemplate, error) {
	base, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	if base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("target %q: want an http or https URL", target)
	}
	t := &requestTemplate{base: base, method: r.Method}
	if t.path, err = scenario.CompileTemplate("path", r.Path); err != nil {
		return nil, fmt.Errorf("path: %w", err)
	}
	headers := map[string]string{"User-Agent": userAgent}
	if accept.types != "" {
		headers["Accept"] = accept.types
	}
	if accept.gzip {
		headers["Accept-Encoding"] = "gzip"
	}
	t.close = accept.close
	if r.Body != "" {
		headers["Content-Type"] = "application/json"
		if t.body, err = scenario.CompileTemplate("body", r.Body); err != nil {
			return nil, fmt.Errorf("body: %w", err)
		}
	}
	if t.method == "" {
		t.method = http.MethodGet
		if t.body != nil {
			t.method = http.MethodPost
		}
	}
	for name, text := range r.Headers {
		headers[http.CanonicalHeaderKey(name)] = text
	}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		value, err := scenario.CompileTemplate("headers."+name, headers[name])
		if err != nil {
			return nil, fmt.Errorf("header %s: %w", name, err)
		}
		t.headers = append(t.headers, headerTemplate{name, value})
	}
	return t, nil
}

// constant reports whether every arrival's request is the same.
func (t *requestTemplate) constant() bool {
	return t.path.Constant() && (t.body == nil || t.body.Constant()) &&
		!slices.ContainsFunc(t.headers, func(h headerTemplate) bool { return !h.value.Constant() })
}

// build makes the request for d. Its body may be sent again, as net/http does
// when a kept connection turns out to be closed before anything was sent.
func (t *requestTemplate) build(ctx context.Context, d *scenario.Data) (*http.Request, error) {
	path, err := t.path.Append(nil, d)
	if err != nil {
		return nil, fmt.Errorf("path: %w", err)
	}
	target, err := t.base.Parse(string(path))
	if err != nil {
		return nil, fmt.Errorf("path: %w", err)
	}
	var body io.Reader
	if t.body != nil {
		// Not pooled: net/http may read the body for some time after the answer.
		text, err := t.body.Append(nil, d)
		if err != nil {
			return nil, fmt.Errorf("body: %w", err)
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, t.method, target.String(), body)
	if err != nil {
		return nil, err
	}
	req.Close = t.close
	for _, h := range t.headers {
		value, err := h.value.Append(nil, d)
		if err != nil {
			return nil, fmt.Errorf("header %s: %w", h.name, err)
		}
		if h.name == "Host" {
			req.Host = string(value)
			continue
		}
		req.Header[h.name] = []string{string(value)}
	}
	return req, nil
}

// timeoutOr is a workload's timeout, or fallback where it sets none.
func timeoutOr(d scenario.Duration, fallback time.Duration) time.Duration {
	if d > 0 {
		return time.Duration(d)
	}
	return fallback
}
