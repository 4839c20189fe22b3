package edge

import (
	"bufio"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// answer watches what a handler answers: the status, and whether it has begun. It
// passes flushes and hijacks on.
//
// Where limits ask for it (buffers), it holds a body back until the first flush or
// the handler's end, so that an answer too large can still become an error.
type answer struct {
	http.ResponseWriter
	inv      *Invocation // nil: no function's
	limits   *Limits     // nil: none
	status   int         // 0 until the header is written
	hijacked bool

	buffers bool
	body    []byte
	tooBig  bool

	begun   atomic.Bool // something was handed on, so that no other answer can be given
	stopped atomic.Bool // the handler may not write any more
	why     atomic.Value

	// Where there is an idle timeout. Writes only leave their instant here; the
	// timeout's timer looks when it fires.
	timed   bool
	last    atomic.Int64 // end of the last write, in nanoseconds from the request's start
	writing atomic.Bool
}

// WriteHeader notes the status; informational ones are not the answer yet,
// except 101, which is the last.
func (a *answer) WriteHeader(status int) {
	final := status >= 200 || status == http.StatusSwitchingProtocols
	if final {
		if a.status == 0 {
			a.status = status
		}
		if a.buffers {
			return
		}
		if !a.begin() {
			return
		}
	}
	a.ResponseWriter.WriteHeader(status)
}

// begin notes that the answer goes out from now on, and reports whether it may.
func (a *answer) begin() bool {
	if a.begun.Load() {
		return !a.stopped.Load()
	}
	if a.stopped.Load() {
		return false
	}
	if a.status == 0 {
		a.status = http.StatusOK
	}
	if a.status >= http.StatusInternalServerError && a.inv != nil && a.Header().Get(HeaderErrorCode) == "" {
		a.Header().Set(HeaderErrorCode, CodeFunctionError)
	}
	a.begun.Store(true)
	return !a.stopped.Load()
}

// Write notes the implied 200.
func (a *answer) Write(b []byte) (int, error) {
	if a.buffers {
		return a.hold(b)
	}
	if !a.begin() {
		return 0, a.reason()
	}
	if !a.timed {
		return a.ResponseWriter.Write(b)
	}
	a.writing.Store(true)
	n, err := a.ResponseWriter.Write(b)
	a.wrote()
	return n, err
}

// wrote notes that a write has ended now.
func (a *answer) wrote() {
	a.last.Store(int64(time.Since(a.inv.start)))
	a.writing.Store(false)
}

// hold keeps a part of the body back.
func (a *answer) hold(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	if a.stopped.Load() {
		return 0, a.reason()
	}
	if limit := a.limits.ResponseBytes; limit > 0 && int64(len(a.body)+len(b)) > limit {
		err := sizeError{limit}
		a.tooBig = true
		a.inv.Release(int64(len(a.body)))
		a.body = nil
		a.stop(err, false, false)
		a.inv.cancel(err)
		return 0, err
	}
	if err := a.inv.Hold(int64(len(b))); err != nil {
		return 0, err
	}
	a.body = append(a.body, b...)
	return len(b), nil
}

// pass hands on what was held back, and holds nothing back from now on.
func (a *answer) pass() error {
	if !a.buffers {
		return nil
	}
	if a.stopped.Load() {
		return a.reason()
	}
	a.buffers = false
	if a.status == 0 {
		a.status = http.StatusOK
	}
	body := a.body
	a.body = nil
	a.WriteHeader(a.status)
	var err error
	if len(body) > 0 {
		_, err = a.Write(body)
		a.inv.Release(int64(len(body)))
	}
	return err
}

// finish sends what was held back of an answer that is complete.
func (a *answer) finish() {
	if !a.buffers {
		return
	}
	if h := a.Header(); len(a.body) > 0 && h.Get("Content-Length") == "" && h.Get("Content-Encoding") == "" {
		h.Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	_ = a.pass() // the client has left: nobody to tell
}

// refuse answers in the function's stead, which must not have begun to.
func (a *answer) refuse(status int, code, message string) {
	forget(a.Header())
	a.status = status
	a.body = nil
	WriteError(a.ResponseWriter, status, code, message)
}

// stop refuses what the handler writes from now on, for the reason given. A write that
// goes on ends at once, and with it the connection or stream; with cut, so do those
// between whose writes it strikes; with unread, a read of the request's body ends.
func (a *answer) stop(why error, cut, unread bool) {
	a.why.CompareAndSwap(nil, stopReason{why})
	a.stopped.Store(true)
	past := time.Unix(1, 0)
	control := http.NewResponseController(a.ResponseWriter)
	if cut || a.begun.Load() && a.writing.Load() {
		_ = control.SetWriteDeadline(past) // a writer without deadlines has no connection to cut
	}
	if unread {
		_ = control.SetReadDeadline(past)
	}
}

// stopReason gives the values of answer.why one type.
type stopReason struct{ error }

// reason is why the handler may not write.
func (a *answer) reason() error {
	if why, ok := a.why.Load().(stopReason); ok {
		return why.error
	}
	return http.ErrHandlerTimeout
}

// FlushError flushes, which begins the answer if nothing else did.
func (a *answer) FlushError() error {
	if err := a.pass(); err != nil {
		return err
	}
	if !a.begin() {
		return a.reason()
	}
	if !a.timed {
		return http.NewResponseController(a.ResponseWriter).Flush()
	}
	a.writing.Store(true)
	err := http.NewResponseController(a.ResponseWriter).Flush()
	a.wrote()
	return err
}

// Flush is FlushError for callers that know only http.Flusher.
func (a *answer) Flush() { _ = a.FlushError() } // the interface has no place for the error

// Hijack hands the connection over, as WebSocket upgrades need. The request is
// acknowledged by it; the connection is cut when the worker dies.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := a.takeOver()
	if err != nil || a.inv == nil {
		return conn, rw, err
	}
	if err := a.inv.worker.pool.upgraded(a.inv, conn); err != nil {
		_ = conn.Close() // the worker died
		return nil, nil, err
	}
	return conn, rw, nil
}

// takeOver hijacks the connection, which a limit strikes before or no more: its
// deadlines would stay with the socket.
func (a *answer) takeOver() (net.Conn, *bufio.ReadWriter, error) {
	if a.inv != nil {
		a.inv.mu.Lock()
		defer a.inv.mu.Unlock()
	}
	if a.stopped.Load() {
		return nil, nil, a.reason()
	}
	conn, rw, err := http.NewResponseController(a.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	a.hijacked = true
	a.status = http.StatusSwitchingProtocols
	if a.inv != nil {
		a.inv.finish()
	}
	return conn, rw, nil
}

// Unwrap lets http.ResponseController reach what answer does not pass on.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
