package relay

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

// session is one peer's connection while it is served. The reading side has a
// goroutine for good, the writing side only while there is something to write.
type session struct {
	peer     *Peer
	conn     *websocket.Conn
	ping     *time.Timer
	watch    *time.Timer   // nil until the first write
	readDone chan struct{} // closed when the reading side has ended
	buf      []byte        // of the writing side: the stamped message being written
}

// Start serves conn in a goroutine of its own, which Relay.Shutdown waits for: it
// relays what conn says to the peer's room and writes to conn what the peer's
// queue holds, until the connection ends; closes it; and makes the peer leave. Then
// done is called with why the connection ended: nil where a Close frame of either
// side ended it, or the end of the worker. Start is called once; the caller must
// not touch conn afterwards.
func (p *Peer) Start(conn *websocket.Conn, done func(error)) {
	go func() {
		err := p.serve(conn)
		done(err)
		p.Leave()
	}()
}

// serve serves conn to its end.
func (p *Peer) serve(conn *websocket.Conn) error {
	s := &session{peer: p, conn: conn, readDone: make(chan struct{})}
	if !p.attach(s) {
		_ = conn.Close() // aborted before it began
		return p.ended()
	}
	err := s.read()
	p.finish(endLeft(s.cause(err)))
	s.settle(err)
	close(s.readDone)
	_ = conn.Close() // frees a writing side that is blocked
	p.settled()
	s.ping.Stop()
	if s.watch != nil {
		s.watch.Stop()
	}
	return p.ended()
}

// read relays messages until the connection ends, and returns why it did.
func (s *session) read() error {
	o := s.peer.options()
	s.conn.SetReadLimit(int64(o.MaxMessage))
	s.conn.SetPongHandler(func(string) error {
		s.alive()
		return nil
	})
	s.conn.SetPingHandler(func(data string) error {
		// An error of this write stays with the connection, where the writing
		// side meets it.
		_ = s.conn.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(o.WriteTimeout))
		s.alive()
		return nil
	})
	s.alive()
	payload := &payloadReader{session: s}
	for {
		kind, message, err := s.conn.NextReader()
		if err != nil {
			return err
		}
		payload.message = message
		if err := s.relay(kind, payload); err != nil {
			return err
		}
	}
}

// errInvalidText ends a peer whose text message is not UTF-8: passed on, it
// would make every conforming receiver close (RFC 6455, section 8.1).
var errInvalidText = errors.New("text message is not valid UTF-8")

// largestPooled is the capacity up to which a read buffer is kept for the next
// message; one large message must not be held for good.
const largestPooled = 64 << 10

// relay reads one message and publishes it.
func (s *session) relay(kind int, payload io.Reader) error {
	pool := &s.peer.part.room.relay.buffers
	buf, ok := pool.Get().(*bytes.Buffer)
	if !ok {
		buf = new(bytes.Buffer)
	}
	defer func() {
		if buf.Cap() <= largestPooled {
			buf.Reset()
			pool.Put(buf)
		}
	}()
	if _, err := buf.ReadFrom(payload); err != nil {
		return err
	}
	if kind == websocket.TextMessage && !utf8.Valid(buf.Bytes()) {
		return errInvalidText
	}
	return s.peer.Publish(kind, buf.Bytes())
}

// payloadReader reads a message and notes that the peer is alive as its bytes
// come, so that a large message on a slow line is not taken for silence.
type payloadReader struct {
	session *session
	message io.Reader
}

// Read reads from the message.
func (r *payloadReader) Read(b []byte) (int, error) {
	n, err := r.message.Read(b)
	if n > 0 {
		r.session.alive()
	}
	return n, err
}

// alive starts the idle timeout anew. A connection that is closed refuses it;
// that must not cost the message that came before, and the next read tells.
func (s *session) alive() {
	_ = s.conn.SetReadDeadline(time.Now().Add(s.peer.options().IdleTimeout))
}

// cause is what Serve returns for a connection whose reading ended with err.
func (s *session) cause(err error) error {
	var closed *websocket.CloseError
	if errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure {
		return nil
	}
	return fmt.Errorf("read from peer %d of room %q: %w", s.peer.id, s.peer.part.room.name, err)
}

// settle ends the reading side in good order. It sends the Close frame that
// err calls for, where gorilla/websocket has not sent it by itself (1009,
// 1002, the answer to a Close), and gives the peer until CloseTimeout to read
// it: closing at once, with input unread, would reset the connection and could
// take the frame away from the peer.
func (s *session) settle(err error) {
	c := s.peer.counters()
	var closed *websocket.CloseError
	code, text := 0, ""
	switch {
	case errors.As(err, &closed):
		return // the peer has said what it had to
	case errors.Is(err, websocket.ErrReadLimit):
		c.tooBig.Add(1)
	case errors.Is(err, errInvalidText):
		c.invalid.Add(1)
		code, text = websocket.CloseInvalidFramePayloadData, err.Error()
	case isTimeout(err):
		c.idle.Add(1)
		code, text = websocket.ClosePolicyViolation, "idle timeout"
	}
	until := time.Now().Add(s.peer.options().CloseTimeout)
	if code != 0 && s.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, text), until) != nil {
		return // it cannot be told
	}
	raw := s.conn.NetConn()
	if raw.SetReadDeadline(until) == nil {
		_, _ = io.Copy(io.Discard, raw) // until the peer closes or the deadline passes
	}
}

// isTimeout reports whether a read or write ended by its deadline.
func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
