package frame

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrTooBig says that a message is beyond the Decoder's limit.
var ErrTooBig = errors.New("websocket: message too big")

// A ProtocolError is what a peer must not send.
type ProtocolError string

func (e ProtocolError) Error() string { return "websocket: " + string(e) }

// A Decoder makes frames of a server's bytes. The zero Decoder is ready. One
// goroutine at a time may use it.
type Decoder struct {
	// Limit is the most a message may carry, in bytes, in all its fragments; 0
	// allows any. It is held against what a header announces, before the payload.
	Limit int64

	// The header under way, and how much of it has come.
	head  [maxHeader]byte
	known int

	payload bool  // the header is complete
	left    int64 // bytes of the payload that are still to come

	message Opcode // of the message under way; None between messages
	length  int64  // announced of it so far
	data    []byte // of it: what cannot be given back where it lies
	control []byte // of a control frame that was cut
}

// Next takes one frame off data, which follows what the last call left as rest.
// A frame of None says that data is used up. After an error, a ProtocolError or
// ErrTooBig, the Decoder is of no more use.
func (d *Decoder) Next(data []byte) (f Frame, rest []byte, err error) {
	for {
		if !d.payload {
			if data, err = d.begin(data); err != nil || !d.payload {
				return Frame{}, nil, err
			}
		}
		n := min(d.left, int64(len(data)))
		piece := data[:n]
		data, d.left = data[n:], d.left-n
		if f, ok := d.take(piece); ok {
			return f, data, nil
		}
		if d.payload {
			return Frame{}, nil, nil
		}
	}
}

// begin reads the header as far as it is there, and returns what follows it.
func (d *Decoder) begin(data []byte) ([]byte, error) {
	for {
		need := 2
		if d.known >= 2 {
			switch d.head[1] & lengthMax {
			case length16:
				need += 2
			case length64:
				need += 8
			}
			if d.known == need {
				return data, d.open()
			}
		}
		n := copy(d.head[d.known:need], data)
		if d.known += n; d.known < need {
			return nil, nil
		}
		data = data[n:]
		if need == 2 {
			if err := d.check(); err != nil {
				return nil, err
			}
		}
	}
}

// check looks at the first two bytes of a header.
func (d *Decoder) check() error {
	op, final := Opcode(d.head[0]&0xf), d.head[0]&finalBit != 0
	switch {
	case d.head[0]&rsvBits != 0:
		return ProtocolError("reserved bits without an extension")
	case d.head[1]&maskBit != 0:
		return ProtocolError("masked frame from a server")
	}
	switch op {
	case Text, Binary:
		if d.message != None {
			return ProtocolError("message within a message")
		}
	case continuation:
		if d.message == None {
			return ProtocolError("continuation without a message")
		}
	case Close, Ping, Pong:
		if !final {
			return ProtocolError("control frame in fragments")
		}
		if d.head[1]&lengthMax > MaxControl {
			return ProtocolError("control frame longer than 125 bytes")
		}
	default:
		return ProtocolError(fmt.Sprintf("unknown opcode %d", op))
	}
	return nil
}

// open begins the payload of a frame whose header is complete.
func (d *Decoder) open() error {
	switch d.left = int64(d.head[1] & lengthMax); d.left {
	case length16:
		d.left = int64(binary.BigEndian.Uint16(d.head[2:]))
	case length64:
		d.left = int64(binary.BigEndian.Uint64(d.head[2:]))
	}
	d.payload, d.known = true, 0
	op := Opcode(d.head[0] & 0xf)
	if op.Control() {
		d.control = d.control[:0]
		return nil
	}
	if op != continuation {
		d.message, d.length, d.data = op, 0, d.data[:0]
	}
	d.length += d.left
	if d.left < 0 || d.length < 0 || d.Limit > 0 && d.length > d.Limit {
		return ErrTooBig
	}
	return nil
}

// take adds a piece of the payload under way and returns what it completes.
func (d *Decoder) take(piece []byte) (f Frame, ok bool) {
	op := Opcode(d.head[0] & 0xf)
	into := &d.data
	if op.Control() {
		into = &d.control
	}
	whole := d.left == 0
	last := whole && d.head[0]&finalBit != 0
	if last && len(*into) == 0 {
		f.Payload = piece
	} else {
		*into = append(*into, piece...)
		f.Payload = *into
	}
	d.payload = !whole
	if !last {
		return Frame{}, false
	}
	f.Opcode = op
	if !op.Control() {
		f.Opcode, d.message = d.message, None
	}
	return f, true
}
