package driver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/h1"
	"github.com/edgeload/edgeload/internal/loadgen/rxtime"
)

// A loops is the transport on event loops: HTTP/1.1, plain or over TLS, at a
// fraction of net/http's processor time and memory. start returns when the
// request is written.
type loops struct {
	client *h1.Client
	clock  engine.Clock
}

// newLoops returns a transport to a destination that opens connections by dial.
func newLoops(clock engine.Clock, dial func(ctx context.Context, addr string, secure bool) (net.Conn, error), to destination) (*loops, error) {
	client, err := h1.New(h1.Options{Dial: dial, Linger: linger, MaxIdle: to.keep, Gather: to.gather, Gatherers: to.gatherers})
	if err != nil {
		return nil, err
	}
	return &loops{client: client, clock: clock}, nil
}

func (t *loops) close() { t.client.Close() }

func (t *loops) start(ctx context.Context, req *http.Request, until time.Duration, x exchange) {
	t.client.Start(ctx, req, t.clock.Time(until), &converted{x: x, clock: t.clock, ctx: ctx})
}

// A converted exchange is told in instants of the run.
type converted struct {
	x     exchange
	clock engine.Clock
	ctx   context.Context
}

// Opened, Sent, Head, Body and End are h1.Handler.
func (c *converted) Opened(reused bool, ready time.Time) {
	c.x.opened(connection{reused: reused, ready: c.clock.Since(ready)})
}

func (c *converted) Sent(s rxtime.Stamp) {
	c.x.sent(departure{at: c.clock.Since(s.At), kernel: s.Kernel})
}

func (c *converted) Head(resp *http.Response, first time.Time, s rxtime.Stamp, reads uint64) h1.Next {
	return h1.Next(c.x.head(resp, c.clock.Since(first), newReceipt(c.clock, s, reads)))
}

func (c *converted) Body(p []byte, s rxtime.Stamp, reads uint64) h1.Next {
	return h1.Next(c.x.body(p, newReceipt(c.clock, s, reads)))
}

func (c *converted) End(err error) {
	switch {
	case err == nil:
	case c.ctx.Err() != nil:
		err = fmt.Errorf("%w: %w", errCut, err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = fmt.Errorf("%w: %w", errTimeout, err)
	}
	c.x.end(err)
}
