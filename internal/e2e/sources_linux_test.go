package e2e_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// A target sees clients from as many addresses as the scenario names.
func TestSources(t *testing.T) {
	var mu sync.Mutex
	from := make(map[string]int)
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		mu.Lock()
		from[host]++
		mu.Unlock()
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Connection", "close")
		_, _ = io.WriteString(w, "data: token\n\nevent: done\ndata: \n\n")
	}))
	defer target.Close()
	run := measured(t, fmt.Sprintf(sourcesYAML, target.URL), nil)
	if run.Result.Workloads[0].Errors != nil {
		t.Errorf("%+v", run.Result.Workloads[0].Errors)
	}
	for _, addr := range []string{"127.0.0.2", "127.0.0.4", "127.0.0.5", "127.0.0.6", "127.0.0.7"} {
		if from[addr] != 20 {
			t.Errorf("%d of 100 connections from %s, want 20", from[addr], addr)
		}
	}
}

const sourcesYAML = `
version: 1
name: sources
target: %s
duration: 1s
workloads:
  ask:
    protocol: sse
    load: {rate: 100/s}
    dialect: text
    request: {path: /, body: hello}
    source: [127.0.0.2, 127.0.0.4/30]
`
