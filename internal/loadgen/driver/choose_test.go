package driver

import (
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// The first requests to a server that turns out to speak HTTP/2 arrive whole.
func TestBodySurvivesTheChoiceOfHTTP2(t *testing.T) {
	const want = `{"prompt": "hello"}`
	var right, wrong atomic.Int64
	s := startTLS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != want || r.ProtoMajor != 2 {
			wrong.Add(1)
		}
		right.Add(1)
		script(step{0, content("a") + end})(w, r)
	}))
	f := sseRun{target: s.URL, insecure: true, n: 3, request: scenario.Request{Path: "/", Body: want}}.do(t)
	f.counts(map[string]float64{"streams": 3, "complete": 3, "http2": 3, "connections": 1})
	if right.Load() != 3 || wrong.Load() != 0 {
		t.Errorf("%d requests, %d of them not whole or not over HTTP/2", right.Load(), wrong.Load())
	}
}

// A redirect whose connection is closed is followed on a new one, and holds up
// nobody meanwhile.
func TestRedirectOnAClosedConnection(t *testing.T) {
	target := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			w.Header().Set("Connection", "close")
			http.Redirect(w, r, "/there", http.StatusFound)
		}
	}))
	r := get(target, "/")
	r.n, r.FollowRedirects = 2, 1
	f := r.do(t)
	f.counts(map[string]float64{"requests": 2, "succeeded": 2, "redirects": 2})
}
