package h1

import (
	"bytes"
	"errors"
)

// Limits of the chunked transfer coding: what surrounds the data of a chunk is
// no place for more.
const (
	maxChunkLine   = 4 << 10 // a size with its extensions
	maxTrailers    = 64 << 10
	maxChunkDigits = 16
)

var (
	errChunkSize = errors.New("malformed chunked encoding: chunk length")
	errChunkEnd  = errors.New("malformed chunked encoding: no line end after a chunk")
	errTrailer   = errors.New("malformed chunked encoding: line of a trailer")
	errChunkLine = errors.New("malformed chunked encoding: line too long")
)

// A chunked decodes the chunked transfer coding (RFC 9112, section 7.1) from
// pieces cut anywhere. Extensions and trailers are read over. The zero value
// begins a body.
type chunked struct {
	phase  chunkPhase
	size   uint64 // data still to come of the chunk
	digits int
	line   int  // bytes of the present line, or of all trailers
	cr     bool // the byte before, of a size line, was a CR
	blank  bool // only blanks have followed the size
	empty  bool // the present trailer line, so far
}

type chunkPhase uint8

const (
	chunkSize      chunkPhase = iota // the digits of a size
	chunkExtension                   // the rest of its line
	chunkData
	chunkCR // after the data
	chunkLF
	chunkTrailer
)

// next decodes the beginning of p: n bytes of it, of which data, if any, is part
// of the body. done says that the body ended there.
func (d *chunked) next(p []byte) (n int, data []byte, done bool, err error) {
	for n < len(p) {
		b := p[n]
		switch d.phase {
		case chunkSize:
			if err := d.sizeByte(b); err != nil {
				return n, nil, false, err
			}
		case chunkExtension:
			if err := d.extensionByte(b); err != nil {
				return n, nil, false, err
			}
		case chunkData:
			data = p[n:]
			if uint64(len(data)) > d.size {
				data = data[:d.size]
			}
			if d.size -= uint64(len(data)); d.size == 0 {
				d.phase = chunkCR
			}
			return n + len(data), data, false, nil
		case chunkCR, chunkLF:
			if err := d.afterData(b); err != nil {
				return n, nil, false, err
			}
		case chunkTrailer:
			skipped, ended, err := d.trailer(p[n:])
			if ended || err != nil {
				return n + skipped, nil, ended, err
			}
			n += skipped - 1
		}
		n++
	}
	return n, nil, false, nil
}

// sizeByte takes one byte of a chunk's size line up to its extensions.
func (d *chunked) sizeByte(b byte) error {
	digit := uint64(0)
	switch {
	case '0' <= b && b <= '9':
		digit = uint64(b - '0')
	case 'a' <= b && b <= 'f':
		digit = uint64(b-'a') + 10
	case 'A' <= b && b <= 'F':
		digit = uint64(b-'A') + 10
	case d.digits == 0:
		return errChunkSize
	case b == ';' || b == ' ' || b == '\t' || b == '\r':
		d.phase, d.cr, d.blank = chunkExtension, b == '\r', b != ';'
		return nil
	default:
		return errChunkSize
	}
	if d.digits++; d.digits > maxChunkDigits {
		return errChunkSize
	}
	d.size = d.size<<4 | digit
	return nil
}

// extensionByte takes one byte of the rest of a size line, which ends in CR LF
// and has neither before.
func (d *chunked) extensionByte(b byte) error {
	if d.cr != (b == '\n') {
		return errChunkSize
	}
	switch b {
	case ';':
		d.blank = false
	case ' ', '\t', '\r', '\n':
	default:
		if d.blank {
			return errChunkSize
		}
	}
	if d.cr = b == '\r'; b != '\n' {
		if d.line++; d.line > maxChunkLine {
			return errChunkLine
		}
		return nil
	}
	d.phase = chunkData
	if d.size == 0 {
		d.phase, d.empty = chunkTrailer, true
	}
	d.digits, d.line = 0, 0
	return nil
}

// afterData takes the line end that follows the data of a chunk.
func (d *chunked) afterData(b byte) error {
	switch {
	case b == '\r' && d.phase == chunkCR:
		d.phase = chunkLF
	case b == '\n' && d.phase == chunkLF:
		d.phase = chunkSize
	default:
		return errChunkEnd
	}
	return nil
}

// trailer reads over the lines after the last chunk, the last of which is empty.
func (d *chunked) trailer(p []byte) (n int, ended bool, err error) {
	end := bytes.IndexByte(p, '\n')
	n = end + 1
	if end < 0 {
		n = len(p)
	}
	if d.line += n; d.line > maxTrailers {
		return n, false, errChunkLine
	}
	for _, b := range p[:n] {
		if b == '\n' && !d.cr {
			return n, false, errTrailer
		}
		d.cr = b == '\r'
		d.empty = d.empty && (d.cr || b == '\n')
	}
	if end < 0 {
		return n, false, nil
	}
	ended, d.empty = d.empty, true
	return n, ended, nil
}
