package e2e_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// A call is what arrived at an outside.
type call struct {
	At     time.Time
	Path   string
	Header http.Header
	Body   string
}

// outside stands in for what functions call: it keeps every call, and answers by a
// handler of its path, or 200.
type outside struct {
	URL      string
	handlers map[string]http.HandlerFunc
	mu       sync.Mutex
	calls    []call
}

func newOutside(t *testing.T, handlers map[string]http.HandlerFunc) *outside {
	t.Helper()
	o := &outside{handlers: handlers}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at := time.Now()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the caller has gone
		}
		o.mu.Lock()
		o.calls = append(o.calls, call{at, r.URL.Path, r.Header, string(body)})
		o.mu.Unlock()
		if h := o.handlers[r.URL.Path]; h != nil {
			h(w, r)
		}
	}))
	t.Cleanup(s.Close)
	o.URL = s.URL
	return o
}

// at is the calls of a path so far.
func (o *outside) at(path string) (found []call) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.calls {
		if c.Path == path {
			found = append(found, c)
		}
	}
	return found
}

// holds waits until released is closed, or until the caller has gone.
func holds(r *http.Request, released <-chan struct{}) (done bool) {
	select {
	case <-released:
		return true
	case <-r.Context().Done():
		return false
	}
}

// env is what makes the functions call it.
func (o *outside) env(more ...string) []string {
	return append(more, "ANTHROPIC_BASE_URL="+o.URL, "SLACK_WEBHOOK_URL="+o.URL+"/slack")
}
