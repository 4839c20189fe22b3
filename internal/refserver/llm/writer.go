package llm

import (
	"bytes"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/edgeload/edgeload/internal/wire"
)

// eventWriter sends one event at a time, each behind its stamp. It belongs to
// one request and reuses its buffer.
type eventWriter struct {
	w     http.ResponseWriter
	flush func() error
	split bool // each event in two writes
	buf   []byte
}

func newEventWriter(w http.ResponseWriter, split bool) *eventWriter {
	e := &eventWriter{w: w, split: split}
	if f, ok := w.(interface{ FlushError() error }); ok {
		e.flush = f.FlushError
	} else {
		e.flush = http.NewResponseController(w).Flush
	}
	return e
}

// send writes stamp and event in one write, flushes, and returns the instant
// in the stamp.
func (e *eventWriter) send(event []byte) (time.Time, error) {
	now := time.Now()
	e.buf = append(wire.AppendStamp(e.buf[:0], now), event...)
	rest := e.buf
	if e.split {
		at := splitAt(e.buf)
		if _, err := e.w.Write(rest[:at]); err != nil {
			return now, err
		}
		if err := e.flush(); err != nil {
			return now, err
		}
		rest = rest[at:]
	}
	if _, err := e.w.Write(rest); err != nil {
		return now, err
	}
	return now, e.flush()
}

// splitAt is where an event is cut: within its first character of several bytes,
// else in the middle.
func splitAt(event []byte) int {
	if i := bytes.IndexFunc(event, func(r rune) bool { return r >= utf8.RuneSelf }); i >= 0 {
		return i + 1
	}
	return len(event) / 2
}
