package stream

import (
	"bytes"
	"errors"
	"fmt"
)

// DefaultMaxEvent is the size of the largest event and of the longest line a
// Parser takes unless told otherwise, in bytes.
const DefaultMaxEvent = 1 << 20

// ErrTooLarge is in the chain of the error for an event beyond the limit.
var ErrTooLarge = errors.New("event too large")

// An Event is one dispatched event. Its slices belong to the parser, or to the
// chunk it was fed, and are valid only until the function that was given the
// event returns.
type Event struct {
	// Type is the event field; empty where there was none, which clients call "message".
	Type []byte
	// Data is the data lines, joined with LF. It may be empty.
	Data []byte
	// ID is the last event ID, which persists from event to event.
	ID []byte
	// OwnID says that the event itself had an id.
	OwnID bool
	// Comment is the text of the last comment line within this event's block,
	// after the colon; empty where there was none.
	Comment []byte
}

// A Parser takes an event stream apart. The zero value is ready for use with
// DefaultMaxEvent. One goroutine at a time may use it.
//
// It differs from a browser's in one point: bytes that are not UTF-8 are passed
// on as they are, not replaced.
type Parser struct {
	// MaxEvent bounds one line and the data of one event, in bytes; 0 means
	// DefaultMaxEvent.
	MaxEvent int

	line []byte // begun and not ended
	id   []byte

	// The block so far. What lies within one chunk is used where it lies, so that
	// an event which comes whole, as most do, is not copied.
	data, kind, comment block
	hasData, hasID      bool

	begun  bool // past the byte order mark, or past where it would be
	bom    int  // bytes of the byte order mark seen
	skipLF bool // the last byte was CR, so a LF belongs to it

	retryMillis int64
	hasRetry    bool
	heartbeats  int64
	err         error
}

// A block is one field of an event that has not come to its end.
type block struct {
	text []byte // may lie in the chunk
	own  []byte // the parser's buffer
}

func (b *block) clear() { b.text = nil }

// keep copies the text out of the chunk.
func (b *block) keep() {
	b.own = append(b.own[:0], b.text...)
	b.text = b.own
}

// append adds to a text that is kept from now on.
func (b *block) append(sep byte, more []byte) {
	b.own = append(append(append(b.own[:0], b.text...), sep), more...)
	b.text = b.own
}

// reset empties the block and keeps its buffer, unless that is large.
func (b *block) reset() { *b = block{own: emptied(b.own)} }

// byteOrderMark is stripped once, from the stream's beginning.
const byteOrderMark = "\xef\xbb\xbf"

// keepBuffer bounds each buffer that is kept over a Reset, in bytes.
const keepBuffer = 64 << 10

// Reset makes p ready for another stream. It keeps the buffers, unless an event
// has made them large.
func (p *Parser) Reset() {
	for _, b := range []*block{&p.data, &p.kind, &p.comment} {
		b.reset()
	}
	*p = Parser{
		MaxEvent: p.MaxEvent, line: emptied(p.line), id: emptied(p.id),
		data: p.data, kind: p.kind, comment: p.comment,
	}
}

func emptied(b []byte) []byte {
	if cap(b) > keepBuffer {
		return nil
	}
	return b[:0]
}

// Retry returns the reconnection time the stream last asked for, in
// milliseconds, or false where it asked for none.
func (p *Parser) Retry() (millis int64, ok bool) { return p.retryMillis, p.hasRetry }

// Heartbeats returns how many blocks of comments alone there were since Reset.
func (p *Parser) Heartbeats() int64 { return p.heartbeats }

// Feed takes the next bytes of the stream, split anywhere, and calls emit for
// each event they complete. An event that the stream's end leaves unfinished is
// never emitted. After an error, which wraps ErrTooLarge, every further Feed
// returns it until Reset.
func (p *Parser) Feed(chunk []byte, emit func(Event)) error {
	if p.err != nil {
		return p.err
	}
	if !p.begun {
		chunk = p.begin(chunk)
	}
	if p.skipLF && len(chunk) > 0 {
		p.skipLF = false
		if chunk[0] == '\n' {
			chunk = chunk[1:]
		}
	}
	// The places of the next LF and CR are looked for once each, so that a
	// stream which has only one of them costs no second pass over every line.
	lf, cr := next(chunk, 0, '\n'), next(chunk, 0, '\r')
	for at := 0; ; {
		if lf < at {
			lf = next(chunk, at, '\n')
		}
		if cr < at {
			cr = next(chunk, at, '\r')
		}
		end := min(lf, cr)
		if end == len(chunk) {
			p.line = append(p.line, chunk[at:]...)
			p.keep()
			return p.check(len(p.line))
		}
		line := chunk[at:end]
		if len(p.line) > 0 {
			p.line = append(p.line, line...)
			line = p.line
		}
		if err := p.check(len(line)); err != nil {
			return err
		}
		if err := p.takeLine(line, emit); err != nil {
			return err
		}
		if len(p.line) > 0 {
			p.keep()
			p.line = p.line[:0]
		}
		at = end + 1
		if chunk[end] == '\r' {
			if at == len(chunk) {
				p.skipLF = true
				p.keep()
				return nil
			}
			if chunk[at] == '\n' {
				at++
			}
		}
	}
}

// keep copies what there is of the present block out of the chunk, which is the
// caller's again.
func (p *Parser) keep() {
	if p.hasData || len(p.kind.text) > 0 || len(p.comment.text) > 0 {
		p.data.keep()
		p.kind.keep()
		p.comment.keep()
	}
}

// next is the index of c in chunk at or after from, len(chunk) where there is none.
func next(chunk []byte, from int, c byte) int {
	if i := bytes.IndexByte(chunk[from:], c); i >= 0 {
		return from + i
	}
	return len(chunk)
}

// begin strips the byte order mark, which may come in pieces. What turns out
// not to be one is the beginning of the first line.
func (p *Parser) begin(chunk []byte) []byte {
	for len(chunk) > 0 && p.bom < len(byteOrderMark) && chunk[0] == byteOrderMark[p.bom] {
		p.bom++
		chunk = chunk[1:]
	}
	switch {
	case p.bom == len(byteOrderMark):
		p.begun = true
	case len(chunk) > 0:
		p.begun = true
		p.line = append(p.line, byteOrderMark[:p.bom]...)
	}
	return chunk
}

// check holds n, the length of a line or of an event's data, against the limit.
func (p *Parser) check(n int) error {
	limit := p.MaxEvent
	if limit <= 0 {
		limit = DefaultMaxEvent
	}
	if n > limit {
		p.err = fmt.Errorf("parse event stream: %w: more than %d bytes", ErrTooLarge, limit)
	}
	return p.err
}

// takeLine takes one line without its end.
func (p *Parser) takeLine(line []byte, emit func(Event)) error {
	if len(line) == 0 {
		p.dispatch(emit)
		return nil
	}
	name, value, colon := bytes.Cut(line, []byte{':'})
	if colon && len(name) == 0 {
		p.comment.text = value
		return nil
	}
	if len(value) > 0 && value[0] == ' ' {
		value = value[1:]
	}
	switch string(name) {
	case "data":
		if err := p.check(len(p.data.text) + len(value)); err != nil {
			return err
		}
		if !p.hasData {
			p.hasData, p.data.text = true, value
			break
		}
		p.data.append('\n', value)
	case "event":
		p.kind.text = value
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			p.id, p.hasID = append(p.id[:0], value...), true
		}
	case "retry":
		p.retry(value)
	}
	return nil
}

// retry takes a reconnection time: ASCII digits and nothing else. One beyond
// any use is held at the largest int64.
func (p *Parser) retry(value []byte) {
	const most = 1<<63 - 1
	var millis int64
	for _, c := range value {
		if c < '0' || c > '9' {
			return
		}
		if millis > (most-9)/10 {
			millis = most
			continue
		}
		millis = millis*10 + int64(c-'0')
	}
	if len(value) > 0 {
		p.retryMillis, p.hasRetry = millis, true
	}
}

// dispatch ends a block: it emits the event unless there was no data, and
// forgets everything but the ID.
func (p *Parser) dispatch(emit func(Event)) {
	switch {
	case p.hasData:
		emit(Event{Type: p.kind.text, Data: p.data.text, ID: p.id, OwnID: p.hasID, Comment: p.comment.text})
	case len(p.comment.text) > 0:
		p.heartbeats++
	}
	p.hasData, p.hasID = false, false
	p.data.clear()
	p.kind.clear()
	p.comment.clear()
}
