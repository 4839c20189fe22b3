package knownanswer

import (
	"net"
	"net/http"
	"strconv"
	"time"
)

const streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n"

// own is the line of a connection that speaks HTTP/1.1 and is one stream's alone:
// each piece is a chunk, and one write.
type own struct {
	conn net.Conn
	buf  []byte
}

func (l *own) head() error {
	l.buf = append(l.buf[:0], streamHead...)
	return l.write()
}

func (l *own) event(b []byte) error {
	l.buf = appendChunk(l.buf[:0], b)
	return l.write()
}

func (l *own) end(b []byte) error {
	l.buf = append(appendChunk(l.buf[:0], b), "0\r\n\r\n"...)
	return l.write()
}

func (l *own) write() error {
	if err := l.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := l.conn.Write(l.buf)
	return err
}

// appendChunk appends b as one chunk of a chunked body.
func appendChunk(to, b []byte) []byte {
	to = strconv.AppendInt(to, int64(len(b)), 16)
	to = append(to, "\r\n"...)
	to = append(to, b...)
	return append(to, "\r\n"...)
}

// shared is the line of one stream of an HTTP/2 connection: each piece is flushed
// into a frame.
type shared struct {
	w       http.ResponseWriter
	flusher interface{ Flush() error }
}

func (l *shared) head() error {
	l.w.Header().Set("Content-Type", "text/event-stream")
	l.w.Header().Set("Cache-Control", "no-store")
	l.w.WriteHeader(http.StatusOK)
	return l.flusher.Flush()
}

func (l *shared) event(b []byte) error {
	if _, err := l.w.Write(b); err != nil {
		return err
	}
	return l.flusher.Flush()
}

func (l *shared) end(b []byte) error {
	_, err := l.w.Write(b) // the end of the handler flushes it
	return err
}
