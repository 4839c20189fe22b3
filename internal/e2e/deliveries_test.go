package e2e_test

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// As in: go test ./internal/e2e -run '^$' -bench Deliveries -benchtime 1x -args -deliveries 1000000
var deliveries = flag.Int("deliveries", 1_000_000, "deliveries that BenchmarkDeliveries has each server make in a round")

// deliveriesLimit is what the relay's CPU time for its deliveries may come to, as a
// multiple of a bare handler's.
const deliveriesLimit = 1.2

// BenchmarkDeliveries has the relay and a bare handler (testdata/barerelay), each a
// process of its own, make a million deliveries of 256 bytes to ten rooms of 100, in
// turn and three times each, and fails where the relay's CPU time for them is above
// 1.2 times the other's, comparing the least of each.
//
// It is a benchmark so that go test leaves it alone.
func BenchmarkDeliveries(b *testing.B) {
	for b.Loop() {
		ours, bare := compareDeliveries(b, *deliveries, 3)
		b.ReportMetric(ours.Seconds(), "cpu-s/relay")
		b.ReportMetric(bare.Seconds(), "cpu-s/bare")
		b.ReportMetric(ours.Seconds()/bare.Seconds(), "ratio")
		if ratio := ours.Seconds() / bare.Seconds(); ratio > deliveriesLimit {
			b.Errorf("the relay takes %.2f times the CPU of a bare handler, at most %v are allowed", ratio, deliveriesLimit)
		}
	}
}

// The same in small: both deliver everything, and the relay's cost is no disaster.
// BenchmarkDeliveries has the real limit.
func TestDeliveriesBesideABareHandler(t *testing.T) {
	ours, bare := compareDeliveries(t, 100_000, 1)
	if ratio := ours.Seconds() / bare.Seconds(); ratio > disaster {
		t.Errorf("the relay takes %.2f times the CPU of a bare handler", ratio)
	}
}

// compareDeliveries returns the least CPU time that the relay and the bare handler
// took for n deliveries, over so many rounds.
func compareDeliveries(t testing.TB, n, rounds int) (ours, bare time.Duration) {
	t.Helper()
	relay := startServer(t, "--relay-ping", "30m", "--relay-idle", "1h") // the audience answers no pings
	url, process := startBareRelay(t)
	both := []*audience{
		newAudience(t, "ws"+strings.TrimPrefix(relay.URL, "http")+"/functions/v1/ws-relay", relay.cmd.Process),
		newAudience(t, url, process),
	}
	for _, a := range both {
		a.deliver(t, n/10) // warm
	}
	least := [2]time.Duration{1 << 62, 1 << 62}
	for range rounds {
		for i, a := range both {
			least[i] = min(least[i], a.deliver(t, n))
		}
	}
	t.Logf("CPU for %d deliveries: relay %v, bare handler %v, %.2f times", n, least[0], least[1], least[0].Seconds()/least[1].Seconds())
	return least[0], least[1]
}

const (
	audienceRooms   = 10
	audienceMembers = 100
	audiencePayload = 256
)

// audience is the members of some rooms at one server. The first of each room speaks.
type audience struct {
	server   *os.Process
	speakers []*websocket.Conn
	arrived  sync.WaitGroup
}

func newAudience(t testing.TB, url string, server *os.Process) *audience {
	t.Helper()
	a := &audience{server: server}
	var readers sync.WaitGroup
	t.Cleanup(readers.Wait)
	for room := range audienceRooms {
		for member := range audienceMembers {
			conn, resp, err := websocket.DefaultDialer.DialContext(t.Context(), fmt.Sprint(url, "?room=", room), nil)
			if err != nil {
				t.Fatal(err, resp)
			}
			t.Cleanup(func() { _ = conn.Close() })
			if member == 0 {
				a.speakers = append(a.speakers, conn)
			}
			readers.Go(func() {
				raw, frame := bufio.NewReader(conn.NetConn()), make([]byte, 4+audiencePayload)
				for {
					if _, err := io.ReadFull(raw, frame); err != nil || frame[0] != 0x82 {
						return
					}
					a.arrived.Done()
				}
			})
		}
	}
	return a
}

// deliver has a message go to every room, and the next when all have arrived, until n
// deliveries are made; and returns the server's CPU time for them.
func (a *audience) deliver(t testing.TB, n int) time.Duration {
	t.Helper()
	const each = audienceRooms * (audienceMembers - 1)
	payload := make([]byte, audiencePayload)
	before := cpuTime(t, a.server)
	for range n / each {
		a.arrived.Add(each)
		for _, speaker := range a.speakers {
			if err := speaker.WriteMessage(websocket.BinaryMessage, payload); err != nil {
				t.Fatal(err)
			}
		}
		arrived := make(chan struct{})
		go func() {
			a.arrived.Wait()
			close(arrived)
		}()
		select {
		case <-arrived:
		case <-time.After(30 * time.Second):
			t.Fatal("a message has not reached everyone in 30 s")
		}
	}
	return cpuTime(t, a.server) - before
}

// startBareRelay starts testdata/barerelay, which is ended with the test.
func startBareRelay(t testing.TB) (url string, p *os.Process) {
	t.Helper()
	path := filepath.Join(bin, "barerelay")
	if out, err := exec.Command("go", "build", "-o", path, "./testdata/barerelay").CombinedOutput(); err != nil {
		t.Fatalf("build the bare relay: %v\n%s", err, out)
	}
	cmd := exec.Command(path)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has no other end
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		t.Fatalf("the bare relay said %q: %v", line, err)
	}
	return url, cmd.Process
}
