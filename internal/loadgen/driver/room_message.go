package driver

import (
	"bytes"
	"math"
	"strconv"
	"strings"
)

// A roomMessage is what one publish carries so that any receiver can account
// for it.
//
// On the wire it is a JSON object, padded to the payload size drawn for it:
//
//	{"edgeload":"1:<run>:<room>:<publisher>:<seq>:<planned>;","pad":"xxx…"}
//
// run is 16 hexadecimal digits, the others are decimal. The fields lie in one
// string without a quote or a backslash, so that a relay may wrap the object,
// re-indent it or carry it as an escaped string without hiding them.
type roomMessage struct {
	run       uint64 // which run and workload: see runMark
	room      int    // index
	publisher int    // index within the room
	seq       int64  // from 0, within (room, publisher)
	planned   int64  // planned publish instant, Unix nanoseconds
}

const (
	messageKey   = "edgeload"
	messageBegin = `{"` + messageKey + `":"1:`
	messagePad   = `;","pad":"`
	messageEnd   = `"}`
	runDigits    = 16
)

// padding is what a payload is filled with, a block at a time.
const padding = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

// appendMessage appends m's JSON object to b, padded to size bytes. A size
// below what the fields need gives the smallest object that holds them.
func appendMessage(b []byte, m roomMessage, size int) []byte {
	begin := len(b)
	b = append(b, messageBegin...)
	const hexDigits = "0123456789abcdef"
	for shift := 4 * (runDigits - 1); shift >= 0; shift -= 4 {
		b = append(b, hexDigits[m.run>>shift&0xf])
	}
	for _, n := range [...]int64{int64(m.room), int64(m.publisher), m.seq, m.planned} {
		b = append(b, ':')
		b = strconv.AppendInt(b, n, 10)
	}
	b = append(b, messagePad...)
	for fill := size - (len(b) - begin) - len(messageEnd); fill > 0; fill -= len(padding) {
		b = append(b, padding[:min(fill, len(padding))]...)
	}
	return append(b, messageEnd...)
}

// nextMessage finds the first message of ours in data, whatever it is wrapped
// in, and returns it with what lies behind its fields; a frame may carry
// several. It does not allocate.
func nextMessage(data []byte) (m roomMessage, rest []byte, ok bool) {
	for {
		i := bytes.Index(data, []byte(messageKey))
		if i < 0 {
			return roomMessage{}, nil, false
		}
		data = data[i+len(messageKey):]
		if m, n, ok := parseFields(data); ok {
			return m, data[n:], true
		}
	}
}

// parseFields reads what follows the key, and how long it is.
func parseFields(data []byte) (m roomMessage, n int, ok bool) {
	f := fields{data: data}
	f.skip(`\": `)
	f.literal("1:")
	m.run = f.hex()
	f.literal(":")
	m.room = int(f.decimal(math.MaxInt32))
	f.literal(":")
	m.publisher = int(f.decimal(math.MaxInt32))
	f.literal(":")
	m.seq = f.decimal(math.MaxInt64)
	f.literal(":")
	m.planned = f.decimal(math.MaxInt64)
	f.literal(";")
	return m, f.at, !f.bad
}

// fields reads one field after the other; after the first that does not fit it
// reads nothing more.
type fields struct {
	data []byte
	at   int
	bad  bool
}

func (f *fields) skip(chars string) {
	for f.at < len(f.data) && strings.IndexByte(chars, f.data[f.at]) >= 0 {
		f.at++
	}
}

func (f *fields) literal(s string) {
	if f.bad || !bytes.HasPrefix(f.data[f.at:], []byte(s)) {
		f.bad = true
		return
	}
	f.at += len(s)
}

func (f *fields) hex() (v uint64) {
	if f.bad || len(f.data)-f.at < runDigits {
		f.bad = true
		return 0
	}
	for _, c := range f.data[f.at : f.at+runDigits] {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			v = v<<4 | uint64(c-'a'+10)
		default:
			f.bad = true
			return 0
		}
	}
	f.at += runDigits
	return v
}

func (f *fields) decimal(highest int64) (v int64) {
	begin := f.at
	for ; !f.bad && f.at < len(f.data); f.at++ {
		c := f.data[f.at]
		if c < '0' || c > '9' {
			break
		}
		digit := int64(c - '0')
		if v > (highest-digit)/10 {
			f.bad = true
			return 0
		}
		v = v*10 + digit
	}
	if f.at == begin {
		f.bad = true
	}
	return v
}

// runMark tells the messages of one workload of one run from all others: a
// relay may hold another run's members in a room of the same name. startUnixNano
// keeps apart two generators that gave their runs the same ID.
func runMark(runID, workload string, startUnixNano int64) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211 // FNV-1a, 64 bits
	mark := uint64(offset)
	for _, s := range [...]string{runID, "\x00", workload, "\x00", strconv.FormatInt(startUnixNano, 10)} {
		for i := range len(s) {
			mark = (mark ^ uint64(s[i])) * prime
		}
	}
	return mark
}
