package e2e_test

import (
	"fmt"
	"testing"
	"time"
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
// It is a benchmark so that go test leaves it alone: make scale-server.
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
	page := get(t, s.URL+"/metrics")
	owed, written := counter(t, page, "relay_deliveries_owed_total"), counter(t, page, "relay_deliveries_written_total")
	if owed != written || written < expected || counter(t, page, "relay_peers ") != 0 {
		t.Errorf("%v deliveries owed, %v written", owed, written)
	}
	peak := memory(t, s.cmd.Process, peakRSS)
	t.Logf("%d sockets: %s, %d MiB at most, %v goroutines afterwards, fanout p99 %v", n, verdict(run.Result), peak>>20,
		counter(t, page, "go_goroutines"), quantile(t, w, "fanout", .99))
	return peak
}
