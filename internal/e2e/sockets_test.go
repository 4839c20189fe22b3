package e2e_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/wire"
)

// serverSockets is how many sockets one server process is to hold alone: what fits,
// with room for what else it opens, below a limit of 20,000 descriptors.
const serverSockets = 18_000

// serverSocketLimit is what a socket may cost the server in resident memory, in KiB.
const serverSocketLimit = 16

// BenchmarkServerSockets holds 18,000 sockets in one server process, in rooms of 100
// with a message a second, and fails where a message is missing or a socket costs
// more than 16 KiB.
//
// It is a benchmark so that go test leaves it alone.
func BenchmarkServerSockets(b *testing.B) {
	for b.Loop() {
		few := holdSockets(b, 100, 100, time.Second)
		many := holdSockets(b, serverSockets, 100, 30*time.Second)
		perSocket := float64(many-few) / (serverSockets - 100) / 1024
		b.ReportMetric(perSocket, "KiB/socket")
		if perSocket > serverSocketLimit {
			b.Errorf("%.1f KiB a socket, at most %d are allowed", perSocket, serverSocketLimit)
		}
	}
}

// The same in small: 500 sockets, each delivery made, and nothing left behind.
func TestServerHoldsSockets(t *testing.T) { holdSockets(t, 500, 100, 2*time.Second) }

const togetherYAML = `
version: 1
name: together
target: %s
warmup: 0s
duration: 30s
drain: 60s
workloads:
  chat:
    protocol: sse
    dialect: anthropic
    load: {rate: 200/s, max_in_flight: 10000}
    request:
      method: POST
      path: %s
      headers: {Content-Type: application/json, %s: 'constant:300ms', %s: 'constant:2s', %s: 'constant:20'}
      body: '{"prompt":"Hello"}'
  rooms:
    protocol: websocket
    load: {users: 6000, ramp: 20s}
    room: {path: '/functions/v1/ws-relay?room={{ .Room }}', members: 100, publish: 1/s, payload: 256B}
`

// BenchmarkStreamsAndSockets holds 6,000 token streams and 6,000 sockets at once in one
// server process: all streams come to their end and all messages arrive.
//
// It is a benchmark so that go test leaves it alone.
func BenchmarkStreamsAndSockets(b *testing.B) {
	for b.Loop() {
		s := startServer(b)
		before := memory(b, s.cmd.Process, "VmRSS:")
		run := loadgen(b, fmt.Sprintf(togetherYAML, s.URL, wire.PathStreamAI, wire.HeaderSimTTFT, wire.HeaderSimGap, wire.HeaderSimTokens), nil)
		if run.Result == nil {
			b.Fatalf("no result; exit code %d\n%s\n%s", run.Code, run.Stdout, run.Stderr)
		}
		chat, rooms := run.workload(b, "chat"), run.workload(b, "rooms")
		for name, want := range map[string]float64{"streams": 6000, "complete": 6000, "dropped": 0} {
			if got := metric(b, chat, name).Value; got != want {
				b.Errorf("%s = %v, want %v", name, got, want)
			}
		}
		for name, want := range map[string]float64{"connections": 6000, "connections_lost": 0, "delivery_ratio": 1} {
			if got := metric(b, rooms, name).Value; got != want {
				b.Errorf("%s = %v, want %v", name, got, want)
			}
		}
		var most int64
		for _, i := range chat.Intervals {
			most = max(most, i.InFlight)
		}
		if most < 5900 {
			b.Errorf("%d streams at once at most, want 6,000", most)
		}
		peak := memory(b, s.cmd.Process, peakRSS)
		page := get(b, s.URL+"/metrics")
		b.ReportMetric(float64(peak-before)/12_000/1024, "KiB/connection")
		b.Logf("%d streams and 6,000 sockets at once: %s, %d MiB at most, %v goroutines afterwards", most, verdict(run.Result), peak>>20, counter(b, page, "go_goroutines"))
	}
}

// holdSockets has a server hold n sockets in rooms of size members, opened within
// ramp, and returns its resident memory at the highest, in bytes.
func holdSockets(t testing.TB, n, size int, ramp time.Duration) int64 {
	t.Helper()
	s := startServer(t)
	run := loadgen(t, fmt.Sprintf(socketsYAML, s.URL, ramp+5*time.Second, n, ramp, size), nil)
	if run.Result == nil {
		t.Fatalf("no result; exit code %d\n%s\n%s", run.Code, run.Stdout, run.Stderr)
	}
	w := run.workload(t, "rooms")
	expected := float64(n / size * 10 * (size - 1)) // rooms × seconds × receivers
	for name, want := range map[string]float64{
		"connections": float64(n), "connections_lost": 0, "unclean_closes": 0, "expected": expected, "received": expected,
	} {
		if got := metric(t, w, name).Value; got != want {
			t.Errorf("%d sockets: %s = %v, want %v", n, name, got, want)
		}
	}
	until(t, "every peer has left", func() bool { return gauge(t, s, "refserver_relay_peers") == 0 })
	page := get(t, s.URL+"/metrics")
	owed, written := counter(t, page, "relay_deliveries_owed_total"), counter(t, page, "relay_deliveries_written_total")
	if owed != written || written < expected {
		t.Errorf("%v deliveries owed, %v written", owed, written)
	}
	peak := memory(t, s.cmd.Process, peakRSS)
	t.Logf("%d sockets: %s, %d MiB at most, %v goroutines afterwards, fanout p99 %v", n, verdict(run.Result), peak>>20,
		counter(t, page, "go_goroutines"), quantile(t, w, "fanout", .99))
	return peak
}
