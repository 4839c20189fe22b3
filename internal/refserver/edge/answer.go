package edge

import (
	"bufio"
	"net"
	"net/http"
)

// answer watches what a handler answers: the status, and whether it has begun.
// It passes flushes and hijacks on.
type answer struct {
	http.ResponseWriter
	status   int // 0 until the header is written
	hijacked bool
}

// WriteHeader notes the status; informational ones are not the answer yet,
// except 101, which is the last.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write notes the implied 200.
func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.ResponseWriter.Write(b)
}

// FlushError flushes, which begins the answer if nothing else did.
func (a *answer) FlushError() error {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return http.NewResponseController(a.ResponseWriter).Flush()
}

// Flush is FlushError for callers that know only http.Flusher.
func (a *answer) Flush() { _ = a.FlushError() } // the interface has no place for the error

// Hijack hands the connection over, as WebSocket upgrades need.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(a.ResponseWriter).Hijack()
	if err == nil {
		a.hijacked = true
		a.status = http.StatusSwitchingProtocols
	}
	return conn, rw, err
}

// Unwrap lets http.ResponseController reach what answer does not pass on.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
