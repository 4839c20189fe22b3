package relay

import (
	"encoding/binary"
	"errors"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// message is one published message: its frame, shared by all receivers.
type message struct {
	frame []byte
	size  int // of the payload, which ends the frame
	kind  int
}

// newMessage frames a payload, which is copied: one frame, whole and not masked, as a
// server sends it (RFC 6455, section 5.2).
func newMessage(kind int, payload []byte) *message {
	n := len(payload)
	frame := make([]byte, 0, 10+n)
	frame = append(frame, 0x80|byte(kind))
	switch {
	case n < 126:
		frame = append(frame, byte(n))
	case n < 1<<16:
		frame = binary.BigEndian.AppendUint16(append(frame, 126), uint16(n))
	default:
		frame = binary.BigEndian.AppendUint64(append(frame, 127), uint64(n))
	}
	return &message{frame: append(frame, payload...), size: n, kind: kind}
}

// payload is what was published.
func (m *message) payload() []byte { return m.frame[len(m.frame)-m.size:] }

// ending is why a peer gets no more messages.
type ending struct {
	code int      // of the Close frame to send; 0 sends none
	text string   // reason in the Close frame
	rule dropRule // by which later deliveries are dropped
	keep bool     // what is already queued is written first
	err  error    // why the connection ended; nil where either side asked for it
}

// errWriteTimeout is why a peer ended that did not read.
var errWriteTimeout = errors.New("write timeout")

// errSlow is why a peer closed by SlowClose ended.
var errSlow = errors.New("slow consumer")

// endSlow is the ending by SlowClose.
func endSlow() *ending {
	return &ending{code: websocket.CloseTryAgainLater, text: errSlow.Error(), rule: dropSlow, err: errSlow}
}

// endShutdown is the ending by Relay.Shutdown.
func endShutdown() *ending {
	return &ending{code: websocket.CloseGoingAway, text: "server shutting down", rule: dropLeft, keep: true}
}

// endStalled is the ending by a write that took too long.
func endStalled(err error) *ending { return &ending{rule: dropSlow, err: err} }

// endLeft is the ending by the peer itself or, where err is not nil, by its
// connection.
func endLeft(err error) *ending { return &ending{rule: dropLeft, err: err} }

// Peer is one member of a room. Publish must be called by one goroutine at a
// time, which is what keeps a sender's order; the other methods may be called
// concurrently.
type Peer struct {
	part    *part
	place   int // index in part.members, -1 after Leave; guarded by the shard's lock
	id      uint64
	stamped bool // told when each message was written

	mu      sync.Mutex // last in the order of locks (shard)
	queue   queue
	end     *ending   // set once
	session *session  // set by Start
	aborted bool      // the connection is cut, or will be
	ping    bool      // one is due
	began   time.Time // when the message being written was taken; zero while none is
	watched bool      // a timer looks whether writing takes too long
	writing bool      // a goroutine writes
	over    bool      // no goroutine may write any more
	written chan struct{}
}

// ID returns the number of the peer, unique in its Relay.
func (p *Peer) ID() uint64 { return p.id }

// Publish passes a message on to everyone in the room but p, as far as the broker
// reaches, and waits for none of them; with Redis it may wait for a place in the
// queue. kind is websocket.TextMessage or websocket.BinaryMessage; payload is
// copied.
func (p *Peer) Publish(kind int, payload []byte) {
	r := p.part.room
	c := &r.shard.counters
	c.received.Add(1)
	c.receivedBytes.Add(uint64(len(payload)))
	r.channel.publish(p, kind, payload)
}

// Leave takes the peer out of its room and drops what waits for it. Leaving
// twice does nothing. A peer that was started leaves by itself.
func (p *Peer) Leave() {
	p.finish(endLeft(nil))
	p.discard()
	r := p.part.room
	if r.shard.remove(p) {
		r.relay.members.Done()
	}
}

// options are those of the relay.
func (p *Peer) options() *Options { return &p.part.room.relay.options }

// counters are those of the room's shard.
func (p *Peer) counters() *counters { return &p.part.room.shard.counters }

// push queues m, or applies the slow-consumer rule.
func (p *Peer) push(m *message) {
	o, c := p.options(), p.counters()
	p.mu.Lock()
	if p.end != nil {
		rule := p.end.rule
		p.mu.Unlock()
		c.drop(rule, 1)
		return
	}
	dropped := 0
	for p.queue.length >= o.QueueMessages || p.queue.length > 0 && p.queue.bytes+m.size > o.QueueBytes {
		if o.Slow == SlowClose {
			queued, size := p.queue.length, p.queue.bytes
			p.mu.Unlock()
			if p.finish(endSlow()) {
				c.slow.Add(1)
				o.Logger.Warn("slow consumer closed", "room", p.part.room.name, "peer", p.id, "queued", queued, "queued_bytes", size)
			}
			c.drop(dropSlow, 1)
			return
		}
		p.queue.pop()
		dropped++
	}
	p.queue.push(m, o.QueueMessages)
	p.write()
	p.mu.Unlock()
	c.drop(dropOldest, dropped)
}

// write starts a writing goroutine where there is none. The caller holds p.mu.
func (p *Peer) write() {
	if p.session != nil && !p.writing && !p.over {
		p.writing = true
		go p.session.write()
	}
}

// turn is what the writing goroutine has to do next: the first of these that is
// set.
type turn struct {
	ping    bool
	message *message
	end     *ending
}

// next returns what is to be written. A ping comes before the messages: a queue
// that is never empty must not keep pings from going out, for the pongs may be all
// the peer says. An empty turn means that the writing goroutine must end: another
// one is started when there is something to write.
func (p *Peer) next() turn {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.began = time.Time{}
	switch {
	case p.over:
	case p.ping:
		p.ping = false
		return turn{ping: true}
	case p.queue.length > 0:
		p.began = time.Now()
		p.watch()
		return turn{message: p.queue.pop()}
	case p.end != nil:
		p.over = true
		return turn{end: p.end}
	default:
		p.writing = false
		return turn{}
	}
	p.stop()
	return turn{}
}

// watch sees to it that a write that takes too long is noticed. One timer serves all
// writes of a busy peer: a deadline for each would be set for nothing nearly every
// time, at a tenth of the write's cost. The caller holds p.mu.
func (p *Peer) watch() {
	if p.watched {
		return
	}
	p.watched = true
	timeout := p.options().WriteTimeout
	if p.session.watch == nil {
		p.session.watch = time.AfterFunc(timeout, p.checkWrite)
	} else {
		p.session.watch.Reset(timeout)
	}
}

// checkWrite cuts a peer off whose write takes too long, or looks again when it may.
func (p *Peer) checkWrite() {
	p.mu.Lock()
	if p.over || p.began.IsZero() {
		p.watched = false
		p.mu.Unlock()
		return
	}
	if left := p.options().WriteTimeout - time.Since(p.began); left > 0 {
		p.session.watch.Reset(left)
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	p.session.stalled(errWriteTimeout)
}

// stop notes that the last writing goroutine ends. The caller holds p.mu.
func (p *Peer) stop() {
	p.over, p.writing = true, false
	if p.written != nil {
		close(p.written)
		p.written = nil
	}
}

// stopped notes that the last writing goroutine ends.
func (p *Peer) stopped() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stop()
}

// settled forbids any more writing and waits for the goroutine that writes.
func (p *Peer) settled() {
	p.mu.Lock()
	p.over = true
	var written chan struct{}
	if p.writing {
		written = make(chan struct{})
		p.written = written
	}
	p.mu.Unlock()
	if written != nil {
		<-written
	}
}

// finish ends the queue: later messages are dropped. Only the first ending
// counts; finish reports whether this was it.
func (p *Peer) finish(e *ending) bool {
	p.mu.Lock()
	if p.end != nil {
		p.mu.Unlock()
		return false
	}
	p.end = e
	dropped := 0
	if !e.keep {
		dropped = p.queue.clear()
	}
	if e.code != 0 {
		p.write()
	}
	p.mu.Unlock()
	p.counters().drop(e.rule, dropped)
	return true
}

// discard drops what waits in the queue of a peer that has ended.
func (p *Peer) discard() {
	p.mu.Lock()
	rule, dropped := p.end.rule, p.queue.clear()
	p.mu.Unlock()
	p.counters().drop(rule, dropped)
}

// abort cuts the connection, or forbids the one that is still to come.
func (p *Peer) abort() {
	p.finish(endLeft(nil))
	p.mu.Lock()
	p.aborted = true
	s := p.session
	p.mu.Unlock()
	if s != nil {
		_ = s.conn.Close() // whoever reads or writes it sees the error
	}
}

// ended returns why the connection of a peer that has ended did so.
func (p *Peer) ended() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.end.err
}

// attach gives the peer its connection; false means that it was aborted.
func (p *Peer) attach(s *session) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.aborted {
		return false
	}
	p.session = s
	s.ping = time.AfterFunc(p.options().PingInterval, p.pingDue)
	if p.queue.length > 0 || p.end != nil {
		p.write()
	}
	return true
}

// pingDue has a ping written, and another one an interval later.
func (p *Peer) pingDue() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return
	}
	p.ping = true
	p.write()
	p.session.ping.Reset(p.options().PingInterval)
}
