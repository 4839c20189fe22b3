package h1

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// readBuffer is the size of a loop's one buffer, in bytes.
	readBuffer = 64 << 10
	// eventsAtOnce is how many sockets one wait reports.
	eventsAtOnce = 256
	// batchesAtOnce bounds how many such reports are handled before timers have
	// their turn.
	batchesAtOnce = 16
	// tick is how often timers and the end of the loop are looked for.
	tick = 20 * time.Millisecond
)

// A loop waits for many connections in one goroutine.
//
// Its epoll instance is itself a file that Go's poller waits for: a goroutine
// that blocks in epoll_wait takes a processor of Go's along, and whatever else
// is ready to run there, until the scheduler's monitor notices, which may take it
// 10 ms.
type loop struct {
	epoll  int
	spare  bool     // there is a processor of Go's for the rest of the program
	file   *os.File // of epoll
	raw    syscall.RawConn
	events []unix.EpollEvent
	buf    []byte
	heads  *headReader
	pace   pace
	rest   []*conn // with more to read than they had a turn for
	ending atomic.Bool
	ended  chan struct{}

	mu     sync.Mutex
	timers timers
	table  atomic.Pointer[[]atomic.Pointer[conn]] // by descriptor; written under mu
}

func newLoop(p pace, spare bool) (*loop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err == nil {
		err = unix.SetNonblock(epoll, true) // Go's poller takes no other files
	}
	if err != nil {
		return nil, fmt.Errorf("make an event loop: %w", os.NewSyscallError("epoll", err))
	}
	l := &loop{
		epoll: epoll, spare: spare, file: os.NewFile(uintptr(epoll), "epoll"), pace: p, events: make([]unix.EpollEvent, eventsAtOnce),
		buf: make([]byte, readBuffer), heads: newHeadReader(), ended: make(chan struct{}),
	}
	if l.raw, err = l.file.SyscallConn(); err == nil {
		err = l.file.SetReadDeadline(time.Now().Add(tick))
	}
	if err != nil {
		_ = l.file.Close() // nothing waits yet
		return nil, fmt.Errorf("make an event loop: %w", err)
	}
	l.table.Store(new([]atomic.Pointer[conn]))
	go l.run() // close waits for it
	return l, nil
}

// close ends the loop and closes its connections.
func (l *loop) close() {
	l.ending.Store(true)
	<-l.ended
	for i := range *l.table.Load() {
		if c := (*l.table.Load())[i].Load(); c != nil {
			c.mu.Lock()
			c.drop()
			c.mu.Unlock()
		}
	}
	_ = l.file.Close() // nothing is waited for any more
}

// run serves until close, and looks at the timers once a tick.
func (l *loop) run() {
	defer close(l.ended)
	var due []*conn
	for last := time.Now(); !l.ending.Load(); {
		switch {
		case l.resume():
			l.serve()
		case l.pace.many:
			l.gather()
			l.serve()
		default:
			// It ends with the deadline, or when serve is not the loop's turn any more.
			_ = l.raw.Read(func(uintptr) (done bool) {
				l.serve()
				return l.pace.many || len(l.rest) > 0
			})
		}
		now := time.Now()
		if now.Sub(last) < tick {
			continue
		}
		last = now
		_ = l.file.SetReadDeadline(now.Add(tick)) // of an open file of the poller's it has no error
		due = l.due(due[:0], now)
		for _, c := range due {
			c.expired(now)
		}
		clear(due)
	}
}

// gather waits for a gathering time.
//
// Were the loop to give up its processor of Go's for it, the scheduler's monitor
// would start over each time, looking every 20 µs for a millisecond: more work
// than the events themselves. So it is kept, where the rest of the program has
// another. A collection of garbage interrupts the wait by its signal.
func (l *loop) gather() {
	if !l.spare {
		timer := time.NewTimer(l.pace.gather)
		<-timer.C
		return
	}
	wait := unix.NsecToTimespec(int64(l.pace.gather))
	_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&wait)), 0, 0) // interrupted, it looks sooner
}

// serve handles what events there are.
func (l *loop) serve() {
	handled := 0
	for range batchesAtOnce {
		n, err := unix.EpollWait(l.epoll, l.events, 0)
		if err != nil {
			break // interrupted; a valid descriptor and buffer have no other error
		}
		table := *l.table.Load()
		for _, e := range l.events[:n] {
			if c := table[e.Fd].Load(); c != nil {
				c.ready(events(e.Events))
			}
		}
		if handled += n; n < len(l.events) {
			break
		}
	}
	l.pace.handled(handled, time.Now())
}

// later has c go on reading after the others have had their turn: neither the
// socket's edge nor what TLS has taken off it would be reported again.
func (l *loop) later(c *conn) { l.rest = append(l.rest, c) }

// resume goes on with the connections that were put off, and answers whether
// there are some again.
func (l *loop) resume() bool {
	rest := l.rest
	l.rest = nil
	for _, c := range rest {
		c.ready(0)
	}
	return len(l.rest) > 0
}

// due appends the connections whose timers have gone off.
func (l *loop) due(to []*conn, now time.Time) []*conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.timers.due(to, now)
}

// arm has c.expired called at t or soon after, if not sooner.
func (l *loop) arm(c *conn, t time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timers.arm(c, t)
}

// add has the loop wait for c.
func (l *loop) add(c *conn, writable bool) error {
	l.mu.Lock()
	table := *l.table.Load()
	if c.fd >= len(table) {
		wider := make([]atomic.Pointer[conn], max(2*len(table), c.fd+1, 1024))
		for i := range table {
			wider[i].Store(table[i].Load())
		}
		l.table.Store(&wider)
		table = wider
	}
	table[c.fd].Store(c)
	l.mu.Unlock()
	return l.control(unix.EPOLL_CTL_ADD, c, writable)
}

// watch has the loop wait for c to be writable too, or no longer.
func (l *loop) watch(c *conn, writable bool) error {
	return l.control(unix.EPOLL_CTL_MOD, c, writable)
}

// control registers c for edges: an event says that something has come since the
// last, and what there is has to be read to its end.
func (l *loop) control(op int, c *conn, writable bool) error {
	e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(c.fd)}
	if writable {
		e.Events |= unix.EPOLLOUT
	}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(l.epoll, op, c.fd, &e))
}

// forget stops waiting for c, which is about to be closed: that takes it out of
// the kernel's set.
func (l *loop) forget(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timers.remove(c)
	if table := *l.table.Load(); c.awaiting && table[c.fd].Load() == c {
		table[c.fd].Store(nil)
	}
}

// events is what epoll says of a socket.
type events uint32

func (e events) writable() bool { return e&unix.EPOLLOUT != 0 }

// failed: an error, or a transmit stamp, is in the queue of errors.
func (e events) failed() bool { return e&unix.EPOLLERR != 0 }

// ends: no more is to come than there is.
func (e events) ends() bool { return e&(unix.EPOLLRDHUP|unix.EPOLLHUP) != 0 }
