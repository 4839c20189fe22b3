package driver

import (
	"encoding/json"
	"regexp"
	"strings"
	"time"
)

// realtime speaks Supabase Realtime's protocol in version 1.0.0, whose messages are
// JSON objects (https://supabase.com/docs/guides/realtime/protocol): a member joins
// the room's topic with phx_join, sends broadcasts without asking for them itself or
// for their acknowledgement, and a heartbeat every 25 s.
type realtime struct{}

// realtimeBeat is how often a client is to send a heartbeat at least.
const realtimeBeat = 25 * time.Second

// realtimeJoinRef is the number of a connection's join.
const realtimeJoinRef = "1"

// A realtimeSaying is a message from a member to the server.
type realtimeSaying struct {
	Topic   string `json:"topic"`
	Event   string `json:"event"`
	Payload any    `json:"payload"`
	Ref     string `json:"ref"`
	JoinRef string `json:"join_ref,omitempty"`
}

func (s realtimeSaying) bytes() []byte {
	b, err := json.Marshal(s)
	if err != nil {
		return nil // texts and maps of them can be written
	}
	return b
}

type emptyPayload struct{}

func (realtime) hello(v *voice) ([][]byte, error) {
	payload := map[string]any{"config": map[string]any{
		"broadcast": map[string]bool{"ack": false, "self": false},
		"presence":  map[string]bool{"enabled": false},
		"private":   false,
	}}
	if v.token != "" {
		payload["access_token"] = v.token
	}
	ref := v.nextText()
	return [][]byte{realtimeSaying{Topic: v.topic, Event: "phx_join", Payload: payload, Ref: ref, JoinRef: ref}.bytes()}, nil
}

func (realtime) awaitsJoin() bool { return true }

func (realtime) wrap(v *voice) (wrapping, error) {
	topic, err := json.Marshal(v.topic)
	if err != nil {
		return nil, err
	}
	return newWrapping(`{"topic":` + string(topic) + `,"event":"broadcast","payload":{"type":"broadcast","event":"edgeload","payload":` +
		markMessage + `},"ref":"` + markRef + `","join_ref":"` + realtimeJoinRef + `"}`), nil
}

func (realtime) every() time.Duration { return realtimeBeat }

func (realtime) beat(v *voice) ([]byte, bool) {
	v.ref = v.nextText()
	return realtimeSaying{Topic: "phoenix", Event: "heartbeat", Payload: emptyPayload{}, Ref: v.ref}.bytes(), true
}

func (realtime) leave(v *voice) []byte {
	return realtimeSaying{Topic: v.topic, Event: "phx_leave", Payload: emptyPayload{}, Ref: v.nextText(), JoinRef: realtimeJoinRef}.bytes()
}

func (realtime) batches() bool { return false }

// A realtimeHeard is a message from the server.
type realtimeHeard struct {
	Topic   string `json:"topic"`
	Event   string `json:"event"`
	Ref     string `json:"ref"`
	Payload struct {
		Status   string          `json:"status"`
		Message  string          `json:"message"`
		Response json.RawMessage `json:"response"`
	} `json:"payload"`
}

// realtimeCode is what a refusal's reason begins with, as in "Unauthorized: …".
var realtimeCode = regexp.MustCompile(`^[A-Za-z]{1,64}(:|$)`)

func (realtime) hear(v *voice, data []byte) (h understood) {
	var msg realtimeHeard
	if json.Unmarshal(data, &msg) != nil {
		return h // of another kind
	}
	fail := func(class string, final bool) {
		h.failed = &relayError{class: "realtime " + class, text: excerpt(string(data)), final: final}
	}
	ok := msg.Payload.Status == "ok"
	switch {
	case msg.Event == "phx_reply" && msg.Topic == "phoenix":
		h.answered = ok && msg.Ref == v.ref
		if !ok {
			fail("heartbeat: "+msg.code(), false)
		}
	case msg.Topic != v.topic:
	case msg.Event == "phx_reply" && msg.Ref == realtimeJoinRef:
		if h.joined = ok; !ok {
			fail("join: "+msg.code(), false)
		}
	case msg.Event == "phx_reply" && !ok:
		fail("reply: "+msg.code(), false)
	case msg.Event == "phx_error" || msg.Event == "phx_close":
		fail(msg.Event, true)
	case msg.Event == "system" && msg.Payload.Status == "error":
		if strings.Contains(msg.Payload.Message, "Too many messages per second") {
			fail("rate limit", false)
		} else {
			fail("system error", false)
		}
	}
	return h
}

// code is the error code of a reply that refuses; "error" where it names none.
func (m *realtimeHeard) code() string {
	var response struct {
		Reason string `json:"reason"`
	}
	if json.Unmarshal(m.Payload.Response, &response) == nil {
		if code := realtimeCode.FindString(response.Reason); code != "" {
			return strings.TrimSuffix(code, ":")
		}
	}
	return "error"
}
