package driver

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/h1"
)

// linger is how long an answer that nothing more is wanted of is read on, so
// that its connection can be kept for the next arrival.
const linger = 250 * time.Millisecond

// errTimeout and errCut are in the chain of the error an exchange ends with when
// its time was over, and when the run's drain time was.
var (
	errTimeout = errors.New("timeout of the workload")
	errCut     = errors.New("cut at the end of the drain")
)

// A transport sends the requests of one workload and tells of their answers.
// Any number of goroutines may use it at once.
type transport interface {
	// start sends req, whose body can be had again by GetBody, and tells x what
	// becomes of it. It may return before that is over. The exchange has until
	// the given instant of the run, and ends early with ctx, which also carries
	// withConnectTimes.
	start(ctx context.Context, req *http.Request, until time.Duration, x exchange)
	// close ends what is kept open, after the last exchange has ended.
	close()
}

// An exchange is told what becomes of one request: opened, then sent, then head,
// then body for each piece, as far as it comes, and end exactly once and last.
// The calls come one after the other, from any goroutine, and may not block, which
// to start another exchange would; an instant is one of the run.
type exchange interface {
	// opened: there is a connection for the request. A request that is repeated
	// on a fresh one because the server had closed the first has a second call.
	opened(c connection)
	// sent: the whole request has been written. There may be no call where the
	// answer comes before that, and there is none for a repetition.
	sent(d departure)
	// head: the status and headers are there, after any answers below 200. first
	// is the instant of their first byte, r that of their last; resp.Body is nil.
	head(resp *http.Response, first time.Duration, r receipt) next
	// body: bytes of the body, free of transfer coding, to be used before the
	// return. They are never none.
	body(p []byte, r receipt) next
	// end: the whole body was read or no more was wanted, where err is nil. Where
	// the server closed the connection within the answer it is
	// io.ErrUnexpectedEOF.
	end(err error)
}

// A connection is what a request goes out on.
type connection struct {
	reused bool          // used before, or shared
	ready  time.Duration // when it was there for the request
}

// A departure is when a request left.
type departure struct {
	at     time.Duration // of its last byte; 0 where that is not known
	kernel bool          // at is the kernel's stamp
}

// next is what an exchange wants of the rest of its answer.
type next int

const (
	more   = next(h1.More)   // read on
	enough = next(h1.Enough) // read on for linger, so that the connection can be kept
	stop   = next(h1.Stop)   // nothing more: close the connection
)
