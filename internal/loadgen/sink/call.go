package sink

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// A Handler is told of the calls of one name, from any number of goroutines at once.
type Handler interface {
	// Serve says what is answered to c, which is not used after its return but for
	// its Context. It does not wait: how long an answer takes is the answer's affair.
	Serve(c *Call) Answer
}

// A Call is a request that came.
type Call struct {
	Method string
	// Rest is the path behind the name, without a slash before it.
	Rest   string
	Query  url.Values
	Header http.Header
	Body   []byte // at most 1 MiB; what is longer is answered 413 and not handed on
	// First and Whole are when its first and its last byte arrived, in this process's
	// clock: by the kernel's stamp where Kernel, else by the return of the read. Where
	// several segments came in one read, all of them have the instant of the last: Whole
	// is exact, First may be late by what lay between them.
	First, Whole time.Time
	Kernel       bool
	// Context ends when the call is over: it was answered, its caller has gone while
	// it waited for an answer, its handler was removed or the sink was closed. A caller
	// that has shut down its sending side counts as gone.
	Context context.Context
}

// An Answer is what the caller gets. The zero value is 200 with a small JSON object.
type Answer struct {
	// Status; default 200.
	Status int
	// Header beside what the status needs; how the message is framed is the sink's.
	Header http.Header
	// Body, with Content-Type application/json unless Header says otherwise; default:
	// whether the status is a good one, in a JSON object. Not used with Stream.
	Body []byte
	// After is how long after the call's last byte the answer is begun.
	After time.Duration
	// Reset cuts the connection with a TCP reset in place of an answer.
	Reset bool
	// Hang leaves the caller without an answer until it gives up, the handler is
	// removed or the sink closes, and for at most 10 minutes. Then the connection ends.
	Hang bool
	// Stream, where set, is the body: a Script makes one.
	Stream *Stream
	// Leaves, where set, is called once: right before the last bytes of the answer are
	// written, or the connection is reset, with that instant, so that nothing the caller
	// does upon its answer comes before; or when the caller has gone without it, or the
	// sink or the handler has. It does not wait.
	Leaves func(at time.Time, gone bool)
	// Wait waits for the instants of After and Stream; nil is Go's timers, which are
	// late by up to a millisecond where the process is idle.
	Wait Waiter
}

// A Waiter waits for an instant and answers true; false as soon as ctx ends. One that
// has passed is true at once. It is used by one goroutine at a time.
type Waiter func(ctx context.Context, until time.Time) bool

// onTime is the Waiter of Go's timers.
func onTime(ctx context.Context, until time.Time) bool {
	left := time.Until(until)
	if left <= 0 {
		return true
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
