// Package rxtime is a net.Conn that knows when its bytes arrived and left.
//
// A measured latency ends when bytes reach this machine, not when the program
// gets round to them: whoever waits for a processor, or decodes TLS, HTTP or
// JSON first, and looks at the clock afterwards, adds his own delay to the
// figure. So the instant is taken at the socket, under every protocol, and asked
// for from above.
//
// On Linux a TCP connection is asked for the kernel's stamp of each segment as
// the network layer takes it in (SO_TIMESTAMPNS), and, once StampWrites is
// called, of each small write as its last byte is handed to the device
// (SO_TIMESTAMPING). What the kernel has no stamp for is timed by the return of
// the read or write, as is everything elsewhere and on sockets other than TCP;
// each Stamp says which it is.
//
// A receive stamp is true however late the read is. What it cannot tell:
//
//   - A read that returns several segments has the stamp of the last one. What
//     came before it in the same read is not told apart; Stamp.Previous is the
//     bound.
//   - Segments that wait in the socket may be merged, and then the first has the
//     stamp of the last, even where a small buffer parts them again.
//   - Bytes behind a lost segment could not be had before its repetition came,
//     and count from there.
//
// Kernel stamps are of the wall clock. A Clock converts them to instants of this
// process, and notices where the wall clock was set between the stamp and the
// read: such a stamp is not used.
//
// The package knows no protocol, no metric and no run.
package rxtime

import (
	"net"
	"sync"
	"time"
)

// A Stamp is when the data of one read arrived, or that of one write left.
type Stamp struct {
	// At is the instant by the best source there was: the kernel's where Kernel,
	// otherwise Returned. From read to read of a connection, and from write to
	// write, it never goes back.
	At time.Time
	// Returned is when the read or write returned.
	Returned time.Time
	// Previous is At of the read or write before; of the first it is the instant
	// of Wrap.
	Previous time.Time
	// Kernel says that At is the kernel's stamp.
	Kernel bool
}

// A Conn is a net.Conn that keeps the instants of its latest arrival and its
// latest departure. What holds for a net.Conn holds for it: any number of
// goroutines may call its methods at once, and errors and deadlines are those of
// the connection beneath.
type Conn struct {
	net.Conn
	clock   *Clock
	in, out history
	reader  *reader // nil where there are no kernel stamps
	writer  *writer // nil unless StampWrites
	socket  *Socket // nil unless Detach
}

// Wrap returns c as a Conn whose traffic is timed from now on, with a Clock of
// its own. Connections that belong together share one.
func Wrap(c net.Conn) *Conn { return NewClock().Wrap(c) }

// Wrap returns c as a Conn whose traffic is timed from now on.
func (k *Clock) Wrap(c net.Conn) *Conn {
	now := k.now().mono
	conn := &Conn{Conn: c, clock: k, reader: newReader(c, k)}
	for _, h := range []*history{&conn.in, &conn.out} {
		h.latest, h.before = passage{at: now, returned: now}, now
	}
	return conn
}

// Kernel reports whether the connection was asked for the kernel's receive stamps.
// It is called before Detach.
func (c *Conn) Kernel() bool { return c.reader != nil }

// StampWrites asks the kernel for transmit stamps and reports whether it gives
// them. It is called before the first Write. A write costs about 2 µs more.
func (c *Conn) StampWrites() bool {
	c.writer = newWriter(c.Conn, c.clock)
	return c.writer != nil
}

// Read reads from the connection beneath and, when that returned data, keeps
// the instant of its arrival. It does not allocate.
func (c *Conn) Read(p []byte) (int, error) {
	if c.socket != nil {
		return c.socket.Read(p)
	}
	// Nothing arrives in an empty buffer, and the kernel has nothing to say of it.
	if c.reader != nil && len(p) > 0 {
		n, arrived, err := c.reader.read(p)
		if n > 0 {
			c.in.add(arrived)
		}
		return n, c.opError("read", err)
	}
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.in.add(returned(c.clock.now()))
	}
	return n, err
}

// Write writes to the connection beneath and, when all of p was taken, keeps the
// instant of its departure. It does not allocate.
func (c *Conn) Write(p []byte) (int, error) {
	if c.socket != nil {
		return c.socket.Write(p)
	}
	if c.writer != nil && len(p) > 0 {
		n, left, err := c.writer.write(p)
		if n == len(p) {
			c.out.add(left)
		}
		return n, c.opError("write", err)
	}
	n, err := c.Conn.Write(p)
	if n == len(p) && n > 0 {
		c.out.add(returned(c.clock.now()))
	}
	return n, err
}

// Last returns the stamp of the latest Read that returned data, and how many
// such reads there have been. With none yet its instants are that of Wrap.
func (c *Conn) Last() (s Stamp, reads uint64) {
	if c.socket != nil {
		return c.socket.Last()
	}
	return c.in.last(c.clock)
}

// LastRead returns Stamp.At of Last alone.
func (c *Conn) LastRead() (at time.Time, reads uint64) {
	s, reads := c.Last()
	return s.At, reads
}

// LastSent returns the stamp of the latest Write, of its last byte, and how many
// writes there have been. With none yet its instants are that of Wrap.
//
// The kernel gives no stamp to a write of more than 16 KiB, or while that much
// is on its way unacknowledged: such a write's At is its return, as is that of
// one that still waits for the peer's window.
func (c *Conn) LastSent() (s Stamp, writes uint64) {
	if c.socket != nil {
		return c.socket.LastSent()
	}
	return c.out.last(c.clock)
}

// A passage is when the data of one read or write passed the kernel and when
// the call returned, by the offset from the Clock's base.
type passage struct {
	at, returned int64
	kernel       bool
}

// returned is a passage that only its return is known of.
func returned(now reading) passage { return passage{at: now.mono, returned: now.mono} }

// A history is what has passed in one direction.
type history struct {
	mu     sync.Mutex // held for a few assignments only
	count  uint64
	latest passage
	before int64 // at of the passage before
}

func (h *history) add(p passage) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p.at = max(p.at, h.latest.at)
	p.returned = max(p.returned, p.at)
	h.before, h.latest = h.latest.at, p
	h.count++
}

func (h *history) last(k *Clock) (Stamp, uint64) {
	h.mu.Lock()
	p, before, count := h.latest, h.before, h.count
	h.mu.Unlock()
	return Stamp{At: k.time(p.at), Returned: k.time(p.returned), Previous: k.time(before), Kernel: p.kernel}, count
}

// From finds the Conn at the bottom of c, through any number of layers that
// give what they wrap by a method NetConn, as *tls.Conn does. It reports false
// where there is none.
func From(c net.Conn) (*Conn, bool) {
	for {
		switch layer := c.(type) {
		case *Conn:
			return layer, true
		case interface{ NetConn() net.Conn }:
			c = layer.NetConn()
		default:
			return nil, false
		}
	}
}
