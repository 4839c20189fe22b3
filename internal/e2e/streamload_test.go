package e2e_test

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/wire"
)

// streamCostLimit is what an event of stream-ai may cost, as a multiple of what it
// costs a bare handler of net/http that writes and flushes the same bytes.
const streamCostLimit = 1.2

// disaster is the ratio of CPU times that fails a test, of streams or of deliveries. A
// test makes one short round, on a machine that may be busy with others, where the ratio
// swings. Only what has gone wrong altogether is above this; the benchmarks have the
// real limits.
const disaster = 6

var (
	costStreams = flag.Int("cost-streams", 2000, "BenchmarkStreamCost: `streams` at once")
	costRounds  = flag.Int("cost-rounds", 3, "BenchmarkStreamCost: `times` each server is measured")
	serverCPUs  = flag.String("server-cpus", "", "CPU `list`, as taskset takes it, for the servers of BenchmarkStreamCost and BenchmarkOpenStreams; empty for all")
)

// BenchmarkStreamCost puts the same load on stream-ai and on a bare handler of
// net/http (testdata/bare), each a process of its own, in turns: 2,000 streams
// of 20 events a second for 10 s. It fails where stream-ai takes more than 1.2
// times the CPU time for as many events.
//
// It is a benchmark so that go test leaves it alone.
func BenchmarkStreamCost(b *testing.B) {
	for b.Loop() {
		ratio := streamCost(b, *costStreams, 200, 50*time.Millisecond, *costRounds)
		b.ReportMetric(ratio, "×bare")
		if ratio > streamCostLimit {
			b.Errorf("an event costs %.2f times what it costs a bare handler, at most %.2f are allowed", ratio, streamCostLimit)
		}
	}
}

// The short form of BenchmarkStreamCost, which has the real limit, shows that it
// measures.
func TestStreamCost(t *testing.T) {
	if ratio := streamCost(t, 300, 40, 50*time.Millisecond, 1); ratio > disaster {
		t.Errorf("an event costs %.2f times what it costs a bare handler", ratio)
	}
}

// streamCost returns how many times the CPU time of the bare handler stream-ai
// takes for an event: the ratio of the sums over all rounds.
func streamCost(t testing.TB, streams, tokens int, gap time.Duration, rounds int) float64 {
	t.Helper()
	var ours, bare time.Duration
	for round := range rounds {
		measure := map[string]func(){
			"stream-ai": func() {
				s := startServer(t, serverFlags(gap, tokens)...)
				ours += load(t, s, wire.PathStreamAI, streams, tokens, gap)
			},
			"bare": func() {
				s := startBare(t)
				bare += load(t, s, fmt.Sprintf("/?gap=%s&tokens=%d", gap, tokens), streams, tokens, gap)
			},
		}
		order := []string{"stream-ai", "bare"}
		if round%2 == 1 {
			order = []string{"bare", "stream-ai"}
		}
		for _, name := range order {
			measure[name]()
		}
	}
	events := float64(rounds * streams * (tokens + 6)) // three events before the tokens, three after
	ratio := float64(ours) / float64(bare)
	t.Logf("%d streams, an event each %v: stream-ai %.2f s of CPU time a million events, bare %.2f s, ratio %.3f",
		streams, gap, ours.Seconds()/events*1e6, bare.Seconds()/events*1e6, ratio)
	return ratio
}

func serverFlags(gap time.Duration, tokens int) []string {
	return []string{"--sim-ttft", "constant:" + gap.String(), "--sim-gap", "constant:" + gap.String(), "--sim-tokens", fmt.Sprintf("constant:%d", tokens)}
}

// startBare starts testdata/bare, which is ended with the test.
func startBare(t testing.TB) *server {
	t.Helper()
	path := filepath.Join(bin, "bare")
	if out, err := exec.Command("go", "build", "-o", path, "./testdata/bare").CombinedOutput(); err != nil {
		t.Fatalf("build the bare handler: %v\n%s", err, out)
	}
	s := &server{cmd: exec.Command(path), log: new(bytes.Buffer)}
	s.cmd.Stderr = s.log
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill() // it has no other end
		_ = s.cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		t.Fatalf("the bare handler said %q: %v\n%s", line, err, s.log)
	}
	s.URL = url
	return s
}

// load opens streams at a server, spread over one second, reads each to its end,
// checks that all events came, and returns the CPU time that the server took.
func load(t testing.TB, s *server, path string, streams, tokens int, gap time.Duration) time.Duration {
	t.Helper()
	confine(t, s)
	before := cpuTime(t, s.cmd.Process)
	begin := time.Now()
	var wg sync.WaitGroup
	failures := make(chan error, streams)
	for i := range streams {
		wait(time.Until(begin.Add(time.Second * time.Duration(i) / time.Duration(streams))))
		wg.Go(func() {
			conn, err := openStream(s.URL, path)
			if err == nil {
				err = drain(conn, tokens, time.Duration(tokens)*gap+20*time.Second)
			}
			if err != nil {
				failures <- err
			}
		})
	}
	wg.Wait()
	close(failures)
	if err, failed := <-failures; failed {
		t.Fatalf("%d of %d streams failed, the first with: %v", len(failures)+1, streams, err)
	}
	return cpuTime(t, s.cmd.Process) - before
}

// confine binds a server to the CPUs asked for, all its threads.
func confine(t testing.TB, s *server) {
	t.Helper()
	if *serverCPUs == "" {
		return
	}
	if out, err := exec.Command("taskset", "-a", "-c", "-p", *serverCPUs, strconv.Itoa(s.cmd.Process.Pid)).CombinedOutput(); err != nil {
		t.Fatalf("taskset: %v\n%s", err, out)
	}
}

// openStream sends a prompt over a connection of its own.
func openStream(url, path string) (net.Conn, error) {
	addr := strings.TrimPrefix(url, "http://")
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	const body = `{"prompt":"Hello"}`
	if _, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, addr, len(body), body); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// drain reads an answer to its end and checks that it holds so many tokens.
func drain(conn net.Conn, tokens int, within time.Duration) error {
	defer func() { _ = conn.Close() }()
	if err := conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	var (
		event = []byte("event: content_block_delta")
		last  = []byte("\r\n0\r\n\r\n")
		tail  []byte
		got   int
		buf   [2048]byte
		kept  [len("\r\n0\r\n\r\n") + 32]byte
	)
	for {
		n, err := conn.Read(buf[:])
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("after %d of %d tokens: %w", got, tokens, err)
		}
		got += bytes.Count(buf[:n], event)
		tail = append(append(kept[:0], tail...), buf[max(0, n-len(last)):n]...)
		tail = tail[max(0, len(tail)-len(last)):]
		if bytes.Equal(tail, last) {
			if got != tokens {
				return fmt.Errorf("%d tokens, want %d", got, tokens)
			}
			return nil
		}
	}
}

// gauge reads a value of the server's metrics.
func gauge(t testing.TB, s *server, name string) int {
	t.Helper()
	for line := range strings.Lines(get(t, s.URL+wire.PathMetrics)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return int(n)
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// BenchmarkOpenStreams holds 18,000 open streams in one server process and says
// what one costs in memory and in descriptors. When the clients have left, no
// goroutine may be left.
//
// It is a benchmark so that go test leaves it alone.
func BenchmarkOpenStreams(b *testing.B) {
	for b.Loop() {
		perStream := openStreams(b, 18_000)
		b.ReportMetric(perStream, "KiB/stream")
	}
}

func TestOpenStreams(t *testing.T) { openStreams(t, 500) }

// openStreams holds n streams, each of which has sent a first token, and returns
// the resident memory of one in KiB.
func openStreams(t testing.TB, n int) float64 {
	t.Helper()
	s := startServer(t, "--sim-ttft", "constant:50ms", "--sim-gap", "constant:1h", "--sim-tokens", "constant:2", "--drain-timeout", "1s")
	confine(t, s)
	get(t, s.URL+wire.PathHealth)
	goroutines, before, files := gauge(t, s, "go_goroutines"), memory(t, s.cmd.Process, resident), descriptors(t, s.cmd.Process)

	conns := make([]net.Conn, 0, n)
	leave := func() {
		for _, conn := range conns {
			_ = conn.Close()
		}
		conns = nil
	}
	defer leave()
	begin := time.Now()
	for i := range n {
		wait(time.Until(begin.Add(time.Duration(i) * time.Second / 3000)))
		conn, err := openStream(s.URL, wire.PathStreamAI)
		if err != nil {
			t.Fatalf("open stream %d: %v", i+1, err)
		}
		conns = append(conns, conn)
	}
	until(t, "every stream has its first token", func() bool { return gauge(t, s, "refserver_llm_tokens_total") == n })
	perStream := float64(memory(t, s.cmd.Process, resident)-before) / float64(n) / 1024
	opened := descriptors(t, s.cmd.Process) - files
	each := float64(gauge(t, s, "go_goroutines")-goroutines) / float64(n)
	t.Logf("%d open streams: %.1f KiB each, %.2f goroutines each, %d descriptors more", n, perStream, each, opened)
	if opened > n+20 {
		t.Errorf("%d streams hold %d descriptors, want one each", n, opened)
	}
	leave()
	until(t, "every stream ended", func() bool { return gauge(t, s, "refserver_llm_requests_in_flight") == 0 })
	until(t, "no goroutine is left of a stream", func() bool { return gauge(t, s, "go_goroutines") <= goroutines+5 })
	return perStream
}

// until polls for half a minute.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); wait(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}
