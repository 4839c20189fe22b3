package driver

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/frame"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// A speech is what a relay wants said around the messages of a room. Its methods may
// be called from many goroutines at once.
type speech interface {
	// hello is what a member says once it is connected.
	hello(v *voice) ([][]byte, error)
	// awaitsJoin says that a member has joined only when the relay says so.
	awaitsJoin() bool
	// wrap is what goes around the messages of a publisher.
	wrap(v *voice) (wrapping, error)
	// every is the time between heartbeats, 0 for none.
	every() time.Duration
	// beat is a heartbeat; awaited says that the relay answers it.
	beat(v *voice) (said []byte, awaited bool)
	// leave is what a member says before it closes; nil for nothing.
	leave(v *voice) []byte
	// hear understands one message that is none of ours.
	hear(v *voice, data []byte) understood
	// batches says that a frame may hold several messages, one a line.
	batches() bool
}

// understood is what a relay's own message means to a member.
type understood struct {
	joined   bool
	answered bool        // the latest heartbeat was
	reply    []byte      // what the relay wants to hear
	failed   *relayError // what it refuses, if anything
}

// A relayError is something that a relay refuses, by its own protocol.
type relayError struct {
	class, text string
	final       bool // the member is out of the room
}

func (e *relayError) Error() string { return e.text }

// newSpeech returns what the room's relay speaks; nil where a message is a frame and
// nothing else is said.
func newSpeech(r *scenario.Room) (speech, error) {
	switch {
	case r.Speaks == scenario.SpeaksRealtime:
		return realtime{}, nil
	case r.Speaks == scenario.SpeaksCentrifugo:
		return centrifugo{}, nil
	case r.Envelope != nil:
		return newEnvelope(r.Envelope)
	}
	return nil, nil
}

// A voice is what one member needs to speak.
type voice struct {
	data         scenario.Data
	topic, token string // rendered
	refs         atomic.Uint64
	ref          string // of the latest heartbeat; the reader's own
}

// nextRef numbers what a connection says, from 1.
func (v *voice) nextRef() uint64 { return v.refs.Add(1) }

// nextText is nextRef as text.
func (v *voice) nextText() string { return strconv.FormatUint(v.nextRef(), 10) }

// A speaker makes the voices of a workload's members.
type speaker struct{ topic, token *scenario.Template }

func newSpeaker(r *scenario.Room) (s speaker, err error) {
	if s.topic, err = scenario.CompileTemplate("topic", r.Topic); err != nil {
		return s, fmt.Errorf("room topic: %w", err)
	}
	if s.token, err = scenario.CompileTemplate("token", r.Token); err != nil {
		return s, fmt.Errorf("room token: %w", err)
	}
	return s, nil
}

func (s speaker) voice(data scenario.Data) (*voice, error) {
	v := &voice{data: data}
	for _, t := range []struct {
		from *scenario.Template
		to   *string
	}{{s.topic, &v.topic}, {s.token, &v.token}} {
		b, err := t.from.Append(nil, &data)
		if err != nil {
			return nil, err
		}
		*t.to = string(b)
	}
	return v, nil
}

// A wrapping is what goes around a message: text, and the places of the message and
// of its number.
type wrapping []wrapped

type wrapped struct {
	before string // text
	then   wrapPlace
}

// A wrapPlace is what stands behind a text.
type wrapPlace uint8

const (
	placeEnd wrapPlace = iota
	placeMessage
	placeText // the message as a JSON string
	placeRef
)

// Marks of the places in a text that is made into a wrapping: nothing that anybody
// would write.
const (
	markMessage = "\x00\x01edgeload-message\x00"
	markText    = "\x00\x01edgeload-text\x00"
	markRef     = "\x00\x01edgeload-ref\x00"
)

// newWrapping reads text, in which marks stand for what differs from message to message.
func newWrapping(text string) (w wrapping) {
	for {
		at, next, then := len(text), len(text), placeEnd
		for mark, p := range map[string]wrapPlace{markMessage: placeMessage, markText: placeText, markRef: placeRef} {
			if i := strings.Index(text, mark); i >= 0 && i < at {
				at, next, then = i, i+len(mark), p
			}
		}
		w = append(w, wrapped{text[:at], then})
		if then == placeEnd {
			return w
		}
		text = text[next:]
	}
}

// append appends message in its wrapping to b. It does not allocate where b has room.
func (w wrapping) append(b, message []byte, ref uint64) []byte {
	for _, part := range w {
		b = append(b, part.before...)
		switch part.then {
		case placeMessage:
			b = append(b, message...)
		case placeText:
			b = appendQuoted(b, message)
		case placeRef:
			b = strconv.AppendUint(b, ref, 10)
		case placeEnd:
		}
	}
	return b
}

// appendQuoted appends a message of ours as a JSON string: it has no character to be
// escaped but the quote.
func appendQuoted(b, message []byte) []byte {
	b = append(b, '"')
	for {
		i := bytes.IndexByte(message, '"')
		if i < 0 {
			break
		}
		b = append(b, message[:i]...)
		b = append(b, '\\', '"')
		message = message[i+1:]
	}
	b = append(b, message...)
	return append(b, '"')
}

// hail says hello on a new connection and waits until the member has joined, or was
// refused. What comes of the room meanwhile is passed over.
func (d *webSocket) hail(ctx context.Context, m *member, conn *wsConn, rec *engine.Recorder) error {
	s, v := d.plan.speech, m.habits.voice
	v.refs.Store(0)
	begin := time.Now()
	deadline := begin.Add(d.timeout)
	hello, err := s.hello(v)
	if err != nil {
		return err
	}
	if m.publisher != nil && m.publisher.wrap == nil {
		if m.publisher.wrap, err = s.wrap(v); err != nil {
			return err
		}
	}
	for _, said := range hello {
		if err := conn.writeText(said, deadline); err != nil {
			return err
		}
	}
	if !s.awaitsJoin() {
		return nil
	}
	if err := conn.SetReadDeadline(deadline); err != nil {
		return err
	}
	hurry := func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) } // an error ends the wait as well
	defer context.AfterFunc(ctx, hurry)()
	defer context.AfterFunc(d.stopping, hurry)()
	for joined := false; !joined; {
		data, err := conn.next()
		if err != nil {
			if d.stopping.Err() != nil || ctx.Err() != nil {
				return fmt.Errorf("wait to have joined, cut by the end of the run: %w", context.Canceled)
			}
			return fmt.Errorf("wait to have joined: %w", err)
		}
		for line := range messagesOf(s, data) {
			heard := s.hear(v, line)
			if heard.failed != nil {
				return heard.failed
			}
			if heard.reply != nil {
				if err := conn.writeText(heard.reply, deadline); err != nil {
					return err
				}
			}
			joined = joined || heard.joined
		}
	}
	rec.Record(wsJoin, int64(time.Since(begin)))
	return conn.SetReadDeadline(time.Time{})
}

// messagesOf yields the messages of one frame that carry none of ours.
func messagesOf(s speech, data []byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		if !s.batches() {
			yield(data)
			return
		}
		for len(data) > 0 {
			line, rest, _ := bytes.Cut(data, []byte("\n"))
			data = rest
			if _, _, ours := nextMessage(line); !ours && len(line) > 0 && !yield(line) {
				return
			}
		}
	}
}

// hear takes what a relay says for itself. It counts, and does what is asked for.
func (m *member) hear(rec *engine.Recorder, at time.Duration, data []byte) {
	s, v := m.plan.speech, m.habits.voice
	for line := range messagesOf(s, data) {
		rec.At(at).Add(wsControl, 1)
		heard := s.hear(v, line)
		if heard.answered {
			if took, ok := m.habits.beat.answered(at); ok {
				rec.At(m.habits.beat.sent).Record(wsBeatRTT, int64(took))
			}
		}
		if heard.reply != nil {
			_ = m.say(heard.reply, time.Now().Add(controlWait)) // the reader learns why not
		}
		switch f := heard.failed; {
		case f == nil:
		case f.final:
			m.habits.expelled = f
		default:
			rec.At(at).Error(f.class, excerpt(fmt.Sprintf("%v: %s", m, f.text)))
		}
	}
}

// say sends one message that is none of ours.
func (m *member) say(said []byte, deadline time.Time) error {
	if said == nil {
		return nil
	}
	return m.conn.writeText(said, deadline)
}

// writeText writes one text message.
func (c *wsConn) writeText(said []byte, deadline time.Time) error {
	return c.writeWithin(frame.Append(nil, frame.Text, maskKey(), said), deadline)
}
