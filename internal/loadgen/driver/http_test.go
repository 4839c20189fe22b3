package driver

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// An httpRun is n requests, one after the other, against a target.
type httpRun struct {
	scenario.Workload
	target string
	n      int
	dir    string
	warmup time.Duration
	ctx    context.Context
	late   time.Duration // by which each arrival begins after its intended start
}

// get is one request for path.
func get(target, path string) httpRun {
	return httpRun{target: target, Workload: scenario.Workload{Request: &scenario.Request{Path: path}}}
}

func (r httpRun) with(checks ...scenario.Check) httpRun {
	r.Checks = checks
	return r
}

func (r httpRun) do(t *testing.T) figures {
	t.Helper()
	if r.Timeout == 0 {
		r.Timeout = scenario.Duration(patience)
	}
	if r.ctx == nil {
		r.ctx = t.Context()
	}
	d, err := newHTTP(opening{scenario: &scenario.Scenario{Target: r.target, Seed: 1, Dir: r.dir}, name: "api", workload: &r.Workload})
	if err != nil {
		t.Fatal(err)
	}
	clock := engine.NewClock()
	rec := engine.NewRecorder(httpMetrics(), r.warmup)
	if err := d.Begin(engine.Run{ID: "r1", Workload: "api", Seed: 1, Clock: clock, Warmup: r.warmup}); err != nil {
		t.Fatal(err)
	}
	for i := range max(r.n, 1) {
		now := clock.Now()
		a := engine.Arrival{Seq: uint64(i), User: -1, Intended: now - r.late, Started: now}
		arrive(r.ctx, d, a, rec.At(a.Intended))
	}
	d.End(rec)
	f := collect(t, rec)
	f.even(2)
	return f
}

// even holds the books to account.
func (f figures) even(balances int) {
	f.t.Helper()
	for _, b := range f.balances {
		if !b.Even() {
			f.t.Errorf("%s: %d and %d", b.Name, b.Left, b.Right)
		}
	}
	if len(f.balances) != balances {
		f.t.Errorf("%d balances, want %d", len(f.balances), balances)
	}
}

// totals holds every counter to account; those not named, but for the oddities of
// kernel stamps, must be 0.
func (f figures) totals(want map[string]float64) {
	f.t.Helper()
	for _, m := range httpMetrics() {
		if _, ok := want[m.Name]; !ok && (m.Kind != "counter" || strings.HasPrefix(m.Name, "unstamped") || m.Name == "coalesced") {
			continue
		}
		if got := f.metrics[m.Name].Value; got != want[m.Name] {
			f.t.Errorf("%s is %v, want %v", m.Name, got, want[m.Name])
		}
	}
}

func TestHTTPSucceeds(t *testing.T) {
	f := httpRun{target: "http://" + listen(t, each(func(r *http.Request) string {
		if got := bodyOf(r); got != `{"n": `+r.Header.Get("X-Seq")+"}" || r.RequestURI != "/api" || r.Header.Get("Content-Type") != "application/json" ||
			r.UserAgent() != userAgent || len(r.Header["Accept"])+len(r.Header["Accept-Encoding"]) != 0 {
			t.Errorf("%s %s %v %s", r.Method, r.RequestURI, r.Header, got)
		}
		return ok
	})).addr, n: 3, Workload: scenario.Workload{
		Request: &scenario.Request{Method: "PUT", Path: "/{{ .Workload }}", Headers: map[string]string{"X-Seq": "{{ .Seq }}"}, Body: `{"n": {{ .Seq }}}`},
	}}.do(t)
	f.totals(map[string]float64{"requests": 3, "succeeded": 3, "status_2xx": 3, "connections": 1, "bytes_in": 6, "bytes_out": 24})
	f.samples(map[string]int64{
		"latency": 3, "latency{conn=new}": 1, "latency{conn=reused}": 2, "service_time": 3, "ttfb": 3, "latency_failed": 0,
		"dial": 1, "dns": 0, "tls": 0, "send_lag": 3, "coalesced_bound": 3,
	})
	if r := f.metrics["success_ratio"]; r.Value != 1 || f.metrics["coalesced"].Value != 3 {
		t.Errorf("success_ratio %+v, coalesced %v", r, f.metrics["coalesced"].Value)
	}
}

// Latency counts from the intended start, service time from the actual one; the
// last byte ends both, the first one ttfb.
func TestHTTPInstants(t *testing.T) {
	run := get("http://"+listen(t, func(p *peer) {
		for p.request() != nil && p.send(80*ms, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "o", "k") {
		}
	}).addr, "/")
	run.late, run.warmup = time.Second, -time.Hour // so that it is not of the warm-up
	f := run.do(t)
	f.between("latency", time.Second+160*ms, time.Second+160*ms+slack)
	f.between("service_time", 160*ms, 160*ms+slack)
	f.apart("ttfb", "service_time", 100*ms)
	f.apart("service_time", "latency", time.Second-ms)
	f.samples(map[string]int64{"coalesced_bound": 0, "send_lag": 1})
	f.between("send_lag", 0, slack) // from the connection's being there: the wait for it is the target's
}

func TestHTTPStatus(t *testing.T) {
	status := func(code string) string {
		answer := "HTTP/1.1 " + code + "\r\nContent-Type: text/plain\r\nContent-Length: 4\r\nLocation: /b\r\n\r\n"
		if code[:3] != "304" {
			answer += "busy"
		}
		return "http://" + listen(t, always(answer)).addr
	}
	for _, tt := range []struct{ code, class string }{
		{"200 OK", ""}, {"304 Not Modified", ""}, {"302 Found", ""},
		{"404 Not Found", "http 404"}, {"503 Service Unavailable", "http 503"}, {"600 Odd", "http 600"},
	} {
		f := get(status(tt.code), "/").do(t)
		counter := "status_" + tt.code[:1] + "xx"
		if tt.code[0] == '6' {
			counter = "status_other"
		}
		bytes := 4.
		if tt.code[:3] == "304" {
			bytes = 0
		}
		if tt.class == "" {
			f.totals(map[string]float64{"requests": 1, "succeeded": 1, counter: 1, "connections": 1, "bytes_in": bytes})
			continue
		}
		f.totals(map[string]float64{"requests": 1, "http_error": 1, "failed": 1, counter: 1, "connections": 1, "bytes_in": bytes})
		f.failed(tt.class, tt.code+", text/plain: busy")
		f.samples(map[string]int64{"latency": 0, "service_time": 0, "ttfb": 0, "latency_failed": 1})
		if r := f.metrics["error_ratio"]; r.Value != 1 {
			t.Errorf("error_ratio %+v", r)
		}
	}
	codes := scenario.Statuses{{First: 404, Last: 404}, {First: 500, Last: 599}}
	get(status("503 Busy"), "/").with(scenario.Check{Status: codes}).do(t).totals(map[string]float64{"requests": 1, "succeeded": 1, "status_5xx": 1, "connections": 1, "bytes_in": 4})
	f := get(status("200 OK"), "/").with(scenario.Check{Status: codes}).do(t)
	f.totals(map[string]float64{"requests": 1, "check_failed": 1, "failed": 1, "status_2xx": 1, "connections": 1, "bytes_in": 4})
	f.failed("check status 404, 5xx", "200 OK, text/plain: busy")
}

func TestHTTPFailures(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
	at := func(serve func(*peer)) string { return "http://" + listen(t, serve).addr }
	for _, tt := range []struct {
		name, target, counter, class, example string
		bytes                                 float64
		connected                             bool
	}{
		{"refused", "http://" + refusing(t), "connection_error", classRefused, "refused", 0, false},
		{"reset", at(once("", abort)), "connection_error", classReset, "reset", 0, true},
		{"closed before the answer", at(once("", hangUp)), "connection_error", classClosed, "EOF", 0, true},
		{"no HTTP", at(once("SSH-2.0\r\n", waits)), "connection_error", classProtocol, "malformed", 0, true},
		{"cut short", at(once(head+"hello", hangUp)), "truncated", classTruncated, "after 200 OK and 5 bytes", 5, true},
		{"bad chunk", at(once("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nzz\r\n", waits)), "connection_error", classProtocol, "after 200 OK and 2 bytes", 2, true},
		{"no answer", at(once("", waits)), "timeout", classTimeout, "timeout", 0, true},
		{"no end", at(once(head+"hello", waits)), "timeout", classTimeout, "after 200 OK and 5 bytes", 5, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run := get(tt.target, "/")
			run.Timeout = scenario.Duration(200 * ms)
			want := map[string]float64{"requests": 1, tt.counter: 1, "failed": 1, "bytes_in": tt.bytes}
			if tt.connected {
				want["connections"] = 1
			}
			f := run.do(t)
			f.totals(want)
			f.failed(tt.class, tt.example)
			f.samples(map[string]int64{"latency": 0, "ttfb": 0, "latency_failed": 1})
		})
	}
	t.Run("unfinished", func(t *testing.T) {
		ctx, cut := context.WithCancel(t.Context())
		run := get(at(func(p *peer) { p.request(); cut(); p.gone() }), "/")
		run.ctx = ctx
		f := run.do(t)
		f.totals(map[string]float64{"requests": 1, "unfinished": 1, "failed": 1, "connections": 1})
		f.failed(classUnfinished)
	})
	t.Run("not sent", func(t *testing.T) {
		f := get("http://"+refusing(t), `/{{ printf "%c" 10 }}`).do(t)
		f.totals(map[string]float64{"requests": 1, "not_sent": 1, "failed": 1})
		f.failed(classTemplate)
	})
	t.Run("in the warm-up", func(t *testing.T) {
		run := get(at(always("HTTP/1.1 500 Bad\r\nContent-Length: 0\r\n\r\n")), "/")
		run.warmup = time.Hour
		f := run.do(t)
		f.totals(nil)
		if len(f.errors) != 0 {
			t.Errorf("errors %+v", f.errors)
		}
	})
}

func TestHTTPRedirects(t *testing.T) {
	type asked struct{ method, uri, body, contentType string }
	var seen []asked
	server := listen(t, each(func(r *http.Request) string {
		seen = append(seen, asked{r.Method, r.RequestURI, bodyOf(r), r.Header.Get("Content-Type")})
		if code := r.URL.Query().Get("code"); code != "" {
			answer := fmt.Sprintf("HTTP/1.1 %s Away\r\nLocation: %s\r\nContent-Length: 4\r\n\r\naway", code, r.URL.Query().Get("to"))
			if r.Method == "HEAD" || code == "304" {
				answer = strings.TrimSuffix(answer, "away")
			}
			return answer
		}
		if r.Method == "HEAD" {
			return strings.TrimSuffix(ok, "ok")
		}
		return ok
	}))
	target := "http://" + server.addr
	run := func(method, path string, most int) figures {
		seen = nil
		r := get(target, path)
		r.Request.Method, r.FollowRedirects = method, most
		if method == "POST" {
			r.Request.Body = "order"
		}
		return r.do(t)
	}
	for _, tt := range []struct {
		method, code string
		then         asked
	}{
		{"GET", "301", asked{"GET", "/b", "", ""}},
		{"POST", "301", asked{"GET", "/b", "", ""}},
		{"POST", "302", asked{"GET", "/b", "", ""}},
		{"POST", "303", asked{"GET", "/b", "", ""}},
		{"HEAD", "303", asked{"HEAD", "/b", "", ""}},
		{"POST", "307", asked{"POST", "/b", "order", "application/json"}},
		{"POST", "308", asked{"POST", "/b", "order", "application/json"}},
	} {
		f := run(tt.method, "/a?to=b&code="+tt.code, 1)
		in, out := 6., 0.
		if tt.method == "HEAD" {
			in = 0
		}
		if tt.method == "POST" {
			if out = 5; tt.then.method == "POST" {
				out = 10
			}
		}
		f.totals(map[string]float64{"requests": 1, "succeeded": 1, "redirects": 1, "status_2xx": 1, "connections": 1, "bytes_in": in, "bytes_out": out})
		f.samples(map[string]int64{"latency": 1, "latency{conn=new}": 1, "ttfb": 1, "send_lag": 2})
		if len(seen) != 2 || seen[1] != tt.then {
			t.Errorf("%s after %s: %+v, want %+v", tt.method, tt.code, seen, tt.then)
		}
	}
	// Not asked to, a redirect is an answer.
	run("GET", "/a?to=b&code=302", 0).totals(map[string]float64{"requests": 1, "succeeded": 1, "status_3xx": 1, "connections": 1, "bytes_in": 4})
	run("GET", "/a?code=304", 5).totals(map[string]float64{"requests": 1, "succeeded": 1, "status_3xx": 1, "connections": 1})
	for _, tt := range []struct {
		path, example string
		redirects     float64
	}{
		{"/a?code=302&to=" + strings.ReplaceAll("/a?code=302%26to=/a?code=302", "?", "%3f"), "more than 1 redirects", 1},
		{"/a?code=302&to=http://127.0.0.1:1/", "to another server, http://127.0.0.1:1/", 0},
		{"/a?code=302&to=https://" + server.addr, "to another server", 0},
		{"/a?code=302&to=http://[", "no address", 0},
	} {
		f := run("GET", tt.path, 1)
		f.totals(map[string]float64{"requests": 1, "http_error": 1, "failed": 1, "status_3xx": 1, "redirects": tt.redirects, "connections": 1, "bytes_in": 4 * (1 + tt.redirects)})
		f.failed(classRedirect, tt.example)
	}
	// The time is that of the whole chain.
	slow := get("http://"+listen(t, func(p *peer) {
		for p.request() != nil {
			<-time.After(120 * ms)
			p.send(0, "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")
		}
	}).addr, "/")
	slow.FollowRedirects, slow.Timeout = 20, scenario.Duration(300*ms)
	f := slow.do(t)
	f.failed(classTimeout)
	f.between("latency_failed", 300*ms, 300*ms+slack)
}

// What is asked for compressed is counted as it comes.
func TestHTTPCompression(t *testing.T) {
	const plain = "abcdefgh"
	sent := 0
	target := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "gzip" {
			_, _ = io.WriteString(w, strings.Repeat(plain, 1000))
			return
		}
		var b strings.Builder
		z := gzip.NewWriter(&b)
		_, _ = io.WriteString(z, strings.Repeat(plain, 1000))
		_ = z.Close()
		w.Header().Set("Content-Encoding", "gzip")
		sent, _ = io.WriteString(w, b.String())
	}))
	get(target, "/").do(t).counts(map[string]float64{"bytes_in": 8000})
	run := get(target, "/")
	run.Request.Headers = map[string]string{"Accept-Encoding": "gzip"}
	run.do(t).counts(map[string]float64{"bytes_in": float64(sent), "succeeded": 1})
}

func TestHTTPTargets(t *testing.T) {
	var seen []string
	server := listen(t, each(func(r *http.Request) string {
		seen = append(seen, fmt.Sprintf("%s %s %s %q %v %s", r.Method, r.RequestURI, r.Host, bodyOf(r), r.Header["X-Two"], r.UserAgent()))
		return ok
	}))
	dir := t.TempDir()
	text := "GET /a?b=%20c\nuser-agent: mine\n\nPOST http://" + server.addr + "/d\nX-Two: 1\nX-Two: 2\n@body\n"
	for name, content := range map[string]string{"targets.txt": text, "body": "order"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f := httpRun{target: "http://" + server.addr, n: 3, dir: dir, Workload: scenario.Workload{Targets: &scenario.Targets{File: "targets.txt"}}}.do(t)
	f.totals(map[string]float64{"requests": 3, "succeeded": 3, "status_2xx": 3, "connections": 1, "bytes_in": 6, "bytes_out": 5})
	first := fmt.Sprintf(`GET /a?b=%%20c %s "" [] mine`, server.addr)
	if len(seen) != 3 || seen[0] != first || seen[1] != fmt.Sprintf(`POST /d %s "order" [1 2] edgeload`, server.addr) || seen[2] != first {
		t.Errorf("requests %q", seen)
	}
}

func TestHTTPOverTLS(t *testing.T) {
	target := startTLS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto)
	})).URL
	run := get(target, "/").with(scenario.Check{Body: &scenario.BodyCheck{Contains: "HTTP/2"}})
	run.InsecureSkipVerify, run.n = true, 2
	f := run.do(t)
	f.totals(map[string]float64{"requests": 2, "succeeded": 2, "status_2xx": 2, "connections": 1, "bytes_in": 16})
	f.samples(map[string]int64{"tls": 1, "dial": 1, "latency": 2, "latency{conn=new}": 1})
	run.InsecureSkipVerify = false
	f = run.do(t)
	f.totals(map[string]float64{"requests": 2, "connection_error": 2, "failed": 2})
	f.failed(classTLS)
}
