package driver

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// aLivelyRoom is one whose members come and go all the time, and are all cut off once.
func aLivelyRoom() scenario.Room {
	room := aRoom()
	room.Path += "&user={{ .User }}"
	room.Settle = scenario.Duration(50 * time.Millisecond)
	stay, _ := scenario.ParseTimeDist("uniform:50ms,200ms")
	room.Churn = &scenario.Churn{Share: .5, Stay: stay, Away: scenario.Every(20 * time.Millisecond)}
	room.Storm = &scenario.Storm{At: scenario.Duration(600 * time.Millisecond), Share: 1, Retry: scenario.Duration(10 * time.Millisecond)}
	return room
}

// However members come and go, a good relay loses nothing, and the books close.
func TestRoomsChurnAndStorm(t *testing.T) {
	t.Parallel()
	relay := newTestRelay(t)
	o := roomRun{target: relay.URL, users: 16, room: aLivelyRoom(), wholly: true, measure: 2 * time.Second}.run(t)
	o.even()
	o.want(map[string]int64{
		"lost": 0, "duplicated": 0, "reordered": 0, "unexpected": 0, "foreign": 0, "connect_failed": 0,
		"connections_lost": 0, "unclean_closes": 0, "storm_away": 0, "storm_back": o.count("storm_cut"), "messages_incomplete": 0,
	})
	if n := o.count("leaves"); n < 10 {
		t.Errorf("%d leaves of 4 or more members that stay 125 ms in 2 s", n)
	}
	if leaves, returns := o.count("leaves"), o.count("returns"); returns > leaves || leaves-returns > 8 {
		t.Errorf("%d leaves and %d returns", leaves, returns)
	}
	// Of 16, some may be away when the storm comes.
	if n := o.count("storm_cut"); n < 10 || n > 16 {
		t.Errorf("the storm cut %d of 16", n)
	}
	if n := o.count("connections"); n != 16+o.count("returns")+o.count("storm_back") {
		t.Errorf("%d connections of 16 members, %d returns and %d back from the storm", n, o.count("returns"), o.count("storm_back"))
	}
	if o.samples("storm_recovery") != 1 || o.samples("storm_return") != o.count("storm_back") || o.samples("setup{when=storm}") != o.count("storm_back") {
		t.Errorf("samples: %d storm_recovery, %d storm_return, %d setup{when=storm}", o.samples("storm_recovery"), o.samples("storm_return"), o.samples("setup{when=storm}"))
	}
	if o.count("undecided") == 0 || o.count("received") == 0 {
		t.Errorf("%d undecided, %d received", o.count("undecided"), o.count("received"))
	}
	for class := range o.errors {
		if class != "publish failed: "+cutByStorm {
			t.Errorf("error %q", class)
		}
	}
	if n := o.errors["publish failed: "+cutByStorm].Count; n == 0 || n != o.count("publish_failed") {
		t.Errorf("%d messages not sent in the storm, of %d", n, o.count("publish_failed"))
	}
}

// With a storm that leaves the publishers alone, what its victims miss is what was
// sent meanwhile.
func TestRoomsStormMisses(t *testing.T) {
	t.Parallel()
	relay := newTestRelay(t)
	var upgrades atomic.Int64
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if upgrades.Add(1) > 5 {
			time.Sleep(200 * time.Millisecond)
		}
		relay.serve(w, req)
	}))
	t.Cleanup(func() { relay.closeAll(); front.Close() })
	room := aRoom()
	room.Storm = &scenario.Storm{At: scenario.Duration(300 * time.Millisecond), Share: .4, Retry: scenario.Duration(10 * time.Millisecond)}
	o := roomRun{target: front.URL, users: 5, room: room, wholly: true, measure: 1200 * time.Millisecond}.run(t)
	o.even()
	o.want(map[string]int64{"lost": 0, "publish_failed": 0, "storm_cut": 2, "storm_back": 2, "storm_away": 0, "unexpected": 0})
	// 200 messages a second for 200 ms, to two.
	if missed := o.count("storm_missed"); missed < 60 || missed > 250 {
		t.Errorf("missed %d, want about 80", missed)
	}
	if took := o.metrics["storm_recovery"].Distribution; took.Count != 1 || took.Max < int64(200*time.Millisecond) || took.Max > int64(700*time.Millisecond) {
		t.Errorf("recovery %+v", took)
	}
	// Every message is expected of each other member, or missed, or came unasked.
	all := o.count("expected") + o.count("storm_missed") + o.count("undecided")
	if published := o.count("published"); all != 4*published {
		t.Errorf("%d expected, missed or undecided; %d published to 4", all, published)
	}
}

// Nobody comes back where the relay answers no more.
func TestRoomsStormWithoutReturn(t *testing.T) {
	t.Parallel()
	relay := newTestRelay(t)
	var mu sync.Mutex
	upgrades := 0
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		upgrades++
		refused := upgrades > 5
		mu.Unlock()
		if refused {
			http.Error(w, "full", http.StatusServiceUnavailable)
			return
		}
		relay.serve(w, req)
	}))
	t.Cleanup(func() { relay.closeAll(); front.Close() })
	room := aRoom()
	room.Storm = &scenario.Storm{At: scenario.Duration(200 * time.Millisecond), Share: .6, Retry: scenario.Duration(50 * time.Millisecond)}
	o := roomRun{target: front.URL, users: 5, room: room, wholly: true, measure: 600 * time.Millisecond}.run(t)
	o.even()
	o.want(map[string]int64{"storm_cut": 3, "storm_back": 0, "storm_away": 3, "lost": 0})
	if n := o.errors["http 503"].Count; n < 6 || n != o.count("connect_failed") {
		t.Errorf("%d refusals, connect_failed %d", n, o.count("connect_failed"))
	}
	if o.samples("storm_recovery") != 0 {
		t.Error("a storm that nobody came back from has a recovery")
	}
	if n := o.count("storm_missed"); n < 150 {
		t.Errorf("storm_missed %d: three members should miss some 80 messages each", n)
	}
}

// A fault of the relay is found as often as it commits it, while others come and go.
func TestRoomsFaultsUnderChurn(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"drop", "duplicate", "swap", "none"} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			const every = 200
			relay := newTestRelay(t)
			var offered, did int64 // under the relay's lock
			relay.deliver = func(p *testPeer, _ int, data []byte) [][]byte {
				held := p.held
				p.held = nil
				if len(held) > 0 {
					did++
					return [][]byte{data, held[0]}
				}
				if p.user >= 5 { // who may come and go
					return [][]byte{data}
				}
				offered++
				if offered%every != 0 {
					return [][]byte{data}
				}
				switch fault {
				case "drop":
					did++
					return nil
				case "duplicate":
					did++
					return [][]byte{data, data}
				case "swap":
					p.held = [][]byte{data}
					return nil
				}
				return [][]byte{data}
			}
			room := aLivelyRoom()
			room.Storm = nil
			room.Members, room.Publishers = 10, 1
			room.Churn.Share = .5 // the last 5 at most
			o := roomRun{target: relay.URL, users: 10, room: room, wholly: true, measure: 1200 * time.Millisecond, drain: 500 * time.Millisecond}.run(t)
			o.even()
			want := map[string]int64{"lost": 0, "duplicated": 0, "reordered": 0, "unexpected": 0, "foreign": 0}
			if name := map[string]string{"drop": "lost", "duplicate": "duplicated", "swap": "reordered"}[fault]; name != "" {
				want[name] = did
				if did < 3 {
					t.Errorf("the relay misbehaved %d times in %d deliveries", did, offered)
				}
			}
			o.want(want)
			if o.count("leaves") == 0 {
				t.Error("nobody left")
			}
		})
	}
}

// One delivery lost in ten thousand is one lost.
func TestRoomsOneInTenThousand(t *testing.T) { // alone, for it is a load of its own
	relay := newTestRelay(t)
	var offered, dropped int64 // under the relay's lock
	relay.deliver = func(_ *testPeer, _ int, data []byte) [][]byte {
		if offered++; offered%10_000 == 0 {
			dropped++
			return nil
		}
		return [][]byte{data}
	}
	room := aRoom()
	room.Members, room.Publish = 30, 250
	o := roomRun{target: relay.URL, users: 30, room: room, wholly: true, measure: 3 * time.Second, drain: time.Second}.run(t)
	o.even()
	o.want(map[string]int64{"lost": dropped, "duplicated": 0, "reordered": 0, "messages_incomplete": dropped})
	// Until everyone has settled, what is offered is undecided.
	if dropped < 2 || o.count("expected")+o.count("undecided") != offered {
		t.Errorf("dropped %d of %d; expected %d, undecided %d", dropped, offered, o.count("expected"), o.count("undecided"))
	}
}

// A relay that echoes is caught, and one that is to echo is not.
func TestRoomsEcho(t *testing.T) {
	t.Parallel()
	for _, meant := range []bool{false, true} {
		relay := newTestRelay(t)
		relay.echo = true
		room := aRoom()
		room.Echo = meant
		o := roomRun{target: relay.URL, users: 5, room: room, wholly: true}.run(t)
		o.even()
		name, other := "unexpected", "echoed"
		if meant {
			name, other = other, name
		}
		o.want(map[string]int64{"lost": 0, other: 0})
		// The last ones may come when their sender has left.
		if got, all := o.count(name), o.count("published"); got < all-2 || got > all {
			t.Errorf("%s = %d of %d published", name, got, all)
		}
	}
}

// Two isolates that each hold half of a room: half of what is expected comes.
func TestRoomsSplitOverIsolates(t *testing.T) {
	t.Parallel()
	relay := newTestRelay(t)
	room := aRoom()
	room.Path = "/relay?room={{ .Room }}-{{ randInt 0 1 }}&user={{ .User }}"
	room.Members, room.Publishers = 20, 4
	o := roomRun{target: relay.URL, users: 20, room: room, wholly: true, drain: 200 * time.Millisecond}.run(t)
	o.even()
	relay.mu.Lock()
	defer relay.mu.Unlock()
	if share := float64(o.count("received")) / float64(o.count("expected")); share < .2 || share > .8 {
		t.Errorf("a share of %.2f was received", share)
	}
	if o.errors[lostUnexplained].Count != o.count("lost") {
		t.Errorf("errors %+v", o.errors)
	}
}

// Who reads slowly is late itself, and nobody else is.
func TestRoomsSlowReaders(t *testing.T) {
	t.Parallel()
	relay := newTestRelay(t)
	relay.queue, relay.sendBuffer = 1000, 8<<10
	room := aRoom()
	room.Slow = &scenario.Slow{Members: 1, Read: 64 << 10}
	room.Publish = 100
	room.Payload = scenario.SizeDist{Min: 4 << 10, Max: 4 << 10}
	o := roomRun{target: relay.URL, users: 5, room: room, wholly: true, measure: time.Second}.run(t)
	o.even()
	slow, prompt := o.metrics["fanout{reader=slow}"].Distribution, o.metrics["fanout"].Distribution
	if slow.Count != o.count("slow_received") || slow.Count+prompt.Count != o.count("received") {
		t.Errorf("%d and %d samples, slow_received %d, received %d", slow.Count, prompt.Count, o.count("slow_received"), o.count("received"))
	}
	if want := o.count("expected") / 4; o.count("slow_expected") < want-5 || o.count("slow_expected") > want+5 {
		t.Errorf("slow_expected %d of %d", o.count("slow_expected"), o.count("expected"))
	}
	// 400 KiB a second come and 64 are taken.
	if slow.Max < int64(400*time.Millisecond) {
		t.Errorf("highest fanout of the slow reader %v", time.Duration(slow.Max))
	}
	if prompt.P99 > int64(200*time.Millisecond) {
		t.Errorf("p99 of the others' fanout %v", time.Duration(prompt.P99))
	}
	if lost := o.errors[lostSlow].Count; lost != o.count("lost") || o.count("slow_expected")-o.count("slow_received") != lost {
		t.Errorf("lost %d, of these to the slow reader %d", o.count("lost"), lost)
	}
	o.want(map[string]int64{"messages_incomplete": 0})
}

func TestRoomsPings(t *testing.T) {
	t.Parallel()
	for _, deaf := range []bool{false, true} {
		relay := newTestRelay(t)
		if deaf {
			relay.upgraded = func(c *websocket.Conn) { c.SetPingHandler(func(string) error { return nil }) }
		}
		room := aRoom()
		room.Ping = scenario.Duration(50 * time.Millisecond)
		o := roomRun{target: relay.URL, users: 5, room: room, wholly: true, measure: 525 * time.Millisecond}.run(t)
		o.even()
		o.want(map[string]int64{"lost": 0, "connections_lost": 0})
		pings := o.count("pings")
		if pings < 35 || pings > 52 {
			t.Errorf("%d pings of 5 members in 525 ms", pings)
		}
		if deaf {
			o.want(map[string]int64{"pongs_missed": pings - 5}) // the last ones are not missed yet
			if o.samples("ping_rtt") != 0 {
				t.Errorf("%d round trips of pings nobody answered", o.samples("ping_rtt"))
			}
			continue
		}
		if n := o.samples("ping_rtt"); n < pings-5 || n > pings || o.count("pongs_missed") > 2 {
			t.Errorf("%d round trips, %d missed", n, o.count("pongs_missed"))
		}
	}
}

// A wake-up leaves a TLS connection whole.
func TestRoomsPingsOverTLS(t *testing.T) {
	t.Parallel()
	relay := newTestRelay(t)
	front := httptest.NewTLSServer(http.HandlerFunc(relay.serve))
	t.Cleanup(func() { relay.closeAll(); front.Close() })
	room := aLivelyRoom()
	room.Ping = scenario.Duration(20 * time.Millisecond)
	o := roomRun{target: front.URL, insecure: true, users: 8, room: room, wholly: true, measure: 2 * time.Second}.run(t)
	o.even()
	o.want(map[string]int64{"lost": 0, "connections_lost": 0, "unexpected": 0, "storm_away": 0})
	if o.samples("ping_rtt") < 50 {
		t.Errorf("%d round trips", o.samples("ping_rtt"))
	}
}

func TestRoomsSubprotocols(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, answers, required string
		failed                  int64
	}{
		{"agreed", "b", "b", 0},
		{"any", "", "", 0},
		{"none where one is required", "", "a", 2},
		{"the other", "a", "b", 2},
		{"not offered", "c", "", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var conns sync.WaitGroup
			offered := make(chan string, 10)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				offered <- req.Header.Get("Sec-WebSocket-Protocol")
				header := http.Header{}
				if c.answers != "" {
					header.Set("Sec-WebSocket-Protocol", c.answers)
				}
				upgrader := websocket.Upgrader{}
				conn, err := upgrader.Upgrade(w, req, header)
				if err != nil {
					return
				}
				conns.Add(1)
				defer conns.Done()
				for err == nil {
					_, _, err = conn.ReadMessage()
				}
				_ = conn.Close()
			}))
			t.Cleanup(func() { server.Close(); conns.Wait() })
			room := aRoom()
			room.Publish = 0.001
			room.Subprotocols, room.RequireSubprotocol = []string{"a", "b"}, c.required
			o := roomRun{target: server.URL, users: 2, room: room, measure: 100 * time.Millisecond}.run(t)
			o.want(map[string]int64{"connect_failed": c.failed, "connections": 2 - c.failed})
			if e := o.errors[classSubprotocol]; e.Count != c.failed || c.failed > 0 && !strings.Contains(e.Example, "subprotocol") {
				t.Errorf("errors %+v", o.errors)
			}
			if got := <-offered; got != "a, b" {
				t.Errorf("offered %q", got)
			}
		})
	}
}
