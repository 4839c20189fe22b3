package llm

import (
	"bytes"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/edgeload/edgeload/internal/wire"
)

// stampRoom is the space before an event for its stamp, which has 28 bytes for the
// next 260 years.
const stampRoom = 32

// eventWriter sends one event at a time, each behind its stamp. It belongs to
// one request and has one buffer.
type eventWriter struct {
	w     http.ResponseWriter
	rc    flusher
	split bool   // each event in two writes
	buf   []byte // stampRoom, then the event
}

// flusher is what response writers that can say so flush by.
type flusher interface{ FlushError() error }

// controller flushes any other.
type controller struct{ *http.ResponseController }

func (c controller) FlushError() error { return c.Flush() }

func (e *eventWriter) flush() error { return e.rc.FlushError() }

// begin readies it to write to w.
func (e *eventWriter) begin(w http.ResponseWriter, split bool) {
	e.w, e.split = w, split
	if f, ok := w.(flusher); ok {
		e.rc = f
	} else {
		e.rc = controller{http.NewResponseController(w)}
	}
	e.buf = make([]byte, stampRoom, 8*stampRoom)
}

// set makes prefix, so many words and suffix the event that send sends.
func (e *eventWriter) set(prefix string, said *teller, words int, suffix string) {
	e.buf = said.append(append(e.buf[:stampRoom], prefix...), words)
	e.buf = append(e.buf, suffix...)
}

// sendEvent is send for an event that is at hand.
func (e *eventWriter) sendEvent(event []byte) error {
	e.buf = append(e.buf[:stampRoom], event...)
	_, err := e.send()
	return err
}

// send writes stamp and event in one write, flushes, and returns the instant
// in the stamp.
func (e *eventWriter) send() (time.Time, error) {
	var stamp [stampRoom]byte
	now := time.Now()
	length := copy(stamp[:], wire.AppendStamp(stamp[:0], now))
	rest := e.buf[stampRoom-length:]
	copy(rest, stamp[:length])
	if e.split {
		at := splitAt(rest)
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
