package scenario

import (
	"slices"
	"strings"
	"time"
)

// mostMembers is the largest room.
const mostMembers = 100_000

// completeRoom puts the defaults of a room in.
func (c *checker) completeRoom(at string, r *Room) {
	if !c.given(at + ".publishers") {
		r.Publishers = 1
	}
	if !c.given(at + ".payload") {
		r.Payload = SizeDist{Min: 256, Max: 256}
	}
	if !c.given(at + ".settle") {
		r.Settle = Duration(250 * time.Millisecond)
	}
	if r.Speaks == SpeaksCentrifugo && !c.given(at+".echo") {
		r.Echo = true
	}
	if !c.given(at + ".topic") {
		switch r.Speaks {
		case SpeaksRealtime:
			r.Topic = "realtime:{{ .Room }}"
		case SpeaksCentrifugo:
			r.Topic = "{{ .Room }}"
		}
	}
	if k := r.Churn; k != nil {
		if !c.given(at + ".churn.share") {
			k.Share = 1
		}
		if !c.given(at + ".churn.away") {
			k.Away = Every(time.Second)
		}
	}
	if s := r.Storm; s != nil {
		if !c.given(at + ".storm.share") {
			s.Share = 1
		}
		if !c.given(at + ".storm.retry") {
			s.Retry = Duration(time.Second)
		}
	}
	if e := r.Envelope; e != nil && e.Heartbeat != nil && !c.given(at+".envelope.heartbeat.every") {
		e.Heartbeat.Every = Duration(25 * time.Second)
	}
}

// room checks what a room's keys say together.
func (c *checker) room(at string, w *Workload) {
	r := w.Room
	c.within(at+".members", r.Members, 2, mostMembers)
	c.positive(at+".publish", r.Publish > 0)
	if c.good(at + ".members") {
		c.within(at+".publishers", r.Publishers, 1, max(r.Members, 1))
	}
	usersKnown := c.good(strings.TrimSuffix(at, "room") + "load.users")
	if usersKnown {
		c.within(at+".stalled", r.Stalled, 0, max(w.Load.Users-1, 0))
	}
	c.positive(at+".ping", r.Ping > 0)
	c.subprotocols(at, r)
	c.habits(at, w, usersKnown && !c.bad[at+".members"] && !c.bad[at+".publishers"] && !c.bad[at+".stalled"])
	c.speech(at, r)
}

// habits checks those of a room's members that do more than stay and read.
func (c *checker) habits(at string, w *Workload, countable bool) {
	r := w.Room
	receivers := 0
	for first := 0; countable && r.Members > 0 && first < w.Load.Users; first += r.Members {
		receivers += max(0, min(r.Members, w.Load.Users-first)-r.Publishers)
	}
	if s := r.Slow; s != nil {
		c.positive(at+".slow.read", s.Read > 0)
		c.within(at+".slow.members", s.Members, 1, maxUsers)
		if countable && c.good(at+".slow.members") && s.Members+r.Stalled > receivers {
			c.wrong(at+".slow.members", "%d slow and %d stalled members: only %d members do not publish", s.Members, r.Stalled, receivers)
		}
	}
	if k := r.Churn; k != nil && !c.bad[at+".churn"] {
		c.positive(at+".churn.stay", k.Stay.Max() > 0)
		c.positive(at+".churn.share", k.Share > 0)
		slow := 0
		if r.Slow != nil {
			slow = r.Slow.Members
		}
		if countable && receivers <= r.Stalled+slow {
			c.wrongKey(at+".churn", "nobody could leave: every member publishes, or is slow or stalled")
		}
	}
	if s := r.Storm; s != nil && !c.bad[at+".storm"] {
		c.positive(at+".storm.share", s.Share > 0)
		c.positive(at+".storm.retry", s.Retry > 0)
		if total := c.scenario.Duration; c.good(at+".storm.at") && total > 0 && s.At >= total {
			c.wrong(at+".storm.at", "is not within the duration of %s", total)
		}
	}
}

// subprotocols checks what the upgrade offers.
func (c *checker) subprotocols(at string, r *Room) {
	path := at + ".subprotocols"
	for i, name := range r.Subprotocols {
		item := c.item(path, i)
		switch {
		case !c.good(item):
		case !tokenSyntax.MatchString(name):
			c.wrong(item, "%q is no subprotocol's name", name)
		case slices.Contains(r.Subprotocols[:i], name):
			c.wrong(item, "%q is offered twice", name)
		}
	}
	if c.good(path) && len(r.Subprotocols) == 0 {
		c.wrong(path, "want at least one name")
	}
	if required := at + ".require_subprotocol"; c.good(required) && !slices.Contains(r.Subprotocols, r.RequireSubprotocol) {
		c.wrong(required, "%q is not among the subprotocols that are offered", r.RequireSubprotocol)
	}
	for name := range r.Headers {
		if strings.EqualFold(name, "Sec-WebSocket-Protocol") && len(r.Subprotocols) > 0 {
			c.wrongKey(join(at+".headers", name), "subprotocols says this; leave one of them out")
		}
	}
}

// speech checks the protocol that the relay speaks.
func (c *checker) speech(at string, r *Room) {
	preset := r.Speaks == SpeaksRealtime || r.Speaks == SpeaksCentrifugo
	if !preset && !c.bad[at+".speaks"] {
		for _, key := range []string{"topic", "token"} {
			if c.given(join(at, key)) {
				c.wrongKey(join(at, key), "goes only with speaks: realtime or centrifugo")
			}
		}
	}
	if preset && c.given(at+".envelope") {
		c.wrongKey(at+".envelope", "speaks: %s has an envelope of its own; leave one of them out", r.Speaks)
	}
	if r.Speaks == SpeaksRealtime && c.good(at+".path") && strings.Contains(r.Path, "vsn=2") {
		c.wrong(at+".path", "asks for version 2 of Realtime's protocol; speaks: realtime is version 1.0.0, vsn=1.0.0")
	}
	if preset && r.Binary {
		c.wrongKey(at+".binary", "speaks: %s is a protocol of text messages", r.Speaks)
	}
	e := r.Envelope
	if e == nil || c.bad[at+".envelope"] {
		return
	}
	at += ".envelope"
	if text := at + ".joined"; c.good(text) && e.Joined == "" {
		c.wrong(text, "everything contains nothing; give some text")
	}
	for i, text := range e.Refused {
		if item := c.item(at+".refused", i); c.good(item) && text == "" {
			c.wrong(item, "everything contains nothing; give some text")
		}
	}
	if h := e.Heartbeat; h != nil {
		c.positive(at+".heartbeat.every", h.Every > 0)
	}
	for i, reply := range e.Reply {
		if on := c.item(at+".reply", i) + ".on"; c.good(on) && reply.On == "" {
			c.wrong(on, "everything contains nothing; give some text")
		}
	}
}

// roomTemplates runs the templates of what a room's members say with sample data.
func (c *checker) roomTemplates(at string, r *Room, sample *Data, run bool) {
	said := *sample
	said.Ref = "1"
	c.template(at+".topic", r.Topic, &said, run)
	if out, ok := c.template(at+".token", r.Token, &said, run); ok && strings.ContainsFunc(out, isControl) {
		c.wrong(at+".token", "a token has no line breaks or control characters")
	}
	e := r.Envelope
	if e == nil || c.bad[at+".envelope"] {
		return
	}
	at += ".envelope"
	for i, text := range e.Hello {
		c.template(c.item(at+".hello", i), text, &said, run)
	}
	c.template(at+".leave", e.Leave, &said, run)
	if h := e.Heartbeat; h != nil {
		c.template(at+".heartbeat.send", h.Send, &said, run)
	}
	for i, reply := range e.Reply {
		c.template(c.item(at+".reply", i)+".send", reply.Send, &said, run)
	}
	said.Message, said.MessageText = `{"sample":"1"}`, `"{\"sample\":\"1\"}"`
	out, ok := c.template(at+".publish", e.Publish, &said, run)
	if ok && !strings.Contains(out, said.Message) && !strings.Contains(out, said.MessageText) {
		c.wrong(at+".publish", "does not carry the message: write {{ .Message }} or {{ .MessageText }} where it belongs")
	}
}
