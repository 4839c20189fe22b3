package driver

import (
	"bytes"
	"fmt"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// An envelope is the speech that a scenario spells out.
type envelope struct {
	hellos         []*scenario.Template
	joined, answer []byte
	refused        [][]byte
	publish        *scenario.Template
	heartbeat      *scenario.Template // nil for none
	period         time.Duration
	replies        []envelopeReply
	goodbye        *scenario.Template // nil for none
}

type envelopeReply struct {
	on   []byte
	send *scenario.Template
}

func newEnvelope(e *scenario.Envelope) (*envelope, error) {
	out := &envelope{joined: []byte(e.Joined)}
	compile := func(name, text string) (*scenario.Template, error) {
		t, err := scenario.CompileTemplate("envelope."+name, text)
		if err != nil {
			return nil, fmt.Errorf("room envelope %s: %w", name, err)
		}
		return t, nil
	}
	var err error
	for i, text := range e.Hello {
		t, err := compile(fmt.Sprintf("hello[%d]", i), text)
		if err != nil {
			return nil, err
		}
		out.hellos = append(out.hellos, t)
	}
	for _, text := range e.Refused {
		out.refused = append(out.refused, []byte(text))
	}
	publish := e.Publish
	if publish == "" {
		publish = "{{ .Message }}"
	}
	if out.publish, err = compile("publish", publish); err != nil {
		return nil, err
	}
	if h := e.Heartbeat; h != nil {
		out.period, out.answer = time.Duration(h.Every), []byte(h.Answer)
		if out.heartbeat, err = compile("heartbeat.send", h.Send); err != nil {
			return nil, err
		}
	}
	for i, r := range e.Reply {
		send, err := compile(fmt.Sprintf("reply[%d].send", i), r.Send)
		if err != nil {
			return nil, err
		}
		out.replies = append(out.replies, envelopeReply{[]byte(r.On), send})
	}
	if e.Leave != "" {
		if out.goodbye, err = compile("leave", e.Leave); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// text renders a template with the next number.
func (v *voice) text(t *scenario.Template) ([]byte, error) {
	data := v.data
	data.Ref = v.nextText()
	return t.Append(nil, &data)
}

// spoken is text where the template has been tried: nil where it fails all the same.
func (v *voice) spoken(t *scenario.Template) []byte {
	if t == nil {
		return nil
	}
	b, err := v.text(t)
	if err != nil {
		return nil
	}
	return b
}

func (e *envelope) hello(v *voice) (all [][]byte, err error) {
	for _, t := range e.hellos {
		b, err := v.text(t)
		if err != nil {
			return nil, fmt.Errorf("hello: %w", err)
		}
		all = append(all, b)
	}
	return all, nil
}

func (e *envelope) awaitsJoin() bool { return len(e.joined) > 0 }

func (e *envelope) wrap(v *voice) (wrapping, error) {
	data := v.data
	data.Message, data.MessageText, data.Ref = markMessage, markText, markRef
	b, err := e.publish.Append(nil, &data)
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	return newWrapping(string(b)), nil
}

func (e *envelope) every() time.Duration { return e.period }

func (e *envelope) beat(v *voice) ([]byte, bool) { return v.spoken(e.heartbeat), len(e.answer) > 0 }

func (e *envelope) leave(v *voice) []byte { return v.spoken(e.goodbye) }

func (e *envelope) batches() bool { return false }

// Classes of what an envelope's relay refuses.
const classRefusedByRelay = "refused by the relay"

func (e *envelope) hear(v *voice, data []byte) (h understood) {
	for _, text := range e.refused {
		if bytes.Contains(data, text) {
			h.failed = &relayError{class: classRefusedByRelay, text: string(data)}
			return h
		}
	}
	h.joined = len(e.joined) > 0 && bytes.Contains(data, e.joined)
	h.answered = len(e.answer) > 0 && bytes.Contains(data, e.answer)
	for _, r := range e.replies {
		if bytes.Contains(data, r.on) {
			h.reply = v.spoken(r.send)
			break
		}
	}
	return h
}
