package e2e_test

import (
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/service"
)

// Streams through the proxy on Deno take as long as the API behind it takes, and say so.
// An error of the API, which the guide's function makes 200 of, is no HTTP error and no
// answer either: a stream without its end.
func TestDenoStreams(t *testing.T) {
	sink := freeAddr(t)
	d := startDeno(t, service.DenoOptions{Env: []string{"ANTHROPIC_BASE_URL=http://" + sink + "/llm"}})
	yaml := example(t, "deno/stream-ai.yaml", "warmup: 2s", "warmup: 0s", "    llm:\n", "    llm:\n      odds: {529: 20%}\n")
	run := measured(t, yaml, nil, "--target", d.URL, "-d", "2s", "--sink-listen", sink)
	balanced(t, run.Result)
	w := run.workload(t, "chat")
	calls := run.Result.Sink.Calls
	if len(calls) != 1 || calls[0].Name != "llm" || calls[0].Calls != 40 {
		t.Fatalf("the API was called: %+v", calls)
	}
	failed := float64(calls[0].Replies["529"])
	if failed == 0 {
		t.Error("the API has failed no one")
	}
	counts(t, w, map[string]float64{
		"streams": 40, "truncated": failed, "complete": 40 - failed, "tokens_out": 20 * (40 - failed), "http_error": 0, "in_band_error": 0, "fake_streaming": 0,
	})
	if run.Code != 99 {
		t.Errorf("exit code %d, want 99: complete_ratio does not hold", run.Code)
	}
	if len(w.Errors) != 1 || float64(w.Errors[0].Count) != failed || w.Errors[0].Class != "truncated" {
		t.Errorf("errors %+v", w.Errors)
	}
	ttft, gap, lag := quantile(t, w, "ttft_service", .5), quantile(t, w, "itl", .5), quantile(t, w, "delivery_lag", .5)
	t.Logf("ttft p50 %v, itl p50 %v, added by Deno p50 %v p99 %v", ttft, gap, lag, quantile(t, w, "delivery_lag", .99))
	if ttft < 100*time.Millisecond || ttft > 120*time.Millisecond || gap < 4*time.Millisecond || gap > 6*time.Millisecond || lag > 5*time.Millisecond {
		t.Errorf("ttft p50 %v, itl p50 %v, delivery lag p50 %v; want 100 ms, 5 ms and little", ttft, gap, lag)
	}
}

// A room of ten is whole in one process. Over two, five and five, each message reaches 4
// of 9, and no connection has failed that could explain it.
func TestDenoRooms(t *testing.T) {
	yaml := example(t, "deno/ws-relay.yaml")
	one := startDeno(t, service.DenoOptions{})
	two := startDeno(t, service.DenoOptions{})
	const messages = 4 * 5 * 2 // rooms × messages a second × seconds
	for _, tc := range []struct {
		name, target string
		reached      float64 // of 9
		complete     float64 // messages that reach everybody
		code         int
	}{
		{"one process", one.URL, 9, messages, 0},
		{"two processes", balancer(t, one.URL, two.URL), 4, 0, 99},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel() // deliveries are counted, not timed
			run := measured(t, yaml, nil, "--target", tc.target, "-d", "2s")
			balanced(t, run.Result)
			w := run.workload(t, "rooms")
			counts(t, w, map[string]float64{
				"published": messages, "expected": messages * 9, "received": messages * tc.reached, "lost": messages * (9 - tc.reached),
				"delivery_ratio": tc.reached / 9, "messages_complete": tc.complete,
				"connections": 40, "connections_lost": 0, "duplicated": 0, "reordered": 0, "unexpected": 0,
			})
			if run.Code != tc.code {
				t.Errorf("exit code %d, want %d\n%s", run.Code, tc.code, run.Stderr)
			}
			var unexplained int64
			for _, e := range w.Errors {
				if strings.Contains(e.Class, "unexplained") {
					unexplained += e.Count
				}
			}
			if float64(unexplained) != messages*(9-tc.reached) {
				t.Errorf("%d losses are unexplained: %+v", unexplained, w.Errors)
			}
		})
	}
}

// balancer sends the members of each room to the servers in turn.
func balancer(t *testing.T, servers ...string) string {
	t.Helper()
	var mu sync.Mutex
	members := make(map[string]int)
	var urls []*url.URL
	for _, s := range servers {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		urls = append(urls, u)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		room := r.In.URL.Query().Get("room")
		mu.Lock()
		defer mu.Unlock()
		r.SetURL(urls[members[room]%len(urls)])
		members[room]++
	}})
	t.Cleanup(proxy.Close)
	return proxy.URL
}
