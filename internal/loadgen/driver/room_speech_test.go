package driver

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// A hub is a relay that speaks a protocol: handle takes each of a client's messages.
type hub struct {
	*httptest.Server
	handle func(c *hubClient, data []byte)

	mu      sync.Mutex
	topics  map[string]map[*hubClient]bool
	clients map[*hubClient]bool
	tasks   sync.WaitGroup
}

type hubClient struct {
	hub   *hub
	conn  *websocket.Conn
	write sync.Mutex
	topic string // joined
	n     int    // messages taken
}

func newHub(t *testing.T, handle func(c *hubClient, data []byte)) *hub {
	h := &hub{handle: handle, topics: make(map[string]map[*hubClient]bool), clients: make(map[*hubClient]bool)}
	h.Server = httptest.NewServer(http.HandlerFunc(h.serve))
	t.Cleanup(func() {
		h.mu.Lock()
		for c := range h.clients {
			_ = c.conn.Close()
		}
		h.mu.Unlock()
		h.Close()
		h.tasks.Wait()
	})
	return h
}

func (h *hub) serve(w http.ResponseWriter, req *http.Request) {
	upgrader := websocket.Upgrader{}
	conn, err := upgrader.Upgrade(w, req, nil)
	if err != nil {
		return
	}
	h.tasks.Add(1)
	defer h.tasks.Done()
	c := &hubClient{hub: h, conn: conn}
	h.mu.Lock()
	h.clients[c] = true
	h.mu.Unlock()
	for {
		_, data, err := conn.ReadMessage()
		if err != nil {
			break
		}
		h.handle(c, data)
		c.n++
	}
	c.leave()
	h.mu.Lock()
	delete(h.clients, c)
	h.mu.Unlock()
	_ = conn.Close()
}

func (c *hubClient) say(format string, args ...any) {
	c.write.Lock()
	defer c.write.Unlock()
	_ = c.conn.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, format, args...)) // it may have gone
}

func (c *hubClient) join(topic string) {
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	if c.hub.topics[topic] == nil {
		c.hub.topics[topic] = make(map[*hubClient]bool)
	}
	c.hub.topics[topic][c], c.topic = true, topic
}

func (c *hubClient) leave() {
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	delete(c.hub.topics[c.topic], c)
}

// cast sends to everyone on a topic, the sender only where asked for.
func (c *hubClient) cast(topic, message string, self bool) {
	c.hub.mu.Lock()
	var to []*hubClient
	for peer := range c.hub.topics[topic] {
		if peer != c || self {
			to = append(to, peer)
		}
	}
	c.hub.mu.Unlock()
	for _, peer := range to {
		peer.say("%s", message)
	}
}

// A realtimeFault is what a Realtime server of the tests does wrong.
type realtimeFault struct {
	joinReason string // it refuses joins
	self       bool   // it echoes
	mute       bool   // it answers no heartbeat
	closes     int    // it closes the channel after so many messages of one client
	limits     bool   // and says before that they were too many
}

// newRealtime is a server of Supabase Realtime's protocol, version 1.0.0: no more of it
// than broadcasts take, and as strict about what it is sent as the documents are.
func newRealtime(t *testing.T, token string, fault realtimeFault) *hub {
	return newHub(t, func(c *hubClient, data []byte) {
		var msg struct {
			Topic, Event, Ref string
			JoinRef           string `json:"join_ref"`
			Payload           struct {
				Type, Event string
				Payload     json.RawMessage
				Config      *struct {
					Broadcast struct{ Ack, Self bool }
				}
				AccessToken string `json:"access_token"`
			}
		}
		bad := func(why string) { t.Errorf("a message that is %s: %s", why, data) }
		if err := json.Unmarshal(data, &msg); err != nil || msg.Ref == "" {
			bad("none of the protocol")
			return
		}
		reply := func(status, response string) {
			c.say(`{"ref":%q,"event":"phx_reply","payload":{"status":%q,"response":%s},"topic":%q}`, msg.Ref, status, response, msg.Topic)
		}
		switch msg.Event {
		case "phx_join":
			if !strings.HasPrefix(msg.Topic, "realtime:") || msg.JoinRef != msg.Ref || msg.Payload.Config == nil ||
				msg.Payload.Config.Broadcast.Ack || msg.Payload.Config.Broadcast.Self || msg.Payload.AccessToken != token {
				bad("no join")
			}
			if fault.joinReason != "" {
				reply("error", fmt.Sprintf(`{"reason":%q}`, fault.joinReason))
				return
			}
			c.join(msg.Topic)
			reply("ok", `{"postgres_changes":[]}`)
			c.say(`{"ref":null,"event":"presence_state","payload":{},"topic":%q}`, msg.Topic)
		case "heartbeat":
			if msg.Topic != "phoenix" {
				bad("no heartbeat")
			}
			if !fault.mute {
				reply("ok", "{}")
			}
		case "broadcast":
			if msg.Payload.Type != "broadcast" || msg.Payload.Event == "" || len(msg.Payload.Payload) == 0 || msg.Topic != c.topic || msg.JoinRef != "1" {
				bad("no broadcast")
			}
			if fault.closes > 0 && c.n >= fault.closes {
				if fault.limits {
					c.say(`{"event":"system","payload":{"message":"Too many messages per second","status":"error","extension":"system","channel":"c"},"ref":null,"topic":%q}`, msg.Topic)
				}
				c.leave()
				c.say(`{"event":"phx_close","payload":{},"ref":"1","topic":%q}`, msg.Topic)
				return
			}
			c.cast(msg.Topic, fmt.Sprintf(`{"ref":null,"event":"broadcast","payload":{"event":%q,"payload":%s,"type":"broadcast"},"topic":%q}`,
				msg.Payload.Event, msg.Payload.Payload, msg.Topic), fault.self)
		case "phx_leave":
			c.leave()
			reply("ok", "{}")
			c.say(`{"ref":"1","event":"phx_close","payload":{},"topic":%q}`, msg.Topic)
		default:
			bad("unknown")
		}
	})
}

func realtimeRoom() scenario.Room {
	room := aLivelyRoom()
	room.Path = "/realtime/v1/websocket?apikey=anon&vsn=1.0.0"
	room.Speaks, room.Topic, room.Token = scenario.SpeaksRealtime, "realtime:{{ .Room }}", "token-of-all"
	return room
}

func TestRoomsRealtime(t *testing.T) {
	t.Parallel()
	server := newRealtime(t, "token-of-all", realtimeFault{})
	o := roomRun{target: server.URL, users: 13, room: realtimeRoom(), wholly: true, measure: 2 * time.Second}.run(t)
	o.even()
	o.want(map[string]int64{
		"lost": 0, "duplicated": 0, "reordered": 0, "unexpected": 0, "foreign": 0, "echoed": 0, "connect_failed": 0,
		"connections_lost": 0, "storm_away": 0, "storm_back": o.count("storm_cut"), "unclean_closes": 0,
	})
	if o.count("received") == 0 || o.count("leaves") == 0 || o.count("storm_cut") == 0 {
		t.Errorf("received %d, leaves %d, storm_cut %d", o.count("received"), o.count("leaves"), o.count("storm_cut"))
	}
	if o.samples("join") != o.count("connections") {
		t.Errorf("%d joins of %d connections", o.samples("join"), o.count("connections"))
	}
	// The presence state of each join; replies to joins are waited for before.
	if n := o.count("control"); n < o.count("connections")-2 {
		t.Errorf("%d control messages", n)
	}
}

func TestRoomsRealtimeFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fault realtimeFault
		class string
		check func(o *roomOutcome)
	}{
		{"join refused", realtimeFault{joinReason: "ClientJoinRateLimitReached: Too many joins per second"}, "realtime join: ClientJoinRateLimitReached",
			func(o *roomOutcome) { o.want(map[string]int64{"connect_failed": 5, "connections": 0}) }},
		{"join refused without a code", realtimeFault{joinReason: "Unknown Error on Channel"}, "realtime join: error",
			func(o *roomOutcome) { o.want(map[string]int64{"connect_failed": 5, "connections": 0}) }},
		{"echo", realtimeFault{self: true}, "", func(o *roomOutcome) {
			if got, all := o.count("unexpected"), o.count("published"); got < all-2 || got > all {
				o.t.Errorf("%d unexpected of %d published", got, all)
			}
		}},
		{"phx_close", realtimeFault{closes: 20}, "realtime phx_close",
			func(o *roomOutcome) { o.want(map[string]int64{"connections_lost": 1}) }},
		{"rate limit", realtimeFault{closes: 20, limits: true}, "realtime rate limit",
			func(o *roomOutcome) { o.want(map[string]int64{"connections_lost": 1}) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := newRealtime(t, "", c.fault)
			room := realtimeRoom()
			room.Churn, room.Storm, room.Token, room.Publishers = nil, nil, "", 1
			o := roomRun{target: server.URL, users: 5, room: room, wholly: true, drain: 300 * time.Millisecond}.run(t)
			o.even()
			c.check(o)
			if c.class != "" && o.errors[c.class].Count == 0 {
				t.Errorf("errors %+v, want %q", o.errors, c.class)
			}
		})
	}
}

// The heartbeat is due every 25 s, so its answers are looked at by hand.
func TestRealtimeHears(t *testing.T) {
	v := &voice{topic: "realtime:r", ref: "7"}
	for _, c := range []struct {
		data string
		want understood
	}{
		{`{"ref":"7","event":"phx_reply","payload":{"status":"ok","response":{}},"topic":"phoenix"}`, understood{answered: true}},
		{`{"ref":"6","event":"phx_reply","payload":{"status":"ok","response":{}},"topic":"phoenix"}`, understood{}},
		{`{"ref":"1","event":"phx_reply","payload":{"status":"ok","response":{}},"topic":"realtime:r"}`, understood{joined: true}},
		{`{"ref":"1","event":"phx_reply","payload":{"status":"ok"},"topic":"realtime:other"}`, understood{}},
		{`{"ref":"7","event":"phx_reply","payload":{"status":"error"},"topic":"phoenix"}`, understood{failed: &relayError{class: "realtime heartbeat: error"}}},
		{`{"ref":"9","event":"phx_reply","payload":{"status":"error","response":{"reason":"Unauthorized: no"}},"topic":"realtime:r"}`, understood{failed: &relayError{class: "realtime reply: Unauthorized"}}},
		{`{"event":"phx_error","payload":{},"topic":"realtime:r"}`, understood{failed: &relayError{class: "realtime phx_error", final: true}}},
		{`{"event":"system","payload":{"status":"error","message":"Token has expired"},"topic":"realtime:r"}`, understood{failed: &relayError{class: "realtime system error"}}},
		{`{"event":"system","payload":{"status":"ok","message":"Subscribed to PostgreSQL"},"topic":"realtime:r"}`, understood{}},
		{`{"event":"presence_diff","payload":{"joins":{},"leaves":{}},"topic":"realtime:r","ref":null}`, understood{}},
		{`["1","1","realtime:r","phx_reply",{"status":"ok"}]`, understood{}},
		{`not JSON`, understood{}},
	} {
		got := realtime{}.hear(v, []byte(c.data))
		if got.joined != c.want.joined || got.answered != c.want.answered || (got.failed == nil) != (c.want.failed == nil) {
			t.Errorf("%s: heard %+v, want %+v", c.data, got, c.want)
			continue
		}
		if got.failed != nil && (got.failed.class != c.want.failed.class || got.failed.final != c.want.failed.final) {
			t.Errorf("%s: failed %+v, want %+v", c.data, got.failed, c.want.failed)
		}
	}
}

// A centrifugoFault is what a Centrifugo of the tests does wrong.
type centrifugoFault struct {
	denies     bool // subscriptions
	disconnect int  // a client, after so many commands
	limits     bool // every tenth publish is refused
}

// newCentrifugo is a server of Centrifugo's JSON protocol, which pings often, batches
// and insists on its pongs.
func newCentrifugo(t *testing.T, fault centrifugoFault) *hub {
	return newHub(t, func(c *hubClient, data []byte) {
		for _, line := range strings.Split(string(data), "\n") {
			if line == "{}" {
				continue // a pong
			}
			var cmd struct {
				ID        uint32
				Connect   *struct{ Token string }
				Subscribe *struct{ Channel string }
				Publish   *struct {
					Channel string
					Data    json.RawMessage
				}
			}
			if err := json.Unmarshal([]byte(line), &cmd); err != nil || cmd.ID == 0 {
				t.Errorf("a command that is none: %s", line)
			}
			switch {
			case cmd.Connect != nil:
				c.say(`{"id":%d,"connect":{"client":"c","version":"6.0.0","ping":25,"pong":true}}`, cmd.ID)
			case cmd.Subscribe != nil && fault.denies:
				c.say(`{"id":%d,"error":{"code":103,"message":"permission denied"}}`, cmd.ID)
			case cmd.Subscribe != nil:
				c.join(cmd.Subscribe.Channel)
				c.say("{\"id\":%d,\"subscribe\":{}}\n{}", cmd.ID)
			case cmd.Publish != nil && fault.limits && cmd.ID%10 == 0:
				c.say(`{"id":%d,"error":{"code":111,"message":"too many requests"}}`, cmd.ID)
			case cmd.Publish != nil:
				if fault.disconnect > 0 && c.n > fault.disconnect {
					c.say(`{"push":{"disconnect":{"code":3501,"reason":"bad request"}}}`)
					continue
				}
				c.cast(cmd.Publish.Channel, fmt.Sprintf("{}\n"+`{"push":{"channel":%q,"pub":{"data":%s}}}`, cmd.Publish.Channel, cmd.Publish.Data), true)
				c.say(`{"id":%d,"publish":{}}`, cmd.ID)
			default:
				t.Errorf("an unknown command: %s", line)
			}
		}
	})
}

func centrifugoRoom() scenario.Room {
	room := aLivelyRoom()
	room.Path, room.Speaks, room.Topic, room.Echo = "/connection/websocket", scenario.SpeaksCentrifugo, "chat:{{ .Room }}", true
	return room
}

func TestRoomsCentrifugo(t *testing.T) {
	t.Parallel()
	server := newCentrifugo(t, centrifugoFault{})
	o := roomRun{target: server.URL, users: 13, room: centrifugoRoom(), wholly: true, measure: 2 * time.Second}.run(t)
	o.even()
	o.want(map[string]int64{
		"lost": 0, "duplicated": 0, "reordered": 0, "unexpected": 0, "foreign": 0, "connect_failed": 0,
		"connections_lost": 0, "storm_away": 0, "storm_back": o.count("storm_cut"), "unclean_closes": 0,
	})
	if echoed, all := o.count("echoed"), o.count("published"); echoed < all-6 || echoed > all || echoed == 0 {
		t.Errorf("%d echoed of %d published", echoed, all)
	}
	// A ping beside each publication, and the answers to those published.
	if n := o.count("control"); n < o.count("received") {
		t.Errorf("%d control messages beside %d publications", n, o.count("received"))
	}
	for class := range o.errors {
		if class != "publish failed: "+cutByStorm {
			t.Errorf("error %q", class)
		}
	}
}

func TestRoomsCentrifugoFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fault centrifugoFault
		class string
		check func(o *roomOutcome)
	}{
		{"denied", centrifugoFault{denies: true}, "centrifugo subscribe: error 103",
			func(o *roomOutcome) { o.want(map[string]int64{"connect_failed": 5, "connections": 0}) }},
		{"disconnected", centrifugoFault{disconnect: 20}, "centrifugo disconnect 3501",
			func(o *roomOutcome) { o.want(map[string]int64{"connections_lost": 1}) }},
		{"limited", centrifugoFault{limits: true}, "centrifugo error 111", func(o *roomOutcome) {
			if n := o.errors["centrifugo error 111"].Count; o.count("lost") != 4*n || n < 5 {
				o.t.Errorf("lost %d to %d refusals", o.count("lost"), n)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := newCentrifugo(t, c.fault)
			room := centrifugoRoom()
			room.Churn, room.Storm, room.Publishers = nil, nil, 1
			room.Settle = 0
			o := roomRun{target: server.URL, users: 5, room: room, wholly: true, drain: 300 * time.Millisecond}.run(t)
			o.even()
			c.check(o)
			if o.errors[c.class].Count == 0 {
				t.Errorf("errors %+v, want %q", o.errors, c.class)
			}
		})
	}
}

// A protocol that only the scenario knows: messages as text, a join to be granted, a
// heartbeat with its answer, pings by message.
func TestRoomsEnvelope(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		grants, mute bool
	}{{"good", true, false}, {"refuses", false, false}, {"mute", true, true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			heard := make(map[string]int)
			server := newHub(t, func(c2 *hubClient, data []byte) {
				var msg struct {
					Op, Room, Data string
					Ref            int
				}
				if err := json.Unmarshal(data, &msg); err != nil || msg.Ref < 1 {
					t.Errorf("heard %s", data)
				}
				mu.Lock()
				heard[msg.Op]++
				mu.Unlock()
				switch {
				case msg.Op == "join" && !c.grants:
					c2.say(`{"op":"no"}`)
				case msg.Op == "join":
					c2.join(msg.Room)
					c2.say(`{"op":"welcome"}`)
					c2.say(`{"op":"ping?"}`)
				case msg.Op == "beat" && !c.mute:
					c2.say(`{"op":"beaten"}`)
				case msg.Op == "say":
					text, _ := json.Marshal(msg.Data)
					c2.cast(c2.topic, fmt.Sprintf(`{"op":"said","data":%s}`, text), false)
				}
			})
			room := aRoom()
			room.Path = "/any"
			room.Envelope = &scenario.Envelope{
				Hello:     []string{`{"op":"join","room":{{ .Room | json }},"ref":{{ .Ref }}}`},
				Joined:    "welcome",
				Refused:   []string{`"op":"no"`},
				Publish:   `{"op":"say","data":{{ .MessageText }},"ref":{{ .Ref }}}`,
				Heartbeat: &scenario.Heartbeat{Every: scenario.Duration(50 * time.Millisecond), Send: `{"op":"beat","ref":{{ .Ref }}}`, Answer: "beaten"},
				Reply:     []scenario.AutoReply{{On: "ping?", Send: `{"op":"pong","ref":{{ .Ref }}}`}},
				Leave:     `{"op":"leave","ref":{{ .Ref }}}`,
			}
			o := roomRun{target: server.URL, users: 5, room: room, wholly: true, measure: 525 * time.Millisecond}.run(t)
			o.even()
			mu.Lock()
			defer mu.Unlock()
			if !c.grants {
				o.want(map[string]int64{"connect_failed": 5, "connections": 0})
				if o.errors[classRefusedByRelay].Count != 5 {
					t.Errorf("errors %+v", o.errors)
				}
				return
			}
			o.want(map[string]int64{"lost": 0, "unexpected": 0, "foreign": 0, "connections": 5})
			if heard["join"] != 5 || heard["leave"] != 5 || heard["pong"] != 5 || int64(heard["say"]) != o.count("published") || o.samples("fanout") == 0 {
				t.Errorf("the relay heard %v, %d published", heard, o.count("published"))
			}
			beats := o.count("heartbeats")
			if beats < 35 || beats > 52 || int64(heard["beat"]) != beats {
				t.Errorf("%d heartbeats, the relay heard %d", beats, heard["beat"])
			}
			if n := o.samples("heartbeat_rtt"); c.mute && n != 0 || !c.mute && (n < beats-5 || n > beats) {
				t.Errorf("%d answers of %d heartbeats", n, beats)
			}
			if c.mute {
				o.want(map[string]int64{"heartbeats_missed": beats - 5})
			}
		})
	}
}

// What a wrapping makes is what its template would.
func TestWrapping(t *testing.T) {
	message := appendMessage(nil, roomMessage{run: 42, seq: 7, planned: 8}, 100)
	quoted, err := json.Marshal(string(message))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ template, want string }{
		{"{{ .Message }}", string(message)},
		{`[{{ .Ref }},{{ .Message }}]`, "[9," + string(message) + "]"},
		{`{"a":{{ .MessageText }},"b":"{{ .Ref }}"}`, `{"a":` + string(quoted) + `,"b":"9"}`},
		{`{{ .Ref }}{{ .Ref }}{{ .Message }}{{ .Message }}{{ .Room }}`, "99" + string(message) + string(message) + "r"},
	} {
		e, err := newEnvelope(&scenario.Envelope{Publish: c.template})
		if err != nil {
			t.Fatal(err)
		}
		w, err := e.wrap(&voice{data: scenario.Data{Room: "r"}})
		if err != nil {
			t.Fatal(err)
		}
		if got := string(w.append(nil, message, 9)); got != c.want {
			t.Errorf("%s gives %s, want %s", c.template, got, c.want)
		}
		if msg, _, ok := nextMessage(w.append(nil, message, 9)); !ok || msg.seq != 7 {
			t.Errorf("%s: the message in it is not found", c.template)
		}
	}
}

// A message in an envelope allocates no more than one without: nothing.
func TestPublishInAnEnvelopeDoesNotAllocate(t *testing.T) {
	const n = 3 * slotsPerChunk
	p, _, far := wiredRoom(t, n+1)
	rec := engine.NewRecorder(wsMetrics(), 0)
	var err error
	v := &voice{topic: "realtime:r"}
	if p.wrap, err = (realtime{}).wrap(v); err != nil {
		t.Fatal(err)
	}
	p.member.habits = &habits{voice: v}
	sent := make([]byte, 4096)
	allocs := testing.AllocsPerRun(n, func() {
		p.publish(t.Context(), rec, time.Second)
		if _, err := far[0].Read(sent); err != nil {
			t.Fatal(err)
		}
		p.slots.arrive(p.reserved-1, time.Second)
	})
	if allocs != 0 {
		t.Errorf("%v allocations for a message published", allocs)
	}
}

// Nothing that a relay says can upset a member.
func FuzzHear(f *testing.F) {
	for _, text := range []string{
		`{"ref":"1","event":"phx_reply","payload":{"status":"error","response":{"reason":"A: b"}},"topic":"realtime:r"}`,
		`{"id":2,"error":{"code":103}}`, `{"push":{"disconnect":{"code":3000}}}`, "{}\n{}", `{"id":1,"push":null}`,
	} {
		f.Add([]byte(text))
	}
	e, err := newEnvelope(&scenario.Envelope{Joined: "ok", Refused: []string{"no"}, Reply: []scenario.AutoReply{{On: "?", Send: "!"}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v := &voice{topic: "realtime:r", ref: "1"}
		for _, s := range []speech{realtime{}, centrifugo{}, e} {
			for line := range messagesOf(s, data) {
				if h := s.hear(v, line); h.failed != nil && (h.failed.class == "" || h.joined) {
					t.Errorf("%T hears %+v of %q", s, h, line)
				}
			}
		}
	})
}
