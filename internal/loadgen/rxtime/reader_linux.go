package rxtime

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Source names the best source of receive instants this system has, for the
// result file: "kernel" is the kernel's receive stamp of a segment.
const Source = "kernel"

// most is how much one read takes, in bytes: what package net takes.
const most = 1 << 30

// A reader reads from a TCP socket and takes the kernel's receive stamps with
// the data. It waits by Go's poller, as the connection itself does.
type reader struct {
	raw     syscall.RawConn
	attempt func(fd uintptr) bool // the method receive, bound once

	mu  sync.Mutex // one read at a time; the socket would make them wait as well
	to  converter
	buf []byte
	// What the attempt that ended the read came to.
	n     int
	errno syscall.Errno
	stamp int64
}

// newReader returns nil where c is no TCP socket or its stamps cannot be had.
func newReader(c net.Conn, clock *Clock) *reader {
	raw, ok := rawTCP(c)
	if !ok || !setOption(raw, unix.SO_TIMESTAMPNS, 1) {
		return nil
	}
	r := &reader{raw: raw, to: converter{clock: clock, since: clock.anchor.Load()}}
	r.attempt = r.receive
	return r
}

func rawTCP(c net.Conn) (syscall.RawConn, bool) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return nil, false
	}
	raw, err := tcp.SyscallConn()
	return raw, err == nil
}

// setOption sets an option of the socket and reports whether the kernel took it.
func setOption(raw syscall.RawConn, option, value int) bool {
	var refused error
	err := raw.Control(func(fd uintptr) {
		refused = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, option, value)
	})
	return err == nil && refused == nil
}

// read is Read of the socket; its error is bare.
func (r *reader) read(p []byte) (int, passage, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.buf = p[:min(len(p), most)]
	r.n, r.errno = 0, 0
	err := r.raw.Read(r.attempt)
	if err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, os.ErrDeadlineExceeded) {
		err = r.unpolled()
	}
	r.buf = nil
	switch {
	case err != nil:
		return 0, passage{}, bare(err)
	case r.errno != 0:
		return 0, passage{}, os.NewSyscallError("read", r.errno)
	case r.n == 0:
		return 0, passage{}, io.EOF
	}
	return r.n, r.to.arrival(r.stamp, r.n < len(p)), nil
}

// unpolled reads while Go's poller refuses to wait: it takes a transmit stamp
// that comes in while the send buffer is full for an error of the socket, until
// the next event of the socket. That is rare, and short; meanwhile the socket is
// tried once a millisecond.
func (r *reader) unpolled() error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		done := false
		err := r.raw.Control(func(fd uintptr) {
			discardStamps(fd)
			done = r.receive(fd)
		})
		if err != nil || done {
			return err
		}
		<-tick.C
		err = r.raw.Read(r.attempt)
		if err == nil || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
}

// receiveControl is the control message of one read: room for the longest time
// there is for SO_TIMESTAMPNS.
type receiveControl struct {
	head unix.Cmsghdr
	at   unix.Timespec
	_    [8]byte
}

// receive tries to read and reports whether that is that: data, the end or an
// error.
func (r *reader) receive(fd uintptr) bool {
	r.to.before()
	r.n, r.stamp, r.errno = receive(fd, r.buf)
	if r.errno == unix.EAGAIN {
		r.errno = 0
		return false
	}
	return true
}

// receive reads from a socket without waiting and returns the stamp that came
// with the data, 0 where there was none. It allocates nothing, and what it hands
// the kernel lies on its stack.
func receive(fd uintptr, p []byte) (n int, stamp int64, errno syscall.Errno) {
	var control receiveControl
	iov := unix.Iovec{Base: unsafe.SliceData(p)}
	iov.SetLen(len(p))
	msg := unix.Msghdr{Iov: &iov, Iovlen: 1, Control: (*byte)(unsafe.Pointer(&control))}
	for {
		msg.SetControllen(int(unsafe.Sizeof(control)))
		// It never waits, so the scheduler need not know of it.
		got, _, errno := syscall.RawSyscall(unix.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(&msg)), unix.MSG_DONTWAIT)
		switch errno {
		case 0:
			raceRead(fd)
			if msg.Controllen >= unix.SizeofCmsghdr && control.head.Level == unix.SOL_SOCKET && control.head.Type == unix.SCM_TIMESTAMPNS {
				stamp = control.at.Nano()
			}
			return int(got), stamp, 0
		case unix.EINTR:
		default:
			return 0, 0, errno
		}
	}
}

// bare takes off what a RawConn puts around an error.
func bare(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// opError is what a TCP connection returns for err, which may be bare.
func (c *Conn) opError(op string, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	var whole *net.OpError
	if errors.As(err, &whole) {
		return err
	}
	local := c.LocalAddr()
	wrapped := &net.OpError{Op: op, Source: local, Addr: c.RemoteAddr(), Err: err}
	if local != nil {
		wrapped.Net = local.Network()
	}
	return wrapped
}
