package rxtime

import (
	"net"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// quiet is up to how many bytes at once a write is stamped, and in the hands of
// Go's poller up to how many bytes on their way, in flight or waiting. The stamp
// waits in the socket as if it were an error; were the send buffer full besides,
// that poller would believe it.
const quiet = 16 << 10

// optRXFilter is SOF_TIMESTAMPING_OPT_RX_FILTER, since Linux 6.12.
const optRXFilter = 1 << 17

// A writer writes to a TCP socket and takes the kernel's transmit stamps.
type writer struct {
	plain   net.Conn
	raw     syscall.RawConn
	attempt func(fd uintptr) bool // the method send, bound once
	clock   *Clock

	mu   sync.Mutex // one write at a time; the socket would make them wait as well
	sent uint32     // bytes written so far, as the kernel counts them
	buf  []byte
	// What the attempt came to: bytes sent, and the stamp of the last one, 0
	// where there is none.
	n     int
	errno syscall.Errno
	stamp int64
}

// newWriter returns nil where c is no TCP socket or its stamps cannot be had.
func newWriter(c net.Conn, clock *Clock) *writer {
	// Stamps are asked for write by write; here is said how they are to come:
	// without the data, each with the number of its byte.
	const how = unix.SOF_TIMESTAMPING_SOFTWARE | unix.SOF_TIMESTAMPING_OPT_ID | unix.SOF_TIMESTAMPING_OPT_TSONLY
	// Newer kernels number from the next byte written, whatever is on its way,
	// and leave the reader's stamps alone.
	const better = how | unix.SOF_TIMESTAMPING_OPT_ID_TCP | optRXFilter
	raw, ok := rawTCP(c)
	if !ok || !setOption(raw, unix.SO_TIMESTAMPING, better) && !setOption(raw, unix.SO_TIMESTAMPING, how) {
		return nil
	}
	w := &writer{plain: c, raw: raw, clock: clock}
	w.attempt = w.send
	return w
}

// write is Write of the socket; its error is bare, or that of the plain connection.
func (w *writer) write(p []byte) (int, passage, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf, w.n, w.errno, w.stamp = p, 0, 0, 0
	d := leave(w.clock)
	err := w.raw.Write(w.attempt)
	w.buf = nil
	n := w.n
	if err == nil && w.errno == 0 && n < len(p) {
		var more int
		more, err = w.plain.Write(p[n:])
		n += more
		w.sent += uint32(more)
		w.stamp = 0 // it is not of the last byte
	} else if err != nil {
		err = bare(err)
	} else if w.errno != 0 {
		err = os.NewSyscallError("write", w.errno)
	}
	return n, d.left(w.stamp), err
}

// A departure is a write that has begun.
type departure struct {
	clock  *Clock
	anchor *anchor
	begun  reading
}

func leave(k *Clock) departure { return departure{k, k.anchor.Load(), k.now()} }

// left is the write's passage, where it has ended; stamp is the kernel's, 0 where
// it gave none.
func (d departure) left(stamp int64) passage {
	now := d.clock.now()
	at := stamp - d.anchor.wallAtBase
	if stamp == 0 || !d.clock.held(d.anchor, now) || at < d.begun.mono-tolerance || at > now.mono+tolerance {
		return returned(now)
	}
	return passage{at: min(max(at, d.begun.mono), now.mono), returned: now.mono, kernel: true}
}

// sendControl is the control message that asks for a stamp.
type sendControl struct {
	head unix.Cmsghdr
	ask  uint32
	_    [4]byte
}

// send tries once to write with a stamp, where that is safe. It always ends the
// wait; what it has not written goes the ordinary way.
func (w *writer) send(fd uintptr) bool {
	queued, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
	if err == nil && queued+len(w.buf) <= quiet {
		w.n, w.stamp, w.errno = send(fd, w.buf, &w.sent)
	}
	return true
}

// send tries once to write p with a stamp and returns the stamp of the last byte
// written, 0 where there is none. sent counts the connection's bytes. It
// allocates nothing.
func send(fd uintptr, p []byte, sent *uint32) (n int, stamp int64, errno syscall.Errno) {
	control := sendControl{ask: unix.SOF_TIMESTAMPING_TX_SOFTWARE}
	control.head.Level, control.head.Type = unix.SOL_SOCKET, unix.SO_TIMESTAMPING
	control.head.SetLen(unix.CmsgLen(4))
	iov := unix.Iovec{Base: unsafe.SliceData(p)}
	iov.SetLen(len(p))
	msg := unix.Msghdr{Iov: &iov, Iovlen: 1, Control: (*byte)(unsafe.Pointer(&control))}
	msg.SetControllen(unix.CmsgSpace(4))
	raceWrite()
	wrote, _, errno := syscall.Syscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&msg)), unix.MSG_NOSIGNAL)
	switch errno {
	case 0:
		*sent += uint32(wrote)
		return int(wrote), takeStamp(fd, *sent-1), 0
	case unix.EINTR, unix.EAGAIN:
		return 0, 0, 0
	}
	return 0, 0, errno
}

// errorControl has room for the control messages of a transmit stamp: the time
// in both forms that were asked for, what it is of, and an address.
type errorControl struct {
	head unix.Cmsghdr // of the first
	_    [240]byte
}

// stampsAtOnce bounds how many stamps are taken out at once: more than come of
// a write.
const stampsAtOnce = 8

// takeStamp returns the transmit stamp of byte number id, 0 where it has not
// come, and throws away those of others.
func takeStamp(fd uintptr, id uint32) int64 {
	for range stampsAtOnce {
		at, of, ok := nextStamp(fd)
		if !ok {
			return 0
		}
		if of == id {
			return at
		}
	}
	return 0
}

// discardStamps throws away the transmit stamps that have come.
func discardStamps(fd uintptr) {
	for range stampsAtOnce {
		if _, _, ok := nextStamp(fd); !ok {
			return
		}
	}
}

// nextStamp takes one stamp out of the socket's queue of errors: its instant, 0
// where it has none, and the number of its byte.
func nextStamp(fd uintptr) (at int64, of uint32, ok bool) {
	var control errorControl
	msg := unix.Msghdr{Control: (*byte)(unsafe.Pointer(&control))}
	msg.SetControllen(int(unsafe.Sizeof(control)))
	_, _, errno := syscall.Syscall(unix.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(&msg)), unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
	if errno != 0 {
		return 0, 0, false
	}
	base, length := unsafe.Pointer(&control), int(msg.Controllen)
	for next := 0; next+unix.SizeofCmsghdr <= length; {
		head := (*unix.Cmsghdr)(unsafe.Add(base, next))
		data := unsafe.Add(base, next+unix.CmsgLen(0))
		size := int(head.Len) - unix.CmsgLen(0)
		if size < 0 || next+int(head.Len) > length {
			break
		}
		switch {
		case head.Level == unix.SOL_SOCKET && head.Type == unix.SCM_TIMESTAMPING:
			at = (*unix.Timespec)(data).Nano() // software comes first of three
		case head.Level == unix.SOL_IP && head.Type == unix.IP_RECVERR, head.Level == unix.SOL_IPV6 && head.Type == unix.IPV6_RECVERR:
			if what := (*unix.SockExtendedErr)(data); what.Origin == unix.SO_EE_ORIGIN_TIMESTAMPING && what.Info == unix.SCM_TSTAMP_SND {
				of = what.Data
			}
		}
		next += unix.CmsgSpace(size)
	}
	return at, of, true
}
