// Package rxtime is a net.Conn that knows when its bytes arrived.
//
// A measured latency ends when bytes reach this machine, not when the program
// gets round to them: whoever decodes TLS, HTTP or JSON first and looks at the
// clock afterwards adds his own work to the figure. So the instant is taken at
// the socket, under every protocol, and asked for from above.
//
// The source of the instant is the return of the read (Source). It includes the
// time the reading goroutine waited for a processor, which the generator's
// health reports beside the results.
//
// The package knows no protocol, no metric and no run.
package rxtime

import (
	"net"
	"sync/atomic"
	"time"
)

// Source names where receive instants come from, for the result file: "read" is
// the return of the read.
const Source = "read"

// A Conn is a net.Conn that keeps the instant of its latest arrival. As with
// most uses of a net.Conn one goroutine at a time calls Read; LastRead may be
// called from any.
type Conn struct {
	net.Conn
	base  time.Time // instants are kept as offsets from it, in nanoseconds
	reads atomic.Uint64
	// at[n&1] is the instant of read n: the next read writes the other slot, so
	// that a caller of LastRead never sees the count of one and the instant of
	// another.
	at [2]atomic.Int64
}

// Wrap returns c as a Conn whose reads are timed from now on.
func Wrap(c net.Conn) *Conn {
	return &Conn{Conn: c, base: time.Now()}
}

// Read reads from the connection beneath and, when that returned data, keeps
// the instant of its return. It adds no lock and no allocation.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		next := c.reads.Load() + 1
		c.at[next&1].Store(int64(time.Since(c.base)))
		c.reads.Store(next)
	}
	return n, err
}

// LastRead returns the instant (with its monotonic reading) at which the latest
// Read that returned data returned, and how many such reads there have been.
// With none yet the instant is that of Wrap.
func (c *Conn) LastRead() (at time.Time, reads uint64) {
	for {
		n := c.reads.Load()
		ns := c.at[n&1].Load()
		if c.reads.Load() == n {
			return c.base.Add(time.Duration(ns)), n
		}
	}
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
