package relay

import (
	"bytes"
	"testing"
)

func envelopes() []envelope {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	return []envelope{
		{kind: kindText, origin: origin{1, 2}, number: 3, heard: 2, sender: 4, payload: []byte("hällo")},
		{kind: kindBinary, origin: origin{1<<64 - 1, 1}, number: 1<<64 - 2, sender: 1 << 63, payload: all},
		{kind: kindText, origin: origin{1, 1}, number: 1, sender: 1, payload: []byte{}},
		{kind: kindAnnouncement, origin: origin{7, 8}, number: 9, heard: 9, payload: []byte{}},
		{kind: kindAnnouncement, ask: true, origin: origin{7, 8}, payload: []byte{}},
	}
}

func TestEnvelopeRoundTrip(t *testing.T) {
	for _, e := range envelopes() {
		b := appendEnvelope(nil, &e)
		back, err := parseEnvelope(b)
		if err != nil || !bytes.Equal(back.payload, e.payload) {
			t.Fatalf("%+v came back as %+v, %v", e, back, err)
		}
		back.payload, e.payload = nil, nil
		if back.kind != e.kind || back.ask != e.ask || back.origin != e.origin || back.number != e.number || back.sender != e.sender || back.heard != e.heard {
			t.Errorf("%+v came back as %+v", e, back)
		}
		renumber(b, 77, 76)
		if back, err = parseEnvelope(b); err != nil || back.number != 77 || back.heard != 76 {
			t.Errorf("renumbered to %+v, %v", back, err)
		}
	}
}

func TestEnvelopeRefuses(t *testing.T) {
	message := appendEnvelope(nil, &envelope{kind: kindText, number: 1, sender: 1, payload: []byte("x")})
	announcement := appendEnvelope(nil, &envelope{kind: kindAnnouncement, number: 2, heard: 1})
	with := func(b []byte, at int, v byte) []byte {
		b = bytes.Clone(b)
		b[at] = v
		return b
	}
	for name, b := range map[string][]byte{
		"nothing":                    nil,
		"a short one":                message[:envelopeHeader-1],
		"another version":            with(message, 0, 2),
		"another kind":               with(message, 1, 8),
		"kind 0":                     with(message, 1, 0),
		"a flag":                     with(announcement, 2, 2),
		"a byte that must be 0":      with(message, 3, 1),
		"a message that asks":        with(message, 2, 1),
		"a message without a number": with(message, envelopeNumberAt+7, 0),
		"a payload announced":        append(bytes.Clone(announcement), 'x'),
		"more heard than said":       with(announcement, envelopeNumberAt+15, 3),
		"heard before it is said":    with(message, envelopeNumberAt+15, 1),
		"a sender announced":         with(announcement, envelopeHeader-1, 1),
		"the last number":            appendEnvelope(nil, &envelope{kind: kindText, number: 1<<64 - 1}),
	} {
		if e, err := parseEnvelope(b); err == nil {
			t.Errorf("%s: read as %+v", name, e)
		}
	}
}

// What is read is what would be written, byte for byte.
func FuzzParseEnvelope(f *testing.F) {
	for _, e := range envelopes() {
		f.Add(appendEnvelope(nil, &e))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseEnvelope(b)
		if err != nil {
			return
		}
		if again := appendEnvelope(nil, &e); !bytes.Equal(again, b) {
			t.Fatalf("%x read as %+v, written as %x", b, e, again)
		}
	})
}
