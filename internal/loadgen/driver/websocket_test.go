package driver

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

var noDeadline time.Time

// A roomRun is one run of the websocket driver alone, on a clock of its own.
type roomRun struct {
	target          string
	insecure        bool
	users           int
	ramp            time.Duration
	room            scenario.Room
	timeout         time.Duration
	warmup, measure time.Duration
	drain           time.Duration
	interruptAt     time.Duration // when above 0
	wholly          bool          // there is no warm-up: everything counts
}

// aRoom is the room most tests begin with.
func aRoom() scenario.Room {
	return scenario.Room{
		Path: "/relay?room={{ .Room }}", Members: 5, Publish: 200, Publishers: 2,
		Payload: scenario.SizeDist{Min: 200, Max: 200}, Settle: scenario.Duration(20 * time.Millisecond),
	}
}

// A roomOutcome is what a roomRun came to.
type roomOutcome struct {
	t        *testing.T
	metrics  map[string]result.Metric
	errors   map[string]result.ErrorClass
	balances []result.Balance
	took     time.Duration // from the stop to the return of the last Do
}

func (o *roomOutcome) count(name string) int64 {
	o.t.Helper()
	m, ok := o.metrics[name]
	if !ok {
		o.t.Fatalf("no metric %s", name)
	}
	return int64(m.Value)
}

func (o *roomOutcome) samples(name string) int64 {
	if d := o.metrics[name].Distribution; d != nil {
		return d.Count
	}
	return 0
}

// want compares counters, given as name, value pairs.
func (o *roomOutcome) want(counts map[string]int64) {
	o.t.Helper()
	for name, want := range counts {
		if got := o.count(name); got != want {
			o.t.Errorf("%s = %d, expected %d (errors %+v)", name, got, want, o.errors)
		}
	}
}

// even checks every balance, and that the counters say the same.
func (o *roomOutcome) even() {
	o.t.Helper()
	if len(o.balances) == 0 {
		o.t.Error("no balance")
	}
	for _, b := range o.balances {
		if !b.Even() {
			o.t.Errorf("%s: %d and %d", b.Name, b.Left, b.Right)
		}
		if b.Name != "expected = received + lost" {
			continue
		}
		if b.Left != o.count("expected") || b.Right != o.count("received")+o.count("lost") {
			o.t.Errorf("%s: %d and %d, counters say %d = %d + %d", b.Name, b.Left, b.Right,
				o.count("expected"), o.count("received"), o.count("lost"))
		}
	}
	var attributed int64
	for class, e := range o.errors {
		if strings.HasPrefix(class, "lost: ") {
			attributed += e.Count
		}
	}
	if attributed != o.count("lost") {
		o.t.Errorf("%d losses attributed of %d", attributed, o.count("lost"))
	}
}

func (r roomRun) run(t *testing.T) *roomOutcome {
	t.Helper()
	if r.wholly {
		r.warmup = 0
	} else if r.warmup == 0 {
		r.warmup = 200 * time.Millisecond
	}
	if r.measure == 0 {
		r.measure = 400 * time.Millisecond
	}
	if r.drain == 0 {
		r.drain = 5 * time.Second
	}
	w := &scenario.Workload{
		Protocol: scenario.WebSocket, Room: &r.room,
		Load:    scenario.Load{Users: r.users, Ramp: scenario.Duration(r.ramp)},
		Timeout: scenario.Duration(r.timeout), InsecureSkipVerify: r.insecure,
	}
	d, err := newWebSocket(opening{scenario: &scenario.Scenario{Target: r.target, Seed: 1}, name: "rooms", workload: w})
	if err != nil {
		t.Fatal(err)
	}
	rec := engine.NewRecorder(wsMetrics(), r.warmup)
	stopping := make(chan struct{})
	clock := engine.NewClock()
	run := engine.Run{
		ID: "20261123T120000Z-test", Workload: "rooms", Seed: 1, Clock: clock,
		Warmup: r.warmup, End: r.warmup + r.measure, Stopping: stopping,
	}
	if err := d.Begin(run); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var users sync.WaitGroup
	for u := range r.users {
		users.Go(func() {
			ready := r.ramp * time.Duration(u) / time.Duration(r.users)
			select {
			case <-time.After(ready - clock.Now()):
			case <-stopping:
				return
			}
			a := engine.Arrival{Seq: uint64(u), User: u, Intended: ready, Started: clock.Now()}
			arrive(ctx, d, a, rec.At(ready))
		})
	}
	end := run.End
	if r.interruptAt > 0 {
		end = r.interruptAt
	}
	time.AfterFunc(end-clock.Now(), func() { close(stopping) })
	drained := time.AfterFunc(end+r.drain-clock.Now(), cancel)
	defer drained.Stop()
	users.Wait()
	took := clock.Now() - end
	d.End(rec)

	metrics, errs, balances := rec.Collect()
	o := &roomOutcome{t: t, metrics: make(map[string]result.Metric), errors: make(map[string]result.ErrorClass), balances: balances, took: took}
	for _, m := range metrics {
		o.metrics[m.Name] = m
	}
	for _, e := range errs {
		o.errors[e.Class] = e
	}
	return o
}

func TestRoomsAllDelivered(t *testing.T) {
	t.Parallel()
	for _, binary := range []bool{false, true} {
		relay := newTestRelay(t)
		room := aRoom()
		room.Binary = binary
		room.Payload = scenario.SizeDist{Min: 50, Max: 3000}
		o := roomRun{target: relay.URL, users: 13, room: room}.run(t) // two rooms of 5, one of 3
		o.even()
		// 200/s for 0.4 s in three rooms.
		published := o.count("published")
		if published < 237 || published > 243 {
			t.Errorf("published %d messages, expected 240", published)
		}
		rooms := published / 3
		if want := rooms * (4 + 4 + 2); o.count("received") < want-10 || o.count("received") > want+10 {
			t.Errorf("received %d, expected about %d", o.count("received"), want)
		}
		o.want(map[string]int64{
			"lost": 0, "duplicated": 0, "reordered": 0, "foreign": 0, "unexpected": 0,
			"messages_complete": published, "messages_incomplete": 0,
			"publish_failed": 0, "publish_unplanned": 0,
			"connections": 13, "connect_failed": 0, "connections_lost": 0, "unclean_closes": 0,
		})
		if ratio := o.metrics["delivery_ratio"]; ratio.Value != 1 || ratio.Den == 0 {
			t.Errorf("delivery ratio %+v, expected 1", ratio)
		}
		if o.samples("fanout") != o.count("received") || o.samples("spread") != published ||
			o.samples("publish_lateness") != published || o.samples("publish_write") != published {
			t.Errorf("%d fanout, %d spread, %d lateness, %d write samples for %d deliveries of %d messages", o.samples("fanout"),
				o.samples("spread"), o.samples("publish_lateness"), o.samples("publish_write"), o.count("received"), published)
		}
		if o.samples("setup") != 13 || o.samples("dial") != 13 || o.samples("upgrade") != 13 || o.samples("tls") != 0 {
			t.Errorf("set-up samples: setup %d, dial %d, upgrade %d, tls %d", o.samples("setup"), o.samples("dial"), o.samples("upgrade"), o.samples("tls"))
		}
		if f := o.metrics["fanout"].Distribution; f.Max > int64(time.Second) || f.Min < 0 {
			t.Errorf("fanout from %d to %d ns", f.Min, f.Max)
		}
		if in, out := o.count("bytes_in"), o.count("bytes_out"); in <= out || out < 100*published {
			t.Errorf("%d bytes in, %d out", in, out)
		}
		if len(o.errors) != 0 {
			t.Errorf("errors %v", o.errors)
		}
		if o.took > time.Second {
			t.Errorf("the end took %v", o.took)
		}
	}
}

// A relay may wrap messages, several at once too, and send some of its own.
func TestRoomsRelayThatWraps(t *testing.T) {
	t.Parallel()
	relay := newTestRelay(t)
	relay.deliver = func(p *testPeer, n int, data []byte) [][]byte {
		switch n % 4 {
		case 0:
			return [][]byte{[]byte(`["1","broadcast",` + string(data) + `]`)}
		case 1:
			escaped := strings.ReplaceAll(string(data), `"`, `\"`)
			return [][]byte{[]byte(`{"payload":"` + escaped + `"}`), []byte(`{"event":"presence","edgeload":1}`)}
		case 2:
			p.held = append(p.held[:0], data)
			return nil
		}
		return [][]byte{[]byte(`[` + string(p.held[0]) + `, ` + string(data) + `]`)}
	}
	room := aRoom()
	room.Publishers = 1
	o := roomRun{target: relay.URL, users: 5, room: room, drain: 300 * time.Millisecond}.run(t)
	o.even()
	o.want(map[string]int64{"duplicated": 0, "reordered": 0, "unexpected": 0})
	if lost := o.count("lost"); lost > 4 { // a last message may be held
		t.Errorf("lost %d", lost)
	}
	// They count by the instant of their receipt, which may lie in the measured
	// part when the message's planned one does not.
	if foreign, quarter := o.count("foreign"), o.count("received")/4; foreign < quarter-8 || foreign > 2*quarter {
		t.Errorf("%d foreign messages, expected about %d", foreign, quarter)
	}
}

// With publishing from the first measured instant on, each fault is counted as
// often as the relay committed it.
func TestRoomsFaultsAreCountedExactly(t *testing.T) {
	t.Parallel()
	const every = 10
	for _, fault := range []string{"drop", "duplicate", "swap"} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			relay := newTestRelay(t)
			var did int64 // under the relay's lock
			first := int64(-1)
			relay.deliver = func(p *testPeer, _ int, data []byte) [][]byte {
				msg, _, _ := nextMessage(data)
				if first < 0 {
					first = msg.planned
				}
				// Of the measured part: the run's warm-up is 200 ms, and its first
				// message comes some time within it.
				inside := msg.planned-first > int64(210*time.Millisecond) && msg.planned-first < int64(580*time.Millisecond)
				if !inside && len(p.held) == 0 {
					return [][]byte{data}
				}
				switch place := msg.seq % every; {
				case fault == "drop" && place == 0:
					did++
					return nil
				case fault == "duplicate" && place == 0:
					did++
					return [][]byte{data, data}
				case fault == "swap" && place == 0:
					p.held = append(p.held[:0], data)
					return nil
				case fault == "swap" && place == 1 && len(p.held) > 0:
					did++
					out := [][]byte{data, p.held[0]}
					p.held = p.held[:0]
					return out
				}
				return [][]byte{data}
			}
			room := aRoom()
			room.Publishers = 1
			o := roomRun{target: relay.URL, users: 5, room: room, measure: 600 * time.Millisecond, drain: 300 * time.Millisecond}.run(t)
			o.even()
			want := map[string]int64{"lost": 0, "duplicated": 0, "reordered": 0, "unexpected": 0, "foreign": 0}
			switch fault {
			case "drop":
				want["lost"] = did
			case "duplicate":
				want["duplicated"] = did
			case "swap":
				want["reordered"] = did
			}
			if did < 4*2 {
				t.Fatalf("the relay misbehaved %d times only", did)
			}
			o.want(want)
		})
	}
}

func TestRoomsMemberClosedByServer(t *testing.T) {
	t.Parallel()
	relay := newTestRelay(t)
	var once sync.Once
	// Member 3 is offered nothing any more after a while, and then closed.
	relay.deliver = func(p *testPeer, n int, data []byte) [][]byte {
		if p.index != 3 || n < 40 {
			return [][]byte{data}
		}
		if n == 50 {
			once.Do(func() { p.closeWith(websocket.CloseTryAgainLater, "too slow") })
		}
		return nil
	}
	o := roomRun{target: relay.URL, users: 5, ramp: 20 * time.Millisecond, room: aRoom()}.run(t)
	o.even()
	o.want(map[string]int64{"connections_lost": 1, "unclean_closes": 0})
	lost := o.errors["lost: connection closed 1013"]
	if lost.Count < 10 || lost.Count != o.count("lost") {
		t.Errorf("losses by the close %+v, of %d lost", lost, o.count("lost"))
	}
	if e := o.errors["connection closed 1013"]; e.Count != 1 || !strings.Contains(e.Example, "too slow") {
		t.Errorf("connection error %+v", e)
	}
}

func TestRoomsPublisherReset(t *testing.T) {
	t.Parallel()
	relay := newTestRelay(t)
	relay.received = func(from *testPeer, n int) {
		if n == 30 {
			if tcp, ok := from.conn.NetConn().(*net.TCPConn); ok {
				_ = tcp.SetLinger(0) // a reset instead of an end
			}
			_ = from.conn.Close()
		}
	}
	room := aRoom()
	room.Publishers = 1
	o := roomRun{target: relay.URL, users: 5, ramp: 10 * time.Millisecond, room: room}.run(t)
	o.even()
	o.want(map[string]int64{"connections_lost": 1})
	if failed := o.count("publish_failed"); failed < 40 || failed+o.count("published") < 78 {
		t.Errorf("%d failed and %d published, expected 80 together", failed, o.count("published"))
	}
	if o.errors["publish failed: connection reset"].Count < 40 {
		t.Errorf("errors %+v", o.errors)
	}
	for class := range o.errors {
		if strings.HasPrefix(class, "lost: ") && class != "lost: publisher's connection reset" {
			t.Errorf("loss %q", class)
		}
	}
}

func TestRoomsStalledMember(t *testing.T) {
	t.Parallel()
	relay := newTestRelay(t)
	relay.queue, relay.sendBuffer = 64, 16<<10
	room := aRoom()
	room.Stalled = 2
	room.Payload = scenario.SizeDist{Min: 16 << 10, Max: 16 << 10}
	o := roomRun{target: relay.URL, users: 10, room: room, measure: 600 * time.Millisecond}.run(t)
	o.even()
	lost := o.errors[lostStalled]
	if lost.Count == 0 || lost.Count != o.count("lost") {
		t.Errorf("losses %+v of %d", lost, o.count("lost"))
	}
	// The last of each of the two rooms: a quarter of the receivers.
	if want := o.count("expected") / 4; lost.Count < want-10 || lost.Count > want+10 {
		t.Errorf("%d messages lost to stalled members, expected about %d", lost.Count, want)
	}
	if relay.dropped == 0 {
		t.Error("the relay never felt the stalled members")
	}
	if o.took > time.Second {
		t.Errorf("the end took %v: it waited for members that never read", o.took)
	}
	o.want(map[string]int64{"messages_complete": 0, "unclean_closes": 0})
}

// The last member joins when the measured part has long begun: its room does not
// publish before, and nothing is lost.
func TestRoomsLateJoiner(t *testing.T) {
	t.Parallel()
	relay := newTestRelay(t)
	room := aRoom()
	room.Settle = scenario.Duration(50 * time.Millisecond)
	o := roomRun{target: relay.URL, users: 5, ramp: 400 * time.Millisecond, room: room}.run(t)
	o.even()
	o.want(map[string]int64{"lost": 0, "publish_failed": 0})
	// The last joins at 320 ms; the measured part is 200 to 600 ms.
	if n := o.count("publish_unplanned"); n < 23 || n > 60 {
		t.Errorf("%d messages not planned, expected 24", n)
	}
	// Members count from 50 ms after their join.
	if n := o.count("undecided"); n == 0 || n > 40 {
		t.Errorf("%d deliveries to members not settled, expected some 10", n)
	}
	o.want(map[string]int64{"unexpected": 0})
	if n := o.count("published") + o.count("publish_unplanned"); n < 79 || n > 81 {
		t.Errorf("%d messages published or not planned, expected 80", n)
	}
}

func TestRoomsTargetThatRefuses(t *testing.T) {
	t.Parallel()
	answer := func(status int) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "no upgrade here", status)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never answers
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	closed := httptest.NewServer(nil)
	closed.Close()

	for _, c := range []struct{ name, target, class string }{
		{"refuses", closed.URL, "connection refused"},
		{"no upgrade", answer(426), "http 426"},
		{"error", answer(500), "http 500"},
		{"silent", "http://" + silent.Addr().String(), "timeout"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := roomRun{target: c.target, users: 5, room: aRoom(), timeout: 150 * time.Millisecond}.run(t)
			o.even()
			o.want(map[string]int64{"connect_failed": 5, "connections": 0, "published": 0, "expected": 0})
			if e := o.errors[c.class]; e.Count != 5 || !strings.Contains(e.Example, "member") {
				t.Errorf("errors %+v, expected 5 of class %s", o.errors, c.class)
			}
			if failed := o.count("publish_failed") + o.count("publish_unplanned"); failed < 79 || failed > 81 {
				t.Errorf("%d messages failed, expected 80", failed)
			}
			if o.took > 500*time.Millisecond {
				t.Errorf("the end took %v", o.took)
			}
		})
	}
}

// A target that never answers the upgrade does not hold the end of the run.
func TestRoomsEndCutsDialling(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	o := roomRun{target: "http://" + silent.Addr().String(), users: 3, room: aRoom(), timeout: time.Minute}.run(t)
	o.want(map[string]int64{"connect_failed": 3})
	if o.errors[classUnfinished].Count != 3 {
		t.Errorf("errors %+v", o.errors)
	}
	if o.took > 500*time.Millisecond {
		t.Errorf("the end took %v", o.took)
	}
}

func TestRoomsRelayThatNeverDelivers(t *testing.T) {
	t.Parallel()
	relay := newTestRelay(t)
	relay.deliver = func(*testPeer, int, []byte) [][]byte { return nil }
	o := roomRun{target: relay.URL, users: 5, room: aRoom(), drain: 200 * time.Millisecond}.run(t)
	o.even()
	o.want(map[string]int64{"received": 0, "lost": o.count("expected"), "messages_complete": 0})
	if o.count("expected") == 0 || o.errors["lost: unexplained"].Count != o.count("lost") {
		t.Errorf("expected %d, errors %+v", o.count("expected"), o.errors)
	}
	if o.took < 200*time.Millisecond || o.took > 700*time.Millisecond {
		t.Errorf("the end took %v, expected the drain time of 200 ms", o.took)
	}
}

// newDeafServer accepts upgrades and then reads nothing.
func newDeafServer(t *testing.T) string {
	var mu sync.Mutex
	var conns []*websocket.Conn
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		upgrader := websocket.Upgrader{}
		if conn, err := upgrader.Upgrade(w, req, nil); err == nil {
			mu.Lock()
			defer mu.Unlock()
			conns = append(conns, conn)
		}
	}))
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range conns {
			_ = c.Close()
		}
		server.Close()
	})
	return server.URL
}

// A relay that reads nothing at all fills the publisher's socket; the end still
// comes in time.
func TestRoomsRelayThatNeverReads(t *testing.T) {
	t.Parallel()
	room := aRoom()
	room.Payload = scenario.SizeDist{Min: 1 << 20, Max: 1 << 20}
	room.Publish = 100
	o := roomRun{target: newDeafServer(t), users: 3, room: room, drain: 100 * time.Millisecond}.run(t)
	o.even()
	if o.count("received") != 0 || o.count("publish_failed") == 0 {
		t.Errorf("received %d, publish_failed %d", o.count("received"), o.count("publish_failed"))
	}
	if n := o.count("published") + o.count("publish_failed"); n < 38 || n > 41 {
		t.Errorf("%d published or failed, expected 40", n)
	}
	o.want(map[string]int64{"unclean_closes": 3})
	if o.took > 100*time.Millisecond+closeWait+500*time.Millisecond {
		t.Errorf("the end took %v", o.took)
	}
}

// A write that gets nowhere within the timeout costs the connection.
func TestRoomsWriteTimesOut(t *testing.T) {
	t.Parallel()
	room := aRoom()
	room.Payload = scenario.SizeDist{Min: 1 << 20, Max: 1 << 20}
	room.Publish = 100
	room.Publishers = 1
	o := roomRun{target: newDeafServer(t), users: 3, room: room, timeout: 200 * time.Millisecond, drain: 2 * time.Second}.run(t)
	o.even()
	o.want(map[string]int64{"connections_lost": 1, "received": 0})
	if o.errors["timeout"].Count != 1 || o.errors["publish failed: write failed"].Count+o.errors["publish failed: timeout"].Count == 0 {
		t.Errorf("errors %+v", o.errors)
	}
	if n := o.count("published") + o.count("publish_failed"); n < 38 || n > 41 {
		t.Errorf("%d published or failed, expected 40", n)
	}
}

func TestRoomsInterrupted(t *testing.T) {
	t.Parallel()
	relay := newTestRelay(t)
	o := roomRun{target: relay.URL, users: 5, room: aRoom(), measure: 10 * time.Second, interruptAt: 400 * time.Millisecond}.run(t)
	o.even()
	if n := o.count("published"); n < 38 || n > 80 { // the timer of the interrupt may be late
		t.Errorf("published %d messages in 200 ms, expected 40", n)
	}
	o.want(map[string]int64{"lost": 0, "publish_failed": 0, "messages_incomplete": 0, "unclean_closes": 0})
	if o.took > 500*time.Millisecond {
		t.Errorf("the end took %v", o.took)
	}
}

// After a stall of the relay everything that was due is sent, with its planned
// instant.
func TestRoomsStallIsCaughtUp(t *testing.T) {
	t.Parallel()
	relay := newTestRelay(t)
	relay.received = func(from *testPeer, n int) {
		if n == 60 {
			time.Sleep(200 * time.Millisecond)
		}
	}
	room := aRoom()
	room.Publishers = 1
	room.Payload = scenario.SizeDist{Min: 256 << 10, Max: 256 << 10} // more than the sockets hold
	o := roomRun{target: relay.URL, users: 2, room: room, measure: 600 * time.Millisecond}.run(t)
	o.even()
	o.want(map[string]int64{"lost": 0, "publish_failed": 0})
	if n := o.count("published"); n < 119 || n > 121 {
		t.Errorf("published %d messages, expected 120", n)
	}
	if f := o.metrics["fanout"].Distribution; f.Max < int64(150*time.Millisecond) {
		t.Errorf("highest fanout %v does not show the stall of 200 ms", time.Duration(f.Max))
	}
}

func TestNewWebSocketRejects(t *testing.T) {
	valid := func() (*scenario.Scenario, *scenario.Workload) {
		room := aRoom()
		return &scenario.Scenario{Target: "http://127.0.0.1:1"}, &scenario.Workload{Room: &room, Load: scenario.Load{Users: 2}}
	}
	for _, c := range []struct {
		name   string
		change func(*scenario.Scenario, *scenario.Workload)
		want   string
	}{
		{"no room", func(_ *scenario.Scenario, w *scenario.Workload) { w.Room = nil }, "room"},
		{"open model", func(_ *scenario.Scenario, w *scenario.Workload) { w.Load = scenario.Load{Rate: 1} }, "load.users"},
		{"no members", func(_ *scenario.Scenario, w *scenario.Workload) { w.Room.Members = 0 }, "members"},
		{"target", func(sc *scenario.Scenario, _ *scenario.Workload) { sc.Target = "ftp://x" }, "http"},
		{"path", func(_ *scenario.Scenario, w *scenario.Workload) { w.Room.Path = "/{{" }, "path"},
		{"header", func(_ *scenario.Scenario, w *scenario.Workload) { w.Room.Headers = map[string]string{"X": "{{"} }, "header X"},
	} {
		sc, w := valid()
		c.change(sc, w)
		if _, err := newWebSocket(opening{scenario: sc, name: "rooms", workload: w}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, expected one that names %q", c.name, err, c.want)
		}
	}
	sc, w := valid()
	w.Room.Publish = 1e9
	d, err := newWebSocket(opening{scenario: sc, name: "rooms", workload: w})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Begin(engine.Run{Clock: engine.NewClock(), End: time.Hour}); err == nil {
		t.Error("3.6e12 messages a room: no error")
	}
}

func TestStallSpreadsOverRooms(t *testing.T) {
	plan := &roomPlan{room: &scenario.Room{}}
	rooms := []*room{newRoom(0, "a", 3, 1, plan), newRoom(1, "b", 3, 1, plan), newRoom(2, "c", 1, 1, plan)}
	stall(rooms, 4)
	var got []string
	for _, r := range rooms {
		for _, m := range r.members {
			if m.stalled {
				got = append(got, m.String())
			}
		}
	}
	want := "room a member 1,room a member 2,room b member 2,room c member 0"
	if s := strings.Join(got, ","); s != want {
		t.Errorf("stalled: %s, expected %s", s, want)
	}
	stall(rooms, 100) // more than there are
}
