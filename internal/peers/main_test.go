// Package peers_test measures loadgen side by side with what its users would
// take instead: k6, vegeta, hey, wrk, autocannon, plain Go clients, and a floor
// client that does the least that can be done and keeps no statistics.
//
// Everything runs in one go on the same machine: each tool as a process of its
// own against a fresh reference-server, on the same cores, in an order that
// turns round from one round to the next. CPU is the kernel's account of the
// child, memory its own high-water mark. What a tool says about latency is put
// beside what the server's stamps or the arithmetic of the case say.
//
// The package installs the tools into a temporary folder and knows their
// command lines and outputs. It sees the two programs from outside: of this
// module it imports wire alone.
//
// It takes minutes and the net, so it is one benchmark, which `go test` does
// not run unless it is asked to: make bench-peers.
package peers_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"
)

// What to run; `make bench-peers PEERS='-streams 500,2000'` sets them.
var (
	only       = flag.String("only", "sse,ws,http,pace,freeze", "the `parts` to run")
	rounds     = flag.Int("rounds", 5, "`times` each client runs")
	cores      = flag.String("cores", "0,1", "CPU `list`, as taskset takes it, that client and server share; empty for all")
	streams    = flag.String("streams", "500", "`numbers` of token streams held at once")
	sockets    = flag.String("sockets", "1000", "`numbers` of WebSocket connections, in rooms of 100")
	hold       = flag.Duration("hold", 4*time.Second, "`time` the rooms are written to")
	httpTime   = flag.Duration("http", 2*time.Second, "`time` of one HTTP run, whole seconds")
	httpRate   = flag.Int("rate", 2000, "HTTP requests a second in the paced part, a `number`")
	freezeRate = flag.Int("freeze-rate", 500, "requests a second before a server that freezes, a `number`")
	out        = flag.String("out", "../../reports/peers.md", "`file` for the tables")
)

// The environment variables that make this binary one of its own clients.
const (
	envClient = "EDGELOAD_PEERS_CLIENT" // its name
	envOrder  = "EDGELOAD_PEERS_ORDER"  // what it is to do: an order in JSON
)

func TestMain(m *testing.M) {
	name := os.Getenv(envClient)
	if name == "" {
		os.Exit(m.Run())
	}
	if err := beClient(name, os.Getenv(envOrder)); err != nil {
		fmt.Fprintf(os.Stderr, "client %s: %v\n", name, err)
		os.Exit(1)
	}
}

// An order is what a client of this package is to do. Times are nanoseconds.
type order struct {
	Addr     string // host:port of the server
	N        int    // streams, sockets or connections
	OpenRate int    // of them, opened a second
	RoomSize int
	RoomRate int   // messages a second in each room
	Hold     int64 // how long the rooms, or the requests, go on
	Rate     int   // requests a second; 0: as many as there are answers
	Path     string
}

// A report is what a client of this package has seen. Times are nanoseconds;
// the pairs are p50 and p99.
type report struct {
	Complete  int   // streams read to their end, or sockets held to the end
	Events    int64 // events or messages received
	Published int64
	Requests  int64
	Failed    int64
	Elapsed   int64
	TTFT      [2]int64 // first token − start
	Truth     [2]int64 // the server's stamp of the first token − start
	Lag       [2]int64 // receipt − the sender's stamp
	Latency   [3]int64 // of requests: p50, p95, p99
}

// beClient runs one client and prints its report.
func beClient(name, raw string) error {
	var o order
	if err := json.Unmarshal([]byte(raw), &o); err != nil {
		return fmt.Errorf("read the order: %w", err)
	}
	run, ok := clients()[name]
	if !ok {
		return fmt.Errorf("there is no such client")
	}
	r, err := run(o)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// clients are the clients that live in this package.
func clients() map[string]func(order) (report, error) {
	all := map[string]func(order) (report, error){
		"plain-sse":  plainSSE,
		"plain-ws":   plainWS,
		"small-ws":   smallWS,
		"plain-http": plainHTTP,
	}
	for name, run := range floorClients() {
		all[name] = run
	}
	return all
}
