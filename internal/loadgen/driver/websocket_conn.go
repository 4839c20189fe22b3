package driver

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgeload/edgeload/internal/loadgen/frame"
	"github.com/edgeload/edgeload/internal/loadgen/rxtime"
)

// Read buffer of a connection, in bytes. There are thousands, and most of their
// reads bring one message: it begins small, and doubles where a read fills it.
const (
	readBufferSize = 512
	readBufferMost = 16 << 10
)

// controlWait bounds the write of a control frame.
const controlWait = time.Second

// A wsConn is a connection after its upgrade. One goroutine calls next; any
// number may write.
//
// It keeps what gorilla/websocket keeps for a client, and speaks of the end in
// its terms (*websocket.CloseError, websocket.ErrReadLimit, ErrCloseSent); but
// it holds no more than a small buffer, and allocates nothing a message.
type wsConn struct {
	net.Conn
	rx      *rxtime.Conn
	in      io.Reader // rx itself where nothing lies between
	decoder frame.Decoder
	buf     []byte
	unread  []byte // what the decoder has not had yet

	writing chan struct{} // holds a token while nobody writes
	failed  error         // why there is nothing more to write; who has the token
	pong    func([]byte)  // is told of each pong's payload; the reader's, nil where nobody asks

	failedWrite atomic.Pointer[error] // the first message whose write failed
	control     []byte                // a control frame to be written; who has the token
}

// newWSConn takes over conn, whose upgrade may have brought early bytes with it.
func newWSConn(conn net.Conn, early []byte, limit int64) (*wsConn, error) {
	rx, ok := rxtime.From(conn)
	if !ok {
		return nil, errors.New("a connection that is not timed")
	}
	c := &wsConn{
		Conn: conn, rx: rx, in: conn, decoder: frame.Decoder{Limit: limit},
		buf: make([]byte, readBufferSize), unread: early,
		writing: make(chan struct{}, 1),
	}
	c.writing <- struct{}{}
	if dialed, ok := conn.(*dialedConn); ok {
		c.in = dialed.Conn
	}
	return c, nil
}

// next returns the payload of the next message, until the call after it. It
// answers pings and the peer's close. A read deadline that passes is an error
// after which next may be called again; any other is final.
func (c *wsConn) next() ([]byte, error) {
	for {
		f, rest, err := c.decoder.Next(c.unread)
		c.unread = rest
		switch {
		case err != nil:
			return nil, c.refuse(err)
		case f.Opcode == frame.None:
			err = c.fill()
		case f.Opcode.Control():
			err = c.heed(f)
		default:
			return f.Payload, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// fill reads once. An end without a close frame is a close of its own, 1006,
// unless a write was told why.
func (c *wsConn) fill() error {
	n, err := c.in.Read(c.buf)
	c.unread = c.buf[:n]
	switch {
	case n == len(c.buf) && n < readBufferMost:
		c.buf = make([]byte, 2*n)
	case n > 0: // an error comes again
	case errors.Is(err, io.EOF):
		if failed := c.writeFailure(); failed != nil {
			return failed
		}
		return &websocket.CloseError{Code: websocket.CloseAbnormalClosure, Text: io.ErrUnexpectedEOF.Error()}
	default:
		return err
	}
	return nil
}

// heed does what a control frame asks for.
func (c *wsConn) heed(f frame.Frame) error {
	deadline := time.Now().Add(controlWait)
	switch f.Opcode {
	case frame.Ping:
		// A peer that reads nothing has no need of a pong.
		err := c.writeControl(frame.Pong, f.Payload, deadline)
		if err != nil && !errors.Is(err, websocket.ErrCloseSent) && classOf(err) != classTimeout {
			return err
		}
	case frame.Pong:
		if c.pong != nil {
			c.pong(f.Payload)
		}
	case frame.Close:
		code, reason, err := frame.ParseClose(f.Payload)
		if err != nil {
			return c.refuse(err)
		}
		_ = c.writeControl(frame.Close, frame.AppendClose(nil, code, ""), deadline) // the peer has left
		return &websocket.CloseError{Code: code, Text: reason}
	}
	return nil
}

// refuse tells the peer what it has done wrong, and returns that.
func (c *wsConn) refuse(err error) error {
	code, reason := websocket.CloseProtocolError, err.Error()
	if errors.Is(err, frame.ErrTooBig) {
		err, code, reason = websocket.ErrReadLimit, websocket.CloseMessageTooBig, ""
	}
	_ = c.writeControl(frame.Close, frame.AppendClose(nil, code, reason), time.Now().Add(controlWait)) // it is lost either way
	return err
}

// errWriteBusy ends a control frame that found another write under way to its
// deadline.
var errWriteBusy = fmt.Errorf("the write before has not ended: %w", os.ErrDeadlineExceeded)

// writeFrame writes one frame, or a few. After a write that failed, and after a
// close frame, there is nothing more to write.
func (c *wsConn) writeFrame(b []byte, deadline time.Time) error {
	<-c.writing
	defer func() { c.writing <- struct{}{} }()
	return c.put(b, deadline)
}

// writeWithin writes one frame unless another write holds the connection until the
// deadline.
func (c *wsConn) writeWithin(b []byte, deadline time.Time) error {
	if !c.seize(deadline) {
		return errWriteBusy
	}
	defer func() { c.writing <- struct{}{} }()
	return c.put(b, deadline)
}

// errSevered ends the writes of a connection that the scenario has cut.
var errSevered = errors.New(cutByStorm)

// sever cuts the connection without a close frame. What is being written at this
// moment may or may not get through; what would be written next does not.
func (c *wsConn) sever() {
	select {
	case <-c.writing:
		c.failed = errSevered
		c.writing <- struct{}{}
	default:
	}
	_ = c.Close() // that is the point
}

// giveUp ends a connection whose write of a message failed. The reader is left a
// moment to learn the peer's reason.
func (c *wsConn) giveUp(err error) {
	if errors.Is(err, websocket.ErrCloseSent) || errors.Is(err, errSevered) {
		return // the reader has seen the peer's close, or cut it itself
	}
	c.failedWrite.CompareAndSwap(nil, &err)
	_ = c.SetReadDeadline(time.Now().Add(closeWait)) // an error says that the reader has ended
}

// writeControl writes a control frame.
func (c *wsConn) writeControl(op frame.Opcode, payload []byte, deadline time.Time) error {
	if !c.seize(deadline) {
		return errWriteBusy
	}
	defer func() { c.writing <- struct{}{} }()
	c.control = frame.Append(c.control[:0], op, maskKey(), payload)
	err := c.put(c.control, deadline)
	if err == nil && op == frame.Close {
		c.failed = websocket.ErrCloseSent
	}
	return err
}

// seize takes the token; false when it cannot be had by the deadline.
func (c *wsConn) seize(deadline time.Time) bool {
	select {
	case <-c.writing:
		return true
	default:
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-c.writing:
		return true
	case <-timer.C:
		return false
	}
}

// writeFailure is how a write failed, if one did. The kernel tells of a reset
// once: after a write that was told, a read sees a plain end.
func (c *wsConn) writeFailure() error {
	if !c.seize(time.Now().Add(controlWait)) {
		return nil
	}
	defer func() { c.writing <- struct{}{} }()
	if errors.Is(c.failed, websocket.ErrCloseSent) {
		return nil
	}
	return c.failed
}

// put writes b; the caller has the token. The deadline keeps a peer that has
// stopped reading from holding the writer for good.
func (c *wsConn) put(b []byte, deadline time.Time) error {
	if c.failed != nil {
		return c.failed
	}
	err := c.SetWriteDeadline(deadline)
	if err == nil {
		_, err = c.Write(b)
	}
	c.failed = err
	return err
}

// maskKey draws a mask from the runtime's ChaCha8, which the system seeds: a peer
// cannot foresee it (RFC 6455, 10.3).
func maskKey() uint32 { return rand.Uint32() }

// An upgradingConn hands what the peer answers out byte by byte: so nobody above
// takes more than the answer, and what follows it stays in early. What is written
// goes out with the first read; being an io.ByteWriter, it is spared the buffer of
// 4 KiB that net/http would put before it.
type upgradingConn struct {
	net.Conn
	*upgradeBuffers
}

// upgradeBuffers are used by one upgrade after the other.
type upgradeBuffers struct {
	answer  *bufio.Reader
	request *bufio.Writer
}

func newUpgradeBuffers() *upgradeBuffers {
	return &upgradeBuffers{answer: bufio.NewReaderSize(nil, readBufferSize), request: bufio.NewWriterSize(nil, readBufferSize)}
}

// use makes b those of conn; nil parts them again.
func (b *upgradeBuffers) use(conn net.Conn) {
	b.answer.Reset(conn)
	b.request.Reset(conn)
}

// Write writes p, with the next read at the latest.
func (c *upgradingConn) Write(p []byte) (int, error) { return c.request.Write(p) }

// WriteByte writes one byte, with the next read at the latest.
func (c *upgradingConn) WriteByte(b byte) error { return c.request.WriteByte(b) }

// Read reads one byte.
func (c *upgradingConn) Read(p []byte) (int, error) {
	if err := c.request.Flush(); err != nil || len(p) == 0 {
		return 0, err
	}
	b, err := c.answer.ReadByte()
	if err != nil {
		return 0, err
	}
	p[0] = b
	return 1, nil
}

// early returns a copy of what has come behind the answer.
func (c *upgradingConn) early() []byte {
	b, _ := c.answer.Peek(c.answer.Buffered()) // so much is there
	return bytes.Clone(b)
}
