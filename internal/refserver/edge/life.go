package edge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

// Limits of a connection's life. There is no write timeout and no limit on a
// request's length, because streams and sockets last.
const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	maxStreams        = 100_000         // HTTP/2 streams of one connection
	cutGrace          = 5 * time.Second // for handlers to return once they are cut
)

// DefaultDrain is the drain timeout of a Life whose Drain is zero.
const DefaultDrain = 10 * time.Second

// Life serves one handler on one listener, from accept to drain. It speaks
// HTTP/1.1 and cleartext HTTP/2 (prior knowledge) on the same port. Set the
// fields and register hooks before Serve, which may be called once.
type Life struct {
	Handler http.Handler
	Drain   time.Duration // how long requests in flight may take to finish; 0: DefaultDrain
	Log     *slog.Logger  // nil: discard

	hooks []func(context.Context) error
}

// OnShutdown registers f to run when the server has stopped accepting, beside
// the drain of its requests: for connections that a function took over, which
// the server no longer knows. It must return when its context ends, which is
// the end of the drain.
func (l *Life) OnShutdown(f func(context.Context) error) { l.hooks = append(l.hooks, f) }

// Serve accepts on ln until ctx ends. Then it stops accepting, lets requests
// in flight finish and the hooks run, for no longer than Drain, and cuts what
// is left. When it returns, ln is closed and no handler runs any more. The
// error is nil after an orderly end, which a cut is too: it is logged as a
// warning.
func (l *Life) Serve(ctx context.Context, ln net.Listener) error {
	log := l.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	drain := l.Drain
	if drain == 0 {
		drain = DefaultDrain
	}
	base, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	var inflight inFlight
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler:           inflight.wrap(l.Handler),
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		BaseContext:       func(net.Listener) context.Context { return base },
		Protocols:         protocols,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}

	growDescriptors()
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	select {
	case err := <-served:
		cut(errCut)
		_ = server.Close() // the accept error is the one to report
		return errors.Join(fmt.Errorf("accept on %s: %w", ln.Addr(), err), inflight.wait(cutGrace))
	case <-ctx.Done():
	}

	log.Info("draining", "listener", ln.Addr().String(), "in_flight", inflight.running(), "deadline", drain)
	drainCtx, cancel := context.WithTimeout(base, drain)
	defer cancel()
	var parts errgroup.Group
	for _, hook := range l.hooks {
		parts.Go(func() error { return hook(drainCtx) })
	}
	parts.Go(func() error { return server.Shutdown(drainCtx) })
	if err := parts.Wait(); err != nil {
		log.Warn("cutting what did not drain", "listener", ln.Addr().String(), "in_flight", inflight.running(), "reason", err)
	}
	cut(errCut)
	_ = server.Close() // connections that drained are closed already
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		log.Warn("the listener failed while draining", "listener", ln.Addr().String(), "error", err)
	}
	return inflight.wait(cutGrace)
}
