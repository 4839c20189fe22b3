package rxtime

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Socket is a connection that its owner waits for, with the stamps of a Conn.
// What a read needs lies together: an owner of thousands finds none of it in the
// processor's caches. No two methods may be called at once.
type Socket struct {
	fd       int
	short    bool // the latest read has emptied the socket
	stamped  bool // the kernel stamps what arrives
	stamping bool // and what leaves
	clock    *Clock
	to       converter
	in       trail
	out      trail
	sent     uint32 // bytes written so far, as the kernel counts them
	unsent   []byte // what was written and the socket has not taken
	ends     *ends
}

// A trail is a history that one goroutine at a time may use.
type trail struct {
	latest passage
	before int64
	count  uint64
}

func (t *trail) add(p passage) {
	p.at = max(p.at, t.latest.at)
	p.returned = max(p.returned, p.at)
	t.before, t.latest = t.latest.at, p
	t.count++
}

func (t *trail) last(k *Clock) (Stamp, uint64) {
	p := t.latest
	return Stamp{At: k.time(p.at), Returned: k.time(p.returned), Previous: k.time(t.before), Kernel: p.kernel}, t.count
}

// ends is the net.Conn beneath a detached Conn: its addresses, and its Close. It
// has no deadlines, and is not read or written.
type ends struct {
	local, remote net.Addr
	fd            int
	closed        atomic.Bool
}

func (e *ends) LocalAddr() net.Addr              { return e.local }
func (e *ends) RemoteAddr() net.Addr             { return e.remote }
func (e *ends) Read([]byte) (int, error)         { return 0, net.ErrClosed }
func (e *ends) Write([]byte) (int, error)        { return 0, net.ErrClosed }
func (e *ends) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (e *ends) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (e *ends) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

func (e *ends) Close() error {
	if e.closed.Swap(true) {
		return net.ErrClosed
	}
	return os.NewSyscallError("close", unix.Close(e.fd))
}

// Detach takes the connection out of the hands of Go's poller, for an owner that
// waits for many sockets by itself. From then on
//
//   - Read does not wait but returns ErrWait;
//   - Write takes all it is given, keeps what the socket does not take at once,
//     and has gone when Flush, once the socket can be written to, has sent it on;
//   - there are no deadlines, no two methods of the Conn and the Socket may be
//     called at once, and Close of the Conn closes the descriptor, which the owner
//     no longer waits for by then.
//
// The error is errors.ErrUnsupported where the connection is no TCP socket.
func (c *Conn) Detach() (*Socket, error) {
	raw, ok := rawTCP(c.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	fd := -1
	var refused error
	err := raw.Control(func(polled uintptr) {
		fd, refused = unix.FcntlInt(polled, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err = errors.Join(err, refused); err != nil {
		return nil, fmt.Errorf("detach a connection: %w", os.NewSyscallError("fcntl", err))
	}
	attached := c.Conn
	s := &Socket{
		fd: fd, clock: c.clock, to: converter{clock: c.clock, since: c.clock.anchor.Load()},
		ends: &ends{local: attached.LocalAddr(), remote: attached.RemoteAddr(), fd: fd},
	}
	s.in = trail{c.in.latest, c.in.before, c.in.count}
	s.out = trail{c.out.latest, c.out.before, c.out.count}
	if c.reader != nil {
		s.stamped, s.to = true, c.reader.to
	}
	if c.writer != nil {
		s.stamping, s.sent = true, c.writer.sent
	}
	c.Conn, c.socket, c.reader, c.writer = s.ends, s, nil, nil
	return s, attached.Close() // the poller's descriptor; the connection lives on in ours
}

// FD is the descriptor to wait for.
func (s *Socket) FD() int { return s.fd }

// Ready says that the socket may have something to read again. Until then a Read
// after one that emptied it returns ErrWait by itself: a layer such as crypto/tls
// asks once more than there is. failed says that the poller reported an error,
// for which it takes a transmit stamp that came late; such a stamp is thrown away.
func (s *Socket) Ready(failed bool) {
	s.short = false
	if failed {
		discardStamps(uintptr(s.fd))
	}
}

// Last is Last of the Conn.
func (s *Socket) Last() (stamp Stamp, reads uint64) { return s.in.last(s.clock) }

// LastSent is LastSent of the Conn.
func (s *Socket) LastSent() (stamp Stamp, writes uint64) { return s.out.last(s.clock) }

// Read reads what there is. It does not allocate.
func (s *Socket) Read(p []byte) (int, error) {
	if s.short {
		return 0, ErrWait
	}
	if len(p) == 0 {
		return 0, nil
	}
	s.to.before()
	n, stamp, errno := receive(uintptr(s.fd), p)
	switch {
	case errno == unix.EAGAIN:
		return 0, ErrWait
	case errno != 0:
		return 0, s.opError("read", errno)
	case n == 0:
		return 0, io.EOF
	}
	s.short = n < len(p)
	if s.stamped {
		s.in.add(s.to.arrival(stamp, s.short))
	} else {
		s.in.add(returned(s.clock.now()))
	}
	return n, nil
}

// Write writes p, or keeps it for Flush.
func (s *Socket) Write(p []byte) (int, error) {
	if len(s.unsent) > 0 {
		s.unsent = append(s.unsent, p...)
		return len(p), nil
	}
	d, n := leave(s.clock), 0
	if s.stamping && len(p) <= quiet {
		var stamp int64
		var errno syscall.Errno
		n, stamp, errno = send(uintptr(s.fd), p, &s.sent)
		if errno != 0 {
			return 0, s.opError("write", errno)
		}
		if n == len(p) {
			s.out.add(d.left(stamp))
			return n, nil
		}
	}
	more, err := s.push(p[n:])
	if err != nil {
		return n + more, err
	}
	s.unsent = append(s.unsent, p[n+more:]...)
	return len(p), nil
}

// Flush sends what Write has kept, as far as the socket takes it, and answers
// whether that was all.
func (s *Socket) Flush() (done bool, err error) {
	if len(s.unsent) == 0 {
		return true, nil
	}
	n, err := s.push(s.unsent)
	if s.unsent = s.unsent[n:]; len(s.unsent) > 0 {
		return false, err
	}
	s.unsent = nil
	return true, err
}

// push writes as much of p as the socket takes, without a stamp.
func (s *Socket) push(p []byte) (n int, err error) {
	for n < len(p) {
		m, err := unix.Write(s.fd, p[n:])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return n, nil
		case err != nil:
			return n, s.opError("write", err)
		}
		n += m
		s.sent += uint32(m)
	}
	s.out.add(returned(s.clock.now()))
	return n, nil
}

// opError is what a TCP connection returns for the error of a system call.
func (s *Socket) opError(op string, err error) error {
	return &net.OpError{
		Op: op, Net: s.ends.local.Network(), Source: s.ends.local, Addr: s.ends.remote, Err: os.NewSyscallError(op, err),
	}
}
