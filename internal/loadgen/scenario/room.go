package scenario

// A Room is what each user of a websocket workload joins. Users fill room 0,
// then room 1, and so on; the last may be short.
type Room struct {
	// Path begins with "/". A template; .Room names the room.
	Path string `yaml:"path" json:"path"`
	// Headers of the upgrade request by name; each value is a template.
	Headers map[string]string `yaml:"headers,omitempty" json:"headers,omitempty"`
	// Subprotocols are offered with the upgrade, the preferred one first.
	Subprotocols []string `yaml:"subprotocols,omitempty" json:"subprotocols,omitempty"`
	// RequireSubprotocol is the one of them that the answer must agree on; without it
	// any of them, or none, will do.
	RequireSubprotocol string `yaml:"require_subprotocol,omitempty" json:"require_subprotocol,omitempty"`
	// Members a room, publishers included; at least 2.
	Members int `yaml:"members" json:"members"`
	// Publish is the open-loop rate of messages in each room.
	Publish Rate `yaml:"publish" json:"publish"`
	// Publishers a room, taking turns; default 1.
	Publishers int `yaml:"publishers,omitempty" json:"publishers"`
	// Payload is the size of a message's data; default 256B.
	Payload SizeDist `yaml:"payload,omitempty" json:"payload"`
	// Binary sends binary messages instead of text.
	Binary bool `yaml:"binary,omitempty" json:"binary,omitempty"`
	// Settle is how long after its join a member may still miss messages without
	// them counting as lost; default 250ms.
	Settle Duration `yaml:"settle,omitempty" json:"settle"`
	// Echo says that the relay sends a message to its sender, too: default false, with
	// speaks: centrifugo true. Otherwise a sender's own message is unexpected.
	Echo bool `yaml:"echo,omitempty" json:"echo,omitempty"`
	// Ping is how often a member sends a WebSocket ping, whose pong is timed; default: never.
	Ping Duration `yaml:"ping,omitempty" json:"ping,omitempty"`
	// Stalled is how many of the workload's members (the last of each room, room
	// by room) join and then never read.
	Stalled int `yaml:"stalled,omitempty" json:"stalled,omitempty"`
	// Slow is members that take what they are sent at a rate of their own.
	Slow *Slow `yaml:"slow,omitempty" json:"slow,omitempty"`
	// Churn is members that leave and come back all through the run.
	Churn *Churn `yaml:"churn,omitempty" json:"churn,omitempty"`
	// Storm is members that lose their connection at one instant and all reconnect at once.
	Storm *Storm `yaml:"storm,omitempty" json:"storm,omitempty"`
	// Speaks is the relay's protocol: plain (default; a message is a frame, and who is
	// connected has joined), realtime (Supabase Realtime, version 1.0.0) or centrifugo
	// (its JSON protocol).
	Speaks Speech `yaml:"speaks,omitempty" json:"speaks,omitempty"`
	// Topic is the room's name in the protocol of speaks, a template; default
	// realtime:{{ .Room }} for realtime and {{ .Room }} for centrifugo.
	Topic string `yaml:"topic,omitempty" json:"topic,omitempty"`
	// Token is what a member joins with in the protocol of speaks, a template: realtime's
	// access_token, centrifugo's connection token.
	Token string `yaml:"token,omitempty" json:"token,omitempty"`
	// Envelope is a protocol of the relay's own, in place of speaks.
	Envelope *Envelope `yaml:"envelope,omitempty" json:"envelope,omitempty"`
}

// Slow is members that read slowly: the last of each room, room by room, before
// those that are stalled. They never publish. Their deliveries are in figures of
// their own, and do not hold up spread.
type Slow struct {
	// Members of the whole workload; at least 1.
	Members int `yaml:"members" json:"members"`
	// Read is how much such a member takes from its connection, as 4KiB/s.
	Read ByteRate `yaml:"read" json:"read"`
}

// Churn is members that leave with a Close frame and come back. They never
// publish, and are neither slow nor stalled.
type Churn struct {
	// Share of those members that do; default 100%.
	Share Share `yaml:"share,omitempty" json:"share"`
	// Stay is how long such a member is connected, drawn anew each time.
	Stay TimeDist `yaml:"stay" json:"stay"`
	// Away is how long it is gone then; default 1s.
	Away TimeDist `yaml:"away,omitempty" json:"away"`
}

// A Storm cuts connections without a Close frame, as a failing network does, and
// dials them all again at once. Members that only receive are cut first, then
// publishers; those that are slow or stalled never.
type Storm struct {
	// At is the instant, from the beginning of the measured part.
	At Duration `yaml:"at" json:"at"`
	// Share of the members; default 100%.
	Share Share `yaml:"share,omitempty" json:"share"`
	// Retry is how long a member whose attempt failed waits before the next; default 1s.
	Retry Duration `yaml:"retry,omitempty" json:"retry"`
}

// Speech is a protocol that a relay speaks.
type Speech string

// Protocols of relays.
const (
	SpeaksPlain      Speech = "plain"
	SpeaksRealtime   Speech = "realtime"
	SpeaksCentrifugo Speech = "centrifugo"
)

// An Envelope is what a relay wants said around the messages. Its templates see
// {{ .Ref }}, a number that goes up with each of a connection's messages from 1,
// and that of Publish the message itself.
type Envelope struct {
	// Hello is sent after the upgrade, one message each.
	Hello []string `yaml:"hello,omitempty" json:"hello,omitempty"`
	// Joined is text that an incoming message contains once the member has joined.
	// Default: whoever is connected has.
	Joined string `yaml:"joined,omitempty" json:"joined,omitempty"`
	// Refused is text that an incoming message contains when a join, or anything else,
	// is refused; any of them.
	Refused []string `yaml:"refused,omitempty" json:"refused,omitempty"`
	// Publish is a message's wrapping: {{ .Message }} is its JSON object, and
	// {{ .MessageText }} the same as a JSON string with its quotes. Default: {{ .Message }}.
	Publish string `yaml:"publish,omitempty" json:"publish,omitempty"`
	// Heartbeat is sent again and again.
	Heartbeat *Heartbeat `yaml:"heartbeat,omitempty" json:"heartbeat,omitempty"`
	// Reply answers what the relay sends beside messages, as its pings.
	Reply []AutoReply `yaml:"reply,omitempty" json:"reply,omitempty"`
	// Leave is sent before the Close frame.
	Leave string `yaml:"leave,omitempty" json:"leave,omitempty"`
}

// A Heartbeat is a message that keeps a connection alive.
type Heartbeat struct {
	// Every so often; default 25s.
	Every Duration `yaml:"every,omitempty" json:"every"`
	// Send is the message, a template.
	Send string `yaml:"send" json:"send"`
	// Answer is text that the relay's answer contains; without it none is waited for.
	Answer string `yaml:"answer,omitempty" json:"answer,omitempty"`
}

// An AutoReply answers a message of the relay's own.
type AutoReply struct {
	// On is text that it contains.
	On string `yaml:"on" json:"on"`
	// Send is the answer, a template.
	Send string `yaml:"send" json:"send"`
}

// Of is the share of n things, to the nearest whole one: at least one, unless the share is 0.
func (s Share) Of(n int) int {
	if s <= 0 || n <= 0 {
		return 0
	}
	return max(1, min(n, int(float64(s)*float64(n)+0.5)))
}
