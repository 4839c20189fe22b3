package driver

import (
	"encoding/binary"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/frame"
)

// A pulse is what a member sends every so often to be answered: a WebSocket ping, or
// a heartbeat of the relay's protocol. One whose answer has not come when the next
// is due is missed.
type pulse struct {
	every   time.Duration // 0 for none
	next    time.Duration // unset for never
	sent    time.Duration
	number  uint64 // of the latest
	ref     string // of the latest, where the relay's answer names it
	awaited bool
}

// begin has the first pulse of a stay a while from now.
func (p *pulse) begin(now time.Duration) {
	p.awaited, p.next = false, unset
	if p.every > 0 {
		p.next = now + p.every
	}
}

// beat notes that one is sent now, and reports whether the one before was missed.
func (p *pulse) beat(now time.Duration) (missed bool) {
	missed = p.awaited
	p.number++
	p.sent, p.awaited = now, true
	if p.next += p.every; p.next <= now {
		p.next = now + p.every
	}
	return missed
}

// answered notes the answer, and returns how long it took; false where none is awaited.
func (p *pulse) answered(at time.Duration) (time.Duration, bool) {
	if !p.awaited {
		return 0, false
	}
	p.awaited = false
	return max(0, at-p.sent), true
}

// sendPing sends a WebSocket ping. Where it cannot be written the reader learns why.
func (m *member) sendPing(rec *engine.Recorder, now time.Duration) {
	p := &m.habits.ping
	if p.beat(now) {
		rec.At(now).Add(wsPongsMissed, 1)
	}
	var payload [8]byte
	binary.BigEndian.PutUint64(payload[:], p.number)
	if err := m.conn.writeControl(frame.Ping, payload[:], time.Now().Add(controlWait)); err != nil {
		p.awaited = false
		return
	}
	rec.At(now).Add(wsPings, 1)
}

// ponged records how long the pong of the latest ping took. One of an earlier ping,
// which is missed already, and one that nobody asked for are passed over.
func (m *member) ponged(rec *engine.Recorder, payload []byte) {
	p := &m.habits.ping
	if len(payload) != 8 || binary.BigEndian.Uint64(payload) != p.number {
		return
	}
	stamp, _ := m.conn.rx.Last()
	if took, ok := p.answered(m.plan.run.Clock.Since(stamp.At)); ok {
		rec.At(p.sent).Record(wsPingRTT, int64(took))
	}
}

// sendBeat sends a heartbeat of the relay's protocol.
func (m *member) sendBeat(rec *engine.Recorder, now time.Duration) {
	p := &m.habits.beat
	if p.beat(now) {
		rec.At(now).Add(wsBeatsMissed, 1)
	}
	said, awaited := m.plan.speech.beat(m.habits.voice)
	p.ref, p.awaited = m.habits.voice.ref, awaited
	if err := m.say(said, time.Now().Add(controlWait)); err != nil {
		p.awaited = false
		return
	}
	rec.At(now).Add(wsBeats, 1)
}
