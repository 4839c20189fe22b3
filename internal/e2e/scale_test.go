package e2e_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/wire"
)

// scale is how many connections one process is to hold: what fits below a limit
// of 20,000 descriptors.
const scale = 19_000

// memoryLimit is what a WebSocket connection may cost loadgen, in KiB.
const memoryLimit = 16

// streamMemoryLimit is what a stream may cost loadgen, in KiB.
const streamMemoryLimit = 8

// Each stream lasts longer than it takes to open them all, so that all are there
// at once.
const streamsYAML = `
version: 1
name: streams
target: %s
warmup: 0s
duration: %v
drain: 60s
workloads:
  chat:
    protocol: sse
    dialect: anthropic
    load: {rate: %d/s, max_in_flight: 20000}
    request:
      method: POST
      path: %s
      headers: {Content-Type: application/json, %s: 'constant:300ms', %s: 'constant:2s', %s: 'constant:%d'}
      body: '{"model":"any","max_tokens":1024,"stream":true,"messages":[{"role":"user","content":"Hello"}]}'
thresholds:
  chat.complete_ratio: ['value == 1']
`

// BenchmarkStreams holds 19,000 token streams in one process, against a server in
// another, and reads each to its end. It fails where one is not complete, or where
// a stream costs more than 8 KiB.
//
// It is a benchmark so that go test leaves it alone: make scale.
func BenchmarkStreams(b *testing.B) {
	const rate = 500
	for b.Loop() {
		few := streams(b, 1, 1, 5)
		many := streams(b, scale, rate, (scale/rate+10)/2)
		perStream := float64(many.peak-few.peak) / (scale - 1) / 1024
		b.ReportMetric(perStream, "KiB/stream")
		if perStream > streamMemoryLimit {
			b.Errorf("%.1f KiB a stream, at most %d are allowed", perStream, streamMemoryLimit)
		}
	}
}

// streams opens n streams of so many tokens, two seconds apart, at a rate a second.
func streams(b *testing.B, n, rate, tokens int) (h held) {
	b.Helper()
	s := startServer(b)
	yaml := fmt.Sprintf(streamsYAML, s.URL, time.Duration(n/rate)*time.Second, rate,
		wire.PathMessages, wire.HeaderSimTTFT, wire.HeaderSimGap, wire.HeaderSimTokens, tokens)
	run := loadgen(b, yaml, func(p *os.Process) { h.peak = peak(p) })
	if run.Result == nil {
		b.Fatalf("no result; exit code %d\n%s\n%s", run.Code, run.Stdout, run.Stderr)
	}
	balanced(b, run.Result)
	w := run.workload(b, "chat")
	for name, want := range map[string]float64{
		"streams": float64(n), "complete": float64(n), "connections": float64(n), "chunks": float64(n * tokens), "dropped": 0,
	} {
		if got := metric(b, w, name).Value; got != want {
			b.Errorf("%d streams: %s = %v, want %v", n, name, got, want)
		}
	}
	var most int64
	for _, i := range w.Intervals {
		most = max(most, i.InFlight)
	}
	if most < int64(n)*99/100 {
		b.Errorf("%d streams at once at most, want %d", most, n)
	}
	b.Logf("%d streams: %s, %d MiB, delivery lag p50 %v, p99 %v, read delay p99 %v", n, verdict(run.Result), h.peak>>20,
		quantile(b, w, "delivery_lag", .5), quantile(b, w, "delivery_lag", .99), quantile(b, w, "read_delay", .99))
	return h
}

const socketsYAML = `
version: 1
name: sockets
target: %s
warmup: %v
duration: 10s
workloads:
  rooms:
    protocol: websocket
    load: {users: %d, ramp: %v}
    room:
      path: /functions/v1/ws-relay?room={{ .Room }}
      members: %d
      publish: 1/s
      payload: 256B
thresholds:
  rooms.delivery_ratio: ['value == 1']
`

// BenchmarkSockets holds 19,000 WebSocket connections in one process, in rooms of
// 100, against a server in another, and takes every message of ten seconds. It
// fails where one is missing, or where a connection costs more than 16 KiB.
//
// It is a benchmark so that go test leaves it alone: make scale.
func BenchmarkSockets(b *testing.B) {
	const size = 100
	for b.Loop() {
		few := sockets(b, 2, 2, time.Second)
		many := sockets(b, scale, size, 30*time.Second)
		perSocket := float64(many.peak-few.peak) / (scale - 2) / 1024
		b.ReportMetric(perSocket, "KiB/socket")
		b.ReportMetric(many.fanout.Seconds()*1e3, "ms-fanout-p99")
		if perSocket > memoryLimit {
			b.Errorf("%.1f KiB a socket, at most %d are allowed", perSocket, memoryLimit)
		}
	}
}

// A held is what a run that held sockets came to.
type held struct {
	peak   int64 // resident memory at its highest, in bytes
	fanout time.Duration
}

// sockets holds n sockets in rooms of size members, opened within ramp.
func sockets(b *testing.B, n, size int, ramp time.Duration) (h held) {
	b.Helper()
	s := startServer(b)
	yaml := fmt.Sprintf(socketsYAML, s.URL, ramp+5*time.Second, n, ramp, size)
	run := loadgen(b, yaml, func(p *os.Process) { h.peak = peak(p) })
	if run.Result == nil {
		b.Fatalf("no result; exit code %d\n%s\n%s", run.Code, run.Stdout, run.Stderr)
	}
	balanced(b, run.Result)
	w := run.workload(b, "rooms")
	expected := float64(n / size * 10 * (size - 1)) // rooms × seconds × receivers
	for name, want := range map[string]float64{
		"connections": float64(n), "connections_lost": 0, "unclean_closes": 0,
		"expected": expected, "received": expected, "duplicated": 0, "reordered": 0, "delivery_ratio": 1,
	} {
		if got := metric(b, w, name).Value; got != want {
			b.Errorf("%d sockets: %s = %v, want %v", n, name, got, want)
		}
	}
	h.fanout = quantile(b, w, "fanout", .99)
	b.Logf("%d sockets: %s, %d MiB, fanout p50 %v, p99 %v, read delay p99 %v", n, verdict(run.Result), h.peak>>20,
		quantile(b, w, "fanout", .5), h.fanout, quantile(b, w, "read_delay", .99))
	return h
}

// verdict is what a run thinks of itself.
func verdict(r *result.Result) string {
	text := string(r.Validity.State)
	for _, reason := range r.Validity.Reasons {
		text += ", " + reason.Check + " " + reason.Detail
	}
	return text
}

// peak follows a process to its end and returns its highest resident memory.
func peak(p *os.Process) (highest int64) {
	for ; ; wait(10 * time.Millisecond) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid))
		_, rest, ok := strings.Cut(string(status), peakRSS)
		kib, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
		n, numeric := strconv.ParseInt(kib, 10, 64)
		if err != nil || !ok || numeric != nil { // it has ended
			return highest
		}
		highest = max(highest, n<<10)
	}
}
