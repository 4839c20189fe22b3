package target

import (
	"fmt"
	"io"
	"strings"
	"sync"
)

// tailSize is how much of a process's output is kept.
const tailSize = 64 << 10

// A tail keeps the last tailSize bytes written to it and counts the rest. Any
// number of goroutines may use it at once.
type tail struct {
	mu      sync.Mutex
	ring    []byte
	next    int // where the next byte goes once the ring is full
	written int64
	also    io.Writer // nil after it has failed
}

// Write keeps b and passes it on; it never fails.
func (t *tail) Write(b []byte) (int, error) {
	n := len(b)
	t.keep(b)
	if t.also != nil { // only the one goroutine that writes reads it
		if _, err := t.also.Write(b); err != nil {
			t.also = nil
		}
	}
	return n, nil
}

func (t *tail) keep(b []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.written += int64(len(b))
	b = b[max(0, len(b)-tailSize):]
	grown := min(len(b), tailSize-len(t.ring))
	t.ring = append(t.ring, b[:grown]...)
	for b = b[grown:]; len(b) > 0; {
		n := copy(t.ring[t.next:], b)
		b = b[n:]
		t.next = (t.next + n) % tailSize
	}
}

// String returns what is kept, from the beginning of a line, after a note of
// what is not.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := string(t.ring[t.next:]) + string(t.ring[:t.next])
	lost := t.written - int64(len(s))
	if lost == 0 {
		return s
	}
	if i := strings.IndexByte(s, '\n'); i >= 0 && i < len(s)-1 {
		lost += int64(i + 1)
		s = s[i+1:]
	}
	return fmt.Sprintf("[%d bytes before this were not kept]\n", lost) + s
}
