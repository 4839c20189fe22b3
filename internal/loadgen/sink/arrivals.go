package sink

import (
	"errors"
	"io"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/rxtime"
)

// errTooLong is that a request's head goes beyond its limit.
var errTooLong = errors.New("the head is too long")

// arrivals is a connection's reader, which knows when the requests on it came.
//
// What reads a request through a buffer asks for more only when it has used up what it
// has, and what it asks for last brings the request's last byte. So a request was whole
// with the latest read, however many there were; and what is left in the buffer behind it
// came by that same read, so that the next request began with it. It begins with the next
// read where nothing is left.
type arrivals struct {
	conn  *rxtime.Conn
	room  int // bytes that may still be read
	begun bool
	first rxtime.Stamp // of the request's first byte, once begun
}

// Read reads from the connection.
func (a *arrivals) Read(p []byte) (int, error) {
	if a.room <= 0 {
		return 0, errTooLong
	}
	n, err := a.conn.Read(p[:min(len(p), a.room)])
	if n > 0 {
		a.room -= n
		if !a.begun {
			a.begun = true
			a.first, _ = a.conn.Last()
		}
	}
	return n, err
}

// next makes ready for the next request, of which so many bytes are in the buffer.
func (a *arrivals) next(buffered int) {
	if a.begun = buffered > 0; a.begun {
		a.first, _ = a.conn.Last()
	}
}

// whole is when the request's first and last byte came, once it has been read.
func (a *arrivals) whole() (first, last time.Time, kernel bool) {
	s, _ := a.conn.Last()
	return a.first.At, s.At, a.first.Kernel && s.Kernel
}

var _ io.Reader = (*arrivals)(nil)
