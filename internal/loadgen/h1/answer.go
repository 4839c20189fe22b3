package h1

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Limits of what comes before a body.
const (
	maxHead          = 1 << 20 // bytes of a status line and headers
	maxInformational = 5       // answers below 200
)

var (
	errHeadTooLarge = fmt.Errorf("malformed answer: more than %d bytes of headers", maxHead)
	errNoHTTP       = errors.New("malformed answer: no HTTP")
	errInformation  = fmt.Errorf("malformed answer: more than %d answers below 200", maxInformational)
	errSwitched     = errors.New("malformed answer: 101 was not asked for")
)

// protocol is how every status line begins.
var protocol = []byte("HTTP/")

// An answer is how far the answer to the present request has come. The zero
// value awaits one.
type answer struct {
	body          framing
	keep          bool // the connection can be used again after it
	chunks        chunked
	remaining     int64     // of a body of known length
	first         time.Time // when its first byte arrived
	head          []byte    // the beginning of a head that has not come whole
	informational int
}

// framing is how a body ends.
type framing uint8

const (
	awaited framing = iota // the head is not there yet
	fixed
	inChunks
	untilClose
)

// A headReader parses heads with one buffer.
type headReader struct {
	text *bytes.Reader
	buf  *bufio.Reader
}

func newHeadReader() *headReader {
	text := bytes.NewReader(nil)
	return &headReader{text: text, buf: bufio.NewReaderSize(text, 4<<10)}
}

// takeHead takes p as more of the head and returns the parsed answer once it is
// whole, and what follows it. Answers below 200 are read over.
func (a *answer) takeHead(p []byte, req *http.Request, r *headReader) (resp *http.Response, rest []byte, err error) {
	for len(p) > 0 {
		text, rest, whole := a.gather(p)
		switch {
		case !bytes.HasPrefix(text, protocol[:min(len(text), len(protocol))]):
			return nil, nil, errNoHTTP // it may never end
		case len(text) > maxHead:
			return nil, nil, errHeadTooLarge
		case !whole:
			return nil, nil, nil
		}
		r.text.Reset(text)
		r.buf.Reset(r.text)
		resp, err := http.ReadResponse(r.buf, req)
		if err != nil {
			return nil, nil, fmt.Errorf("malformed answer: %w", err)
		}
		a.head = nil
		switch {
		case resp.StatusCode == http.StatusSwitchingProtocols:
			return nil, nil, errSwitched
		case resp.StatusCode >= 200:
			resp.Body = nil
			a.frame(resp, req)
			return resp, rest, nil
		}
		if a.informational++; a.informational > maxInformational {
			return nil, nil, errInformation
		}
		p = rest
	}
	return nil, nil, nil
}

// gather adds p to what there is of the head and cuts after it. Where it comes
// in one piece, as nearly always, it is not copied.
func (a *answer) gather(p []byte) (text, rest []byte, whole bool) {
	if len(a.head) == 0 {
		if end := endOfHead(p, 0); end > 0 {
			return p[:end], p[end:], true
		}
		a.head = slices.Clone(p)
		return a.head, nil, false
	}
	had := len(a.head)
	a.head = append(a.head, p...)
	end := endOfHead(a.head, max(0, had-3))
	if end == 0 {
		return a.head, nil, false
	}
	return a.head[:end], p[end-had:], true
}

// endOfHead is where p's head ends, looked for from a place on; 0 where it does
// not. A line may end in LF alone.
func endOfHead(p []byte, from int) int {
	for {
		lf := bytes.IndexByte(p[from:], '\n')
		if lf < 0 {
			return 0
		}
		from += lf + 1
		switch after := p[from:]; {
		case len(after) > 0 && after[0] == '\n':
			return from + 1
		case len(after) > 1 && after[0] == '\r' && after[1] == '\n':
			return from + 2
		}
	}
}

// frame finds how the body of resp ends (RFC 9112, section 6.3).
func (a *answer) frame(resp *http.Response, req *http.Request) {
	a.keep = !resp.Close
	switch {
	case req.Method == http.MethodHead, resp.StatusCode == http.StatusNoContent, resp.StatusCode == http.StatusNotModified:
		a.body, a.remaining = fixed, 0
	case len(resp.TransferEncoding) > 0:
		a.body = inChunks
	case resp.ContentLength >= 0:
		a.body, a.remaining = fixed, resp.ContentLength
	default:
		a.body, a.keep = untilClose, false
	}
}

// takeBody decodes the beginning of p: n bytes of it, of which data, if any, is
// part of the body. done says that the body ended there.
func (a *answer) takeBody(p []byte) (n int, data []byte, done bool, err error) {
	switch a.body {
	case inChunks:
		return a.chunks.next(p)
	case fixed:
		data = p
		if int64(len(data)) > a.remaining {
			data = data[:a.remaining]
		}
		a.remaining -= int64(len(data))
		return len(data), data, a.remaining == 0, nil
	default:
		return len(p), p, false, nil
	}
}
