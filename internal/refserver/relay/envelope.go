package relay

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/gorilla/websocket"
)

// An envelope is what stands on a room's channel, all numbers big-endian:
//
//	0      version, 1
//	1      kind: 1 text, 2 binary, 3 an announcement
//	2      1 where an announcement asks for those of the others, else 0
//	3      0
//	4..11  process: a random number
//	12..19 stay: which of the process's stays in the room this is
//	20..27 number: of the message in the stay, from 1; of an announcement, that of the
//	       last message so far, 0 before the first
//	28..35 of a message, its sender in the process; of an announcement, the number
//	       up to which the broker had taken everything
//	36..   payload of a message, as it was sent
type envelope struct {
	kind    byte
	ask     bool
	origin  origin
	number  uint64
	sender  uint64 // of a message
	heard   uint64 // of an announcement
	payload []byte // aliases what was parsed
}

// origin is whose numbers they are: a process's stay in a room.
type origin struct{ process, stay uint64 }

const (
	envelopeVersion  = 1
	envelopeHeader   = 36
	envelopeNumberAt = 20

	kindText         = websocket.TextMessage
	kindBinary       = websocket.BinaryMessage
	kindAnnouncement = 3
)

// appendEnvelope appends e to b.
func appendEnvelope(b []byte, e *envelope) []byte {
	ask, last := byte(0), e.sender
	if e.ask {
		ask = 1
	}
	if e.kind == kindAnnouncement {
		last = e.heard
	}
	b = append(b, envelopeVersion, e.kind, ask, 0)
	b = binary.BigEndian.AppendUint64(b, e.origin.process)
	b = binary.BigEndian.AppendUint64(b, e.origin.stay)
	b = binary.BigEndian.AppendUint64(b, e.number)
	b = binary.BigEndian.AppendUint64(b, last)
	return append(b, e.payload...)
}

// renumber sets the number of an envelope that was appended to an empty slice.
func renumber(b []byte, number uint64) { binary.BigEndian.PutUint64(b[envelopeNumberAt:], number) }

// parseEnvelope reads an envelope. Whatever appendEnvelope cannot have written is
// an error.
func parseEnvelope(b []byte) (e envelope, err error) {
	if len(b) < envelopeHeader {
		return e, fmt.Errorf("envelope of %d bytes: want %d at least", len(b), envelopeHeader)
	}
	if b[0] != envelopeVersion {
		return e, fmt.Errorf("envelope of version %d: want %d", b[0], envelopeVersion)
	}
	e = envelope{
		kind:    b[1],
		ask:     b[2] == 1,
		origin:  origin{binary.BigEndian.Uint64(b[4:]), binary.BigEndian.Uint64(b[12:])},
		number:  binary.BigEndian.Uint64(b[envelopeNumberAt:]),
		payload: b[envelopeHeader:],
	}
	last := binary.BigEndian.Uint64(b[28:])
	switch {
	case b[2] > 1 || b[3] != 0:
		return e, errors.New("envelope with a flag that is not known")
	case e.number == 1<<64-1:
		return e, errors.New("envelope with a number that has no next")
	case e.kind == kindAnnouncement:
		e.heard = last
		if len(e.payload) != 0 || e.heard > e.number {
			return e, errors.New("announcement with a payload, or of more heard than said")
		}
	case e.kind == kindText || e.kind == kindBinary:
		e.sender = last
		if e.ask || e.number == 0 {
			return e, errors.New("message that asks, or without a number")
		}
	default:
		return e, fmt.Errorf("envelope of kind %d", e.kind)
	}
	return e, nil
}
