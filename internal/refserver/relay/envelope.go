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
//	28..35 heard: the number up to which everyone may have heard what was said; below
//	       that of the message, or at most that of the announcement. What is between
//	       was lost, in part at least, not long ago
//	36..43 of a message, its sender in the process; else 0
//	44..   payload of a message, as it was sent
type envelope struct {
	kind    byte
	ask     bool
	origin  origin
	number  uint64
	heard   uint64
	sender  uint64 // of a message
	payload []byte // aliases what was parsed
}

// origin is whose numbers they are: a process's stay in a room.
type origin struct{ process, stay uint64 }

const (
	envelopeVersion  = 1
	envelopeHeader   = 44
	envelopeNumberAt = 20

	kindText         = websocket.TextMessage
	kindBinary       = websocket.BinaryMessage
	kindAnnouncement = 3
)

// appendEnvelope appends e to b.
func appendEnvelope(b []byte, e *envelope) []byte {
	ask := byte(0)
	if e.ask {
		ask = 1
	}
	b = append(b, envelopeVersion, e.kind, ask, 0)
	b = binary.BigEndian.AppendUint64(b, e.origin.process)
	b = binary.BigEndian.AppendUint64(b, e.origin.stay)
	b = binary.BigEndian.AppendUint64(b, e.number)
	b = binary.BigEndian.AppendUint64(b, e.heard)
	b = binary.BigEndian.AppendUint64(b, e.sender)
	return append(b, e.payload...)
}

// renumber sets the numbers of an envelope that was appended to an empty slice.
func renumber(b []byte, number, heard uint64) {
	binary.BigEndian.PutUint64(b[envelopeNumberAt:], number)
	binary.BigEndian.PutUint64(b[envelopeNumberAt+8:], heard)
}

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
		heard:   binary.BigEndian.Uint64(b[envelopeNumberAt+8:]),
		sender:  binary.BigEndian.Uint64(b[envelopeNumberAt+16:]),
		payload: b[envelopeHeader:],
	}
	switch {
	case b[2] > 1 || b[3] != 0:
		return e, errors.New("envelope with a flag that is not known")
	case e.number == 1<<64-1:
		return e, errors.New("envelope with a number that has no next")
	case e.kind == kindAnnouncement:
		if len(e.payload) != 0 || e.sender != 0 || e.heard > e.number {
			return e, errors.New("announcement with a payload or a sender, or of more heard than said")
		}
	case e.kind == kindText || e.kind == kindBinary:
		if e.ask || e.heard >= e.number {
			return e, errors.New("message that asks, or that is heard before it is said")
		}
	default:
		return e, fmt.Errorf("envelope of kind %d", e.kind)
	}
	return e, nil
}
