package relay

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/gorilla/websocket"
)

// message is one published message: its frame, shared by all receivers, and
// the size of its payload. Where a receiver is stamped the payload itself is there.
type message struct {
	frame   *websocket.PreparedMessage
	size    int
	kind    int
	payload []byte // nil unless a receiver is stamped
}

// ending is why a peer gets no more messages.
type ending struct {
	code int      // of the Close frame to send; 0 sends none
	text string   // reason in the Close frame
	rule dropRule // by which later deliveries are dropped
	keep bool     // what is already queued is written first
	err  error    // what Serve returns; nil where either side asked for the end
}

// errSlow is what Serve returns for a peer closed by SlowClose.
var errSlow = errors.New("slow consumer")

// endSlow is the ending by SlowClose.
func endSlow() *ending {
	return &ending{code: websocket.CloseTryAgainLater, text: errSlow.Error(), rule: dropSlow, err: errSlow}
}

// endShutdown is the ending by Hub.Shutdown.
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
	hub   *Hub
	shard *shard
	room  *room
	place int // index in room.members, -1 after Leave; guarded by the shard's lock
	id    uint64

	stamped bool // told when each message was written

	wake chan struct{} // holds a token when the queue is no longer empty, or end is set

	mu      sync.Mutex
	ring    []*message // grows to at most Options.QueueMessages
	head    int        // index of the oldest message
	length  int
	bytes   int
	end     *ending         // set once
	conn    *websocket.Conn // set by Serve
	aborted bool
}

// ID returns the number of the peer, unique in its Hub.
func (p *Peer) ID() uint64 { return p.id }

// Publish queues a message for everyone in the room but p and returns without
// waiting for any of them. kind is websocket.TextMessage or
// websocket.BinaryMessage; payload is copied. The error says that the message
// could not be framed.
func (p *Peer) Publish(kind int, payload []byte) error {
	c := &p.shard.counters
	c.received.Add(1)
	c.receivedBytes.Add(uint64(len(payload)))

	receivers := p.shard.receivers(p.room)
	others, stamped := 0, false
	for _, q := range receivers {
		if q != p {
			others++
			stamped = stamped || q.stamped
		}
	}
	if others == 0 {
		return nil
	}
	frame, err := websocket.NewPreparedMessage(kind, payload)
	if err != nil {
		return fmt.Errorf("frame message of %d bytes: %w", len(payload), err)
	}
	m := &message{frame: frame, size: len(payload), kind: kind}
	if stamped {
		m.payload = bytes.Clone(payload)
	}
	c.offered.Add(uint64(others))
	for _, q := range receivers {
		if q != p {
			q.push(m)
		}
	}
	return nil
}

// Leave takes the peer out of its room and drops what waits for it. Leaving
// twice does nothing.
func (p *Peer) Leave() {
	p.finish(endLeft(nil))
	p.discard()
	if p.shard.remove(p) {
		p.hub.members.Done()
	}
}

// push queues m, or applies the slow-consumer rule.
func (p *Peer) push(m *message) {
	o, c := &p.hub.options, &p.shard.counters
	p.mu.Lock()
	if p.end != nil {
		rule := p.end.rule
		p.mu.Unlock()
		c.drop(rule, 1)
		return
	}
	dropped := 0
	for p.length >= o.QueueMessages || p.length > 0 && p.bytes+m.size > o.QueueBytes {
		if o.Slow == SlowClose {
			queued, size := p.length, p.bytes
			p.clear()
			p.end = endSlow()
			p.mu.Unlock()
			p.signal()
			c.slow.Add(1)
			c.drop(dropSlow, queued+1)
			o.Logger.Warn("slow consumer closed", "room", p.room.name, "peer", p.id, "queued", queued, "bytes", size)
			return
		}
		p.pop()
		dropped++
	}
	p.append(m)
	first := p.length == 1
	p.mu.Unlock()
	if first {
		p.signal()
	}
	c.drop(dropOldest, dropped)
}

// next returns the oldest message, or, where none waits, the ending if there
// is one. Both are nil where the peer has to wait for p.wake.
func (p *Peer) next() (*message, *ending) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.length > 0 {
		return p.pop(), nil
	}
	return nil, p.end
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
		dropped = p.clear()
	}
	p.mu.Unlock()
	p.signal()
	p.shard.counters.drop(e.rule, dropped)
	return true
}

// discard drops what waits in the queue of a peer that has ended.
func (p *Peer) discard() {
	p.mu.Lock()
	rule, dropped := p.end.rule, p.clear()
	p.mu.Unlock()
	p.shard.counters.drop(rule, dropped)
}

// abort cuts the connection, or forbids the one that is still to come.
func (p *Peer) abort() {
	p.finish(endLeft(nil))
	p.mu.Lock()
	p.aborted = true
	conn := p.conn
	p.mu.Unlock()
	if conn != nil {
		_ = conn.Close() // whoever reads or writes it sees the error
	}
}

// ended returns why the connection of a peer that has ended did so.
func (p *Peer) ended() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.end.err
}

// attach gives the peer its connection; false means that it was aborted.
func (p *Peer) attach(conn *websocket.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conn = conn
	return !p.aborted
}

func (p *Peer) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// append adds m to the ring. The caller holds p.mu and has made room.
func (p *Peer) append(m *message) {
	if p.length == len(p.ring) {
		grown := make([]*message, min(max(4, 2*len(p.ring)), p.hub.options.QueueMessages))
		n := copy(grown, p.ring[p.head:])
		copy(grown[n:], p.ring[:p.head])
		p.ring, p.head = grown, 0
	}
	p.ring[(p.head+p.length)%len(p.ring)] = m
	p.length++
	p.bytes += m.size
}

// pop takes the oldest message. The caller holds p.mu; the queue is not empty.
func (p *Peer) pop() *message {
	m := p.ring[p.head]
	p.ring[p.head] = nil
	p.head = (p.head + 1) % len(p.ring)
	p.length--
	p.bytes -= m.size
	return m
}

// clear empties the queue and returns how many messages it held. The caller
// holds p.mu.
func (p *Peer) clear() int {
	n := p.length
	p.ring, p.head, p.length, p.bytes = nil, 0, 0, 0
	return n
}
