package frame

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"
)

// Append appends a final frame to b, masked with key as a client's must be, and
// returns the extended buffer. It does not allocate where b has room for 14
// bytes more than the payload. The payload of a control frame has at most
// MaxControl bytes.
func Append(b []byte, op Opcode, key uint32, payload []byte) []byte {
	b = append(b, byte(op)|finalBit)
	switch n := len(payload); {
	case n < length16:
		b = append(b, maskBit|byte(n))
	case n <= math.MaxUint16:
		b = append(b, maskBit|length16)
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	default:
		b = append(b, maskBit|length64)
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	b = binary.LittleEndian.AppendUint32(b, key)
	begin := len(b)
	b = append(b, payload...)
	mask(b[begin:], key)
	return b
}

// mask masks b in place with key, whose lowest byte is the first.
func mask(b []byte, key uint32) {
	for twice := uint64(key)<<32 | uint64(key); len(b) >= 8; b = b[8:] {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^twice)
	}
	for i := range b {
		b[i] ^= byte(key >> (8 * (i % 4)))
	}
}

// NoStatus is the code of a close frame that names none; it is never sent.
const NoStatus = 1005

// AppendClose appends the payload of a close frame to b: nothing for NoStatus.
// A reason that is too long for a control frame is cut, between characters.
func AppendClose(b []byte, code int, reason string) []byte {
	if code == NoStatus {
		return b
	}
	if most := MaxControl - 2; len(reason) > most {
		for most > 0 && !utf8.RuneStart(reason[most]) {
			most--
		}
		reason = reason[:most]
	}
	b = binary.BigEndian.AppendUint16(b, uint16(code))
	return append(b, reason...)
}

// ParseClose returns what the payload of a close frame says. The error is a
// ProtocolError.
func ParseClose(payload []byte) (code int, reason string, err error) {
	if len(payload) < 2 {
		return NoStatus, "", nil
	}
	code = int(binary.BigEndian.Uint16(payload))
	switch {
	case code >= 3000 && code <= 4999: // libraries' and applications' own
	case code < 1000 || code > 1014 || code >= 1004 && code <= 1006: // RFC 6455, 7.4.1, and its registry
		return 0, "", ProtocolError(fmt.Sprintf("close code %d", code))
	}
	if !utf8.Valid(payload[2:]) {
		return 0, "", ProtocolError("close reason is not UTF-8")
	}
	return code, string(payload[2:]), nil
}
