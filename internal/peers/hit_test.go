package peers_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

func ownHTTP(name string) func(context.Context, hit) (answer, child, error) {
	return func(ctx context.Context, h hit) (answer, child, error) {
		addr, path, _ := strings.Cut(strings.TrimPrefix(h.URL, "http://"), "/")
		r, c, err := runClient(ctx, name, order{Addr: addr, Path: "/" + path, N: h.Over, Rate: h.Rate, Hold: int64(h.For)})
		if err == nil && r.Failed > 0 {
			err = fmt.Errorf("%d requests failed", r.Failed)
		}
		return answer{
			Requests: float64(r.Requests),
			Latency:  figures{"p50": ms(r.Latency[0]), "p95": ms(r.Latency[1]), "p99": ms(r.Latency[2])},
		}, c, err
	}
}

// wrkScript has wrk say in JSON what it otherwise rounds; latencies are
// microseconds.
const wrkScript = `done = function(summary, latency, requests)
	local e = summary.errors
	io.write(string.format('{"requests":%d,"failed":%d,"p50":%f,"p95":%f,"p99":%f}\n', summary.requests,
		e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50), latency:percentile(95), latency:percentile(99)))
end
`

func (t *tools) wrk(ctx context.Context, h hit) (answer, child, error) {
	script := filepath.Join(t.Dir, "done.lua")
	if err := os.WriteFile(script, []byte(wrkScript), 0o644); err != nil {
		return answer{}, child{}, err
	}
	c, err := runChild(ctx, "", t.Wrk.Env, t.Wrk.Argv[0], "-t", "2", "-c", strconv.Itoa(h.Over), "-d", seconds(h.For), "-s", script, h.URL)
	if err != nil {
		return answer{}, c, err
	}
	a, err := readWrk(c.Out)
	return a, c, err
}

// seconds writes a whole number of seconds as these tools read it.
func seconds(d time.Duration) string { return strconv.Itoa(int(d.Seconds())) + "s" }

// readWrk reads the last line of what wrk says.
func readWrk(out []byte) (answer, error) {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	var w struct{ Requests, Failed, P50, P95, P99 float64 }
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &w); err != nil {
		return answer{}, fmt.Errorf("read wrk's output: %w", err)
	}
	if w.Failed > 0 {
		return answer{}, fmt.Errorf("wrk: %v requests failed", w.Failed)
	}
	return answer{Requests: w.Requests, Latency: figures{"p50": w.P50 / 1e3, "p95": w.P95 / 1e3, "p99": w.P99 / 1e3}}, nil
}

func (t *tools) autocannon(ctx context.Context, h hit) (answer, child, error) {
	argv := append(t.Autocannon.Argv[:len(t.Autocannon.Argv):len(t.Autocannon.Argv)],
		"--json", "--no-progress", "-c", strconv.Itoa(h.Over), "-d", strconv.Itoa(int(h.For.Seconds())))
	if h.Rate > 0 {
		argv = append(argv, "-R", strconv.Itoa(h.Rate))
	}
	c, err := runChild(ctx, "", nil, append(argv, h.URL)...)
	if err != nil {
		return answer{}, c, err
	}
	a, err := readAutocannon(c.Out)
	return a, c, err
}

// readAutocannon reads its JSON; it has no p95, and whole milliseconds.
func readAutocannon(out []byte) (answer, error) {
	var a struct {
		Non2xx, Errors float64
		Requests       struct{ Total float64 }
		Latency        struct{ P50, P99 float64 }
	}
	if err := json.Unmarshal(out, &a); err != nil {
		return answer{}, fmt.Errorf("read autocannon's output: %w", err)
	}
	if a.Non2xx+a.Errors > 0 {
		return answer{}, fmt.Errorf("autocannon: %v requests failed", a.Non2xx+a.Errors)
	}
	return answer{Requests: a.Requests.Total, Latency: figures{"p50": a.Latency.P50, "p99": a.Latency.P99}}, nil
}

func (t *tools) hey(ctx context.Context, h hit) (answer, child, error) {
	argv := []string{t.Hey.Argv[0], "-z", seconds(h.For), "-c", strconv.Itoa(h.Over)}
	if h.Rate > 0 {
		argv = append(argv, "-q", fmt.Sprint(float64(h.Rate)/float64(h.Over))) // a rate for each worker
	}
	c, err := runChild(ctx, "", nil, append(argv, h.URL)...)
	if err != nil {
		return answer{}, c, err
	}
	a, err := readHey(c.Out)
	return a, c, err
}

var (
	heyQuantile = regexp.MustCompile(`(?m)^\s+(50|95|99)%+ in ([0-9.]+) secs`)
	heyStatus   = regexp.MustCompile(`(?m)^\s+\[(\d+)\]\s+(\d+) responses`)
)

// readHey reads its text, as it has no JSON.
func readHey(out []byte) (answer, error) {
	a := answer{Latency: figures{}}
	for _, m := range heyStatus.FindAllSubmatch(out, -1) {
		if string(m[1]) != "200" {
			return answer{}, fmt.Errorf("hey: %s responses with status %s", m[2], m[1])
		}
		n, err := strconv.ParseFloat(string(m[2]), 64)
		if err != nil {
			return answer{}, fmt.Errorf("read hey's output: %w", err)
		}
		a.Requests += n
	}
	for _, m := range heyQuantile.FindAllSubmatch(out, -1) {
		v, err := strconv.ParseFloat(string(m[2]), 64)
		if err != nil {
			return answer{}, fmt.Errorf("read hey's output: %w", err)
		}
		a.Latency["p"+string(m[1])] = v * 1e3
	}
	if a.Requests == 0 || len(a.Latency) == 0 {
		return answer{}, fmt.Errorf("read hey's output: no figures in %q", tail(out))
	}
	return a, nil
}

func (t *tools) vegeta(ctx context.Context, h hit) (answer, child, error) {
	dir, err := os.MkdirTemp(t.Dir, "vegeta-")
	if err != nil {
		return answer{}, child{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // within the benchmark's own folder
	targets, results := filepath.Join(dir, "targets"), filepath.Join(dir, "results")
	if err := os.WriteFile(targets, []byte("GET "+h.URL+"\n"), 0o644); err != nil {
		return answer{}, child{}, err
	}
	argv := []string{t.Vegeta.Argv[0], "attack", "-targets", targets, "-output", results, "-duration", h.For.String(), "-rate", strconv.Itoa(h.Rate)}
	if h.Rate == 0 {
		argv = append(argv, "-workers", strconv.Itoa(h.Over), "-max-workers", strconv.Itoa(h.Over))
	}
	c, err := runChild(ctx, dir, nil, argv...)
	if err != nil {
		return answer{}, c, err
	}
	text, err := command(ctx, dir, nil, t.Vegeta.Argv[0], "report", "-type", "json", results)
	if err != nil {
		return answer{}, c, err
	}
	a, err := readVegeta([]byte(text))
	return a, c, err
}

func readVegeta(out []byte) (answer, error) {
	var v struct {
		Requests, Success float64
		Latencies         struct {
			P50 float64 `json:"50th"`
			P95 float64 `json:"95th"`
			P99 float64 `json:"99th"`
		}
	}
	if err := json.Unmarshal(out, &v); err != nil {
		return answer{}, fmt.Errorf("read vegeta's report: %w", err)
	}
	if v.Success != 1 {
		return answer{}, fmt.Errorf("vegeta: success %v", v.Success)
	}
	return answer{Requests: v.Requests, Latency: figures{"p50": ms(v.Latencies.P50), "p95": ms(v.Latencies.P95), "p99": ms(v.Latencies.P99)}}, nil
}

// k6Users are users in a loop, who sleep between requests where there is a rate.
func (t *tools) k6Users(ctx context.Context, h hit) (answer, child, error) {
	rest := ""
	if h.Rate > 0 {
		rest = fmt.Sprintf("sleep(Math.max(0, %g - (Date.now() - begin) / 1000));", float64(h.Over)/float64(h.Rate))
	}
	return t.k6Get(ctx, fmt.Sprintf(`{ executor: 'constant-vus', vus: %d, duration: '%s' }`, h.Over, seconds(h.For)), h.URL, rest)
}

// k6Arrivals are arrivals at a rate, by a fixed number of users.
func (t *tools) k6Arrivals(ctx context.Context, h hit) (answer, child, error) {
	return t.k6Get(ctx, fmt.Sprintf(`{ executor: 'constant-arrival-rate', rate: %d, timeUnit: '1s', duration: '%s', preAllocatedVUs: %d, maxVUs: %d }`,
		h.Rate, seconds(h.For), h.Over, h.Over), h.URL, "")
}

func (t *tools) k6Get(ctx context.Context, scenario, url, rest string) (answer, child, error) {
	s, c, err := t.k6(ctx, `import http from 'k6/http';
import { sleep } from 'k6';
`, scenario, fmt.Sprintf(`
export default function () {
	const begin = Date.now();
	http.get('%s');
	%s
}
`, url, rest))
	if err != nil {
		return answer{}, c, err
	}
	if s["http_req_failed"]["rate"] > 0 {
		return answer{}, c, fmt.Errorf("k6: %v of all requests failed", s["http_req_failed"]["rate"])
	}
	d := s["http_req_duration"]
	return answer{Requests: s["http_reqs"]["count"], Latency: figures{"p50": d["med"], "p95": d["p(95)"], "p99": d["p(99)"]}}, c, nil
}

func TestReadOutputs(t *testing.T) {
	for _, tc := range []struct {
		name     string
		read     func([]byte) (answer, error)
		out      string
		requests float64
		p99      float64
		fails    bool
	}{
		{"wrk", readWrk, "Running 2s test\n  2 threads\n{\"requests\":100,\"failed\":0,\"p50\":1000.0,\"p95\":2000.0,\"p99\":3000.0}\n", 100, 3, false},
		{"wrk, failures", readWrk, `{"requests":100,"failed":2}`, 0, 0, true},
		{"autocannon", readAutocannon, `{"errors":0,"non2xx":0,"requests":{"total":70},"latency":{"p50":2,"p99":7}}`, 70, 7, false},
		{"autocannon, failures", readAutocannon, `{"errors":1,"requests":{"total":70}}`, 0, 0, true},
		{"hey", readHey, "Latency distribution:\n  50% in 0.0010 secs\n  99%% in 0.0055 secs\n\nStatus code distribution:\n  [200]\t42 responses\n", 42, 5.5, false},
		{"hey, failures", readHey, "  [500]\t42 responses\n", 0, 0, true},
		{"hey, nothing", readHey, "", 0, 0, true},
		{"vegeta", readVegeta, `{"latencies":{"50th":1000000,"95th":2000000,"99th":4000000},"requests":9,"success":1}`, 9, 4, false},
		{"vegeta, failures", readVegeta, `{"requests":9,"success":0.5}`, 0, 0, true},
	} {
		a, err := tc.read([]byte(tc.out))
		if (err != nil) != tc.fails || a.Requests != tc.requests || a.Latency["p99"] != tc.p99 {
			t.Errorf("%s: %+v, %v; want %v requests, p99 %v ms, error: %v", tc.name, a, err, tc.requests, tc.p99, tc.fails)
		}
	}
}
