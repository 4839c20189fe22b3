package driver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// centrifugo speaks Centrifugo's bidirectional protocol in JSON, version 2
// (https://centrifugal.dev/docs/transports/client_protocol): a member connects and
// subscribes to the room's channel in one go, publishes to it, and answers the
// server's pings. A frame may hold several messages, one a line. Publications come
// back to their publisher.
type centrifugo struct{}

// Numbers of a connection's first commands.
const (
	centrifugoConnect   = 1
	centrifugoSubscribe = 2
)

// centrifugoPing is the empty message that the server pings with, and its answer.
const centrifugoPing = "{}"

func (centrifugo) hello(v *voice) ([][]byte, error) {
	connect := map[string]string{}
	if v.token != "" {
		connect["token"] = v.token
	}
	var all [][]byte
	for _, command := range []map[string]any{
		{"id": v.nextRef(), "connect": connect},
		{"id": v.nextRef(), "subscribe": map[string]string{"channel": v.topic}},
	} {
		b, err := json.Marshal(command)
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}

func (centrifugo) awaitsJoin() bool { return true }

func (centrifugo) wrap(v *voice) (wrapping, error) {
	channel, err := json.Marshal(v.topic)
	if err != nil {
		return nil, err
	}
	return newWrapping(`{"id":` + markRef + `,"publish":{"channel":` + string(channel) + `,"data":` + markMessage + `}}`), nil
}

func (centrifugo) every() time.Duration { return 0 }

func (centrifugo) beat(*voice) ([]byte, bool) { return nil, false }

func (centrifugo) leave(*voice) []byte { return nil }

func (centrifugo) batches() bool { return true }

// A centrifugoHeard is a reply, or a push, which has no id.
type centrifugoHeard struct {
	ID    uint32 `json:"id"`
	Error *struct {
		Code uint32 `json:"code"`
	} `json:"error"`
	Push *struct {
		Channel     string    `json:"channel"`
		Unsubscribe *struct{} `json:"unsubscribe"`
		Disconnect  *struct {
			Code uint32 `json:"code"`
		} `json:"disconnect"`
	} `json:"push"`
}

func (centrifugo) hear(v *voice, data []byte) (h understood) {
	data = bytes.TrimSpace(data)
	if string(data) == centrifugoPing {
		h.reply = data
		return h
	}
	var msg centrifugoHeard
	if json.Unmarshal(data, &msg) != nil {
		return h // of another kind
	}
	fail := func(final bool, format string, args ...any) {
		h.failed = &relayError{class: "centrifugo " + fmt.Sprintf(format, args...), text: excerpt(string(data)), final: final}
	}
	switch {
	case msg.Error != nil && msg.ID == centrifugoConnect:
		fail(false, "connect: error %d", msg.Error.Code)
	case msg.Error != nil && msg.ID == centrifugoSubscribe:
		fail(false, "subscribe: error %d", msg.Error.Code)
	case msg.Error != nil:
		fail(false, "error %d", msg.Error.Code)
	case msg.ID == centrifugoSubscribe:
		h.joined = true
	case msg.Push != nil && msg.Push.Disconnect != nil:
		fail(true, "disconnect %d", msg.Push.Disconnect.Code)
	case msg.Push != nil && msg.Push.Unsubscribe != nil && msg.Push.Channel == v.topic:
		fail(true, "unsubscribe")
	}
	return h
}
