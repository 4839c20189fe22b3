// Package frame reads and writes WebSocket frames as a client does (RFC 6455):
// bytes → messages and control frames, and back.
//
// A Decoder takes bytes as they come off a connection, cut anywhere, and holds
// memory only for a message that is cut or fragmented; a whole one is given back
// where it lies. Nothing is allocated a message. Append makes a masked frame.
//
// What is checked is what the protocol needs to stay in step: reserved bits,
// opcodes, the order of fragments, lengths, masks and close codes. Whether text
// is UTF-8 is not: for an instrument it is a payload. No extension is known.
//
// The package knows no connection, no ping and no answer to one.
package frame

// An Opcode says what a frame is.
type Opcode uint8

// Opcodes of RFC 6455, section 11.8. None and the continuation of a message
// share 0: a Decoder puts fragments together, so nobody meets the latter.
const (
	None   Opcode = 0
	Text   Opcode = 1
	Binary Opcode = 2
	Close  Opcode = 8
	Ping   Opcode = 9
	Pong   Opcode = 10
)

const continuation = None

// Control reports whether o is a control frame's.
func (o Opcode) Control() bool { return o&8 != 0 }

// A Frame is a whole message, fragments put together, or a control frame.
type Frame struct {
	Opcode  Opcode
	Payload []byte // of a Decoder's: valid until its next call
}

// Bits of a frame's first two bytes.
const (
	finalBit  = 0x80
	rsvBits   = 0x70
	maskBit   = 0x80
	lengthMax = 0x7f // of the second byte without the mask
	length16  = 126  // two bytes of length follow
	length64  = 127  // eight do
)

// MaxControl is the most a control frame may carry, in bytes.
const MaxControl = 125

// maxHeader is the longest header of a frame without a mask, in bytes.
const maxHeader = 10
