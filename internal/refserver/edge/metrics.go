package edge

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// unknownFunction is the label of requests for a name that is not served, so
// that callers cannot make labels.
const unknownFunction = "(unknown)"

// errCut is the cause of a request's end when the server's drain deadline
// passed.
var errCut = errors.New("server cut the request at the drain deadline")

// metrics counts requests to functions.
type metrics struct {
	requests *prometheus.CounterVec
	inFlight *prometheus.GaugeVec
	duration *prometheus.HistogramVec
	aborted  *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "refserver_function_requests_total",
			Help: "Requests to functions that ended, by function and status code.",
		}, []string{"function", "code"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "refserver_function_requests_in_flight",
			Help: "Requests that a function is answering.",
		}, []string{"function"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "refserver_function_duration_seconds",
			Help:    "From a request's entry to the function's return; for a stream that is its end, for a socket its close.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 20),
		}, []string{"function"}),
		aborted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "refserver_function_aborted_total",
			Help: "Requests whose client left before the function had answered.",
		}, []string{"function"}),
	}
	registry.MustRegister(m.requests, m.inFlight, m.duration, m.aborted)
	return m
}

// count wraps a function: it counts, and turns a panic into an answer.
func count(name string, function http.Handler, m *metrics, log *slog.Logger) http.Handler {
	inFlight, duration := m.inFlight.WithLabelValues(name), m.duration.WithLabelValues(name)
	aborted := m.aborted.WithLabelValues(name)
	guarded := guard(name, function, log)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		a := &answer{ResponseWriter: w}
		inFlight.Inc()
		defer func() {
			took := time.Since(start)
			inFlight.Dec()
			duration.Observe(took.Seconds())
			status := a.status
			if status == 0 {
				status = http.StatusOK // what net/http answers for a handler that wrote nothing
			}
			left := !a.hijacked && r.Context().Err() != nil && !errors.Is(context.Cause(r.Context()), errCut)
			if left {
				aborted.Inc()
			}
			m.requests.WithLabelValues(name, strconv.Itoa(status)).Inc()
			if log.Enabled(r.Context(), slog.LevelDebug) {
				log.Debug("request", "function", name, "method", r.Method, "status", status, "took", took, "aborted", left)
			}
		}()
		guarded.ServeHTTP(a, r)
	})
}

// guard turns a handler's panic into 500 WORKER_ERROR. An answer that has
// begun cannot be taken back: its connection or stream is cut, so that the
// client sees it end early. http.ErrAbortHandler asks for that cut itself.
func guard(name string, handler http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, counted := w.(*answer)
		if !counted {
			a = &answer{ResponseWriter: w}
		}
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
			if a.status != 0 {
				panic(http.ErrAbortHandler)
			}
			WriteError(a, http.StatusInternalServerError, CodeWorkerError, "the function ended with an uncaught error")
		}()
		handler.ServeHTTP(a, r)
	})
}
