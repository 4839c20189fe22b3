package relay

import (
	"errors"
	"fmt"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgeload/edgeload/internal/wire"
)

// write writes what there is to write, and returns when there is nothing left, when
// the peer has come to its ending, or when a write fails.
func (s *session) write() {
	for {
		turn := s.peer.next()
		switch {
		case turn.ping:
			if err := s.conn.WriteControl(websocket.PingMessage, nil, s.writeDeadline()); err != nil {
				s.fail(err)
				s.peer.stopped()
				return
			}
		case turn.message != nil:
			if err := s.deliver(turn.message); err != nil {
				s.fail(err)
				s.peer.stopped()
				return
			}
		case turn.end != nil:
			s.close(turn.end)
			s.peer.stopped()
			return
		default:
			return
		}
	}
}

// deliver writes one message, and counts it as written or dropped.
func (s *session) deliver(m *message) error {
	c := s.peer.counters()
	if err := s.put(m); err != nil {
		s.peer.mu.Lock()
		rule := dropLeft
		if end := s.peer.end; end != nil {
			rule = end.rule
		}
		s.peer.mu.Unlock()
		c.drop(rule, 1)
		return err
	}
	c.written.Add(1)
	c.writtenBytes.Add(uint64(m.size))
	return nil
}

// put writes one message, behind a stamp where the peer is told of its writes.
func (s *session) put(m *message) error {
	if !s.peer.stamped {
		return s.conn.WritePreparedMessage(m.frame)
	}
	s.buf = wire.AppendStamp(s.buf[:0], time.Now())
	s.buf = append(s.buf, m.payload...)
	return s.conn.WriteMessage(m.kind, s.buf)
}

// close sends the Close frame of the ending, if it has one, and waits for the
// peer to answer it or to hang up; after CloseTimeout it hangs up itself.
func (s *session) close(end *ending) {
	if end.code == 0 {
		return
	}
	frame := websocket.FormatCloseMessage(end.code, end.text)
	if err := s.conn.WriteControl(websocket.CloseMessage, frame, s.writeDeadline()); err != nil {
		s.fail(err)
		return
	}
	timeout := time.NewTimer(s.peer.options().CloseTimeout)
	defer timeout.Stop()
	select {
	case <-s.readDone:
	case <-timeout.C:
		_ = s.conn.Close() // the reading side sees it
	}
}

// fail ends a connection that cannot be written to any more.
func (s *session) fail(err error) {
	if errors.Is(err, websocket.ErrCloseSent) {
		<-s.readDone // the reading side has sent the last frame and sees to the end
		return
	}
	if isTimeout(err) { // of a control frame
		s.stalled(err)
		return
	}
	p := s.peer
	p.finish(endLeft(fmt.Errorf("write to peer %d of room %q: %w", p.id, p.part.room.name, err)))
	_ = s.conn.Close() // the reading side sees it
}

// stalled cuts off a peer that takes nothing. The kernel, too, is told to forget what
// it holds.
func (s *session) stalled(err error) {
	p := s.peer
	if p.finish(endStalled(fmt.Errorf("write to peer %d of room %q: %w", p.id, p.part.room.name, err))) {
		p.counters().stalled.Add(1)
		o := p.options()
		o.Logger.Warn("stalled consumer closed", "room", p.part.room.name, "peer", p.id, "write_timeout", o.WriteTimeout)
	}
	if tcp, ok := s.conn.NetConn().(interface{ SetLinger(seconds int) error }); ok {
		_ = tcp.SetLinger(0) // a closed socket has nothing to forget
	}
	_ = s.conn.Close() // both sides see it
}

func (s *session) writeDeadline() time.Time {
	return time.Now().Add(s.peer.options().WriteTimeout)
}
