package edge

import (
	"context"
	"net/http"
	"time"
)

// Detach lets the function return while the connection that it took over lives on:
// the socket is over when closed is called, once, and the connection is closed when
// the worker dies, as before. What the request holds, its goroutine among it, is some
// 17 KiB that an open socket has no use for.
//
// The request ends when closed is called: until then it is in flight, and then it is
// timed and counted, with status 101. A function that detaches waits itself for
// whoever serves the connection.
func (inv *Invocation) Detach() (closed func()) {
	p := inv.worker.pool
	if p == nil {
		return func() {}
	}
	p.mu.Lock()
	defer p.unlock()
	inv.detached = true
	return func() {
		if p.closed(inv) {
			p.ended(context.Background(), http.MethodGet, http.StatusSwitchingProtocols, time.Since(inv.start), false)
		}
	}
}

// closed ends a socket, and reports whether its function has returned: where it has
// not, its return ends the request.
func (p *pool) closed(inv *Invocation) (returned bool) {
	p.mu.Lock()
	defer p.unlock()
	if !inv.detached {
		return false
	}
	inv.detached = false
	if inv.returned {
		_ = p.leave(inv) // of a worker that has died: there is nobody left to tell
	}
	return inv.returned
}

// lingers reports whether the invocation goes on as a socket when its function has
// returned. The caller holds p.mu.
func (inv *Invocation) lingers() bool {
	inv.returned = inv.detached && inv.conn != nil
	return inv.returned
}

// drop lets go of the request behind a socket.
func (inv *Invocation) drop() {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	inv.answer = answer{}
	inv.cancel = func(error) {} // it was called when the function returned
}
