package edge

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"
)

// errCut is the cause of a request's end when the server's drain deadline
// passed.
var errCut = errors.New("server cut the request at the drain deadline")

// served is a function as requests come to it.
type served struct{ pool *pool }

// ServeHTTP answers one request in a worker.
func (f *served) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.pool.metrics.inFlight.Inc()
	s := f.pool.server
	inv := &Invocation{start: time.Now(), body: r.ContentLength != 0}
	inv.answer.ResponseWriter = w
	inv.answer.inv = inv
	inv.answer.limits = &s.limits
	inv.answer.buffers = s.limits.buffers()
	defer f.end(inv, r)

	if s.auth.guardsFunctions() && r.Method != http.MethodOptions {
		role, refusal := s.auth.verify(r.Header.Get("Authorization"))
		if refusal != nil {
			inv.answer.refuse(http.StatusUnauthorized, refusal.code, refusal.message)
			return
		}
		inv.role = role
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	inv.cancel = cancel
	inv.watch(s.limits.RequestIdle)
	if err := f.pool.enter(ctx, inv); err != nil {
		inv.over()
		f.turnAway(inv, err)
		return
	}
	defer func() { f.conclude(inv, recover()) }()
	inv.worker.handler.ServeHTTP(&inv.answer, r.WithContext(context.WithValue(ctx, invocationKey{}, inv)))
}

// turnAway answers a request that got no worker.
func (f *served) turnAway(inv *Invocation, err error) {
	var boot *BootError
	var end *EndError
	var idle idleError
	switch {
	case errors.As(err, &boot):
		f.pool.server.log.Warn("a worker did not start", "function", f.pool.name, "error", boot.Err)
		inv.answer.refuse(http.StatusServiceUnavailable, CodeBootError, "the function failed to start")
	case errors.As(err, &end):
		inv.answer.refuse(http.StatusServiceUnavailable, CodeBootError, "the worker ended while it started")
	case errors.As(err, &idle):
		f.idleTimeout(inv)
	default: // a waitError, or the client has left
		inv.answer.refuse(http.StatusServiceUnavailable, CodeBootError, err.Error())
	}
}

// idleTimeout answers a request that sent nothing in time.
func (f *served) idleTimeout(inv *Invocation) {
	inv.answer.refuse(http.StatusGatewayTimeout, CodeIdleTimeout, "the function sent nothing before the request idle timeout")
}

// conclude ends a request whose function has returned, or panicked for a reason. A
// limit's answer comes before the function's own. What has begun cannot be taken
// back: it is cut, so that the client sees it end early.
func (f *served) conclude(inv *Invocation, reason any) {
	p := f.pool
	a := &inv.answer
	p.mu.Lock()
	if reason == nil && inv.lingers() {
		p.unlock()
		return
	}
	end, idle := p.leave(inv), inv.over()
	switch {
	case a.hijacked, end != nil: // answered by the upgrade; killed, and counted then
	case idle:
		p.counts.idle++
	case a.tooBig:
		p.counts.tooBig++
	}
	p.unlock()
	err, isError := reason.(error)
	aborted := isError && errors.Is(err, http.ErrAbortHandler)
	if reason != nil && !aborted {
		p.server.log.Error("handler panicked", "handler", p.name, "reason", reason, "stack", string(debug.Stack()))
	}
	switch begun := a.begun.Load(); {
	case a.hijacked: // the connection is the function's own
		if aborted {
			panic(reason)
		}
	case end != nil:
		if begun || end.Reason == ReasonTermination {
			panic(http.ErrAbortHandler)
		}
		a.refuse(limitAnswer(end.Reason))
	case idle:
		if !begun {
			f.idleTimeout(inv)
		}
	case a.tooBig && !begun:
		a.refuse(StatusLimit, CodeWorkerLimit, "the response is larger than a buffered one may be")
	case aborted:
		panic(reason)
	case reason != nil && begun:
		panic(http.ErrAbortHandler)
	case reason != nil:
		a.refuse(http.StatusInternalServerError, CodeWorkerError, "the function ended with an uncaught error")
	default:
		a.finish()
	}
}

// end counts a request that has ended. One that goes on as a socket it only lets go
// of: that is counted when the socket is closed.
func (f *served) end(inv *Invocation, r *http.Request) {
	if inv.returned {
		inv.drop()
		return
	}
	a := &inv.answer
	status := a.status
	if status == 0 {
		status = http.StatusOK // what net/http answers for a handler that wrote nothing
	}
	left := !a.hijacked && !a.stopped.Load() && r.Context().Err() != nil && !errors.Is(context.Cause(r.Context()), errCut)
	f.pool.ended(r.Context(), r.Method, status, time.Since(inv.start), left)
}

// ended counts a request that has ended.
func (p *pool) ended(ctx context.Context, method string, status int, took time.Duration, aborted bool) {
	p.metrics.inFlight.Dec()
	p.metrics.duration.Observe(took.Seconds())
	if aborted {
		p.metrics.aborted.Inc()
	}
	p.metrics.requests.WithLabelValues(p.name, strconv.Itoa(status)).Inc()
	if log := p.server.log; log.Enabled(ctx, slog.LevelDebug) {
		log.Debug("request", "function", p.name, "method", method, "status", status, "took", took, "aborted", aborted)
	}
}

// guard turns the panic of a handler that is no function into 500 WORKER_ERROR, as
// conclude does. http.ErrAbortHandler asks for the cut itself.
func guard(name string, handler http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := &answer{ResponseWriter: w}
		defer func() {
			reason := recover()
			if reason == nil {
				return
			}
			if err, ok := reason.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(reason)
			}
			log.Error("handler panicked", "handler", name, "reason", reason, "stack", string(debug.Stack()))
			if a.hijacked {
				return // the connection is the handler's own
			}
			if a.begun.Load() {
				panic(http.ErrAbortHandler)
			}
			a.refuse(http.StatusInternalServerError, CodeWorkerError, "the handler ended with an uncaught error")
		}()
		handler.ServeHTTP(a, r)
	})
}
