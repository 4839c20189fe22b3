// Package edge is the server around functions: it routes /functions/v1/<name>,
// answers preflights, verifies tokens, turns unknown names, wrong methods and
// panics into the platform's error answers, counts what happens, and lives from
// accept to drain (Life).
//
// Functions run in workers, which are what the platform's isolates are: each has its
// own memory, made by Function.Load when it boots and gone when it dies. A function
// has Options.Workers of them, taken in turn. Limits say how long a worker lives and
// what it and its requests may use; Profiles names the sets that are worth having.
// CPU time is measured by the thread's clock (Invocation.Compute), memory is what
// functions account for (Invocation.Hold) and what their answers buffer.
//
//	limit                        what happens                              the request
//	CPU time, soft               the worker retires                        goes on
//	CPU time, memory             the worker is killed                      546 WORKER_RESOURCE_LIMIT
//	half of the wall clock       the worker retires, drops if idle         goes on; an open socket ends as 1006
//	the wall clock               the worker is killed                      546 WORKER_LIMIT; a stream is cut
//	response, not flushed        nothing else                              546 WORKER_LIMIT
//	request idle                 nothing else                              504 IDLE_TIMEOUT; a stream ends
//	request wait, boot           -                                         503 BOOT_ERROR
//
// A limit's answer is given to requests that have not begun to answer; an answer
// that has begun is cut, so that it cannot be taken for complete.
//
// It knows HTTP and the platform's answers; it knows no function, and is
// handed the list of them.
package edge

import (
	"cmp"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/edgeload/edgeload/internal/refserver/truth"
	"github.com/edgeload/edgeload/internal/wire"
)

// PathFunctions is the path under which functions are reached by name.
const PathFunctions = "/functions/v1/"

// Defaults of Options.
const (
	DefaultMaxTasks   = 10_000
	DefaultMaxWaiting = 10_000
)

// Options sets up a Server; the zero value serves only health and metrics.
type Options struct {
	// Functions are reached at PathFunctions+name and at every path below that.
	// Names hold no slash.
	Functions []Function

	// Workers is how many workers each function has at once, taken in turn by its
	// requests; 0: 1. A worker starts with the first request that comes to it.
	Workers int

	// ColdStart is how long a worker takes to start, before its function's Load.
	ColdStart time.Duration

	Limits Limits // of workers and requests; the zero value limits nothing

	// MaxTasks is how many background tasks a worker may have pending;
	// 0: DefaultMaxTasks. One more is ErrTooManyTasks.
	MaxTasks int

	// MaxWaiting is how many requests may wait for a worker of a function;
	// 0: DefaultMaxWaiting. One more is answered 503.
	MaxWaiting int

	Auth  *Auth        // nil: functions are open, and Admin is closed
	Admin http.Handler // nil: none. Reached below wire.PathAdmin, by the service role alone

	// Routes are further handlers by exact path. They get CORS and panic
	// answers, and are not counted as functions.
	Routes map[string]http.Handler

	// Collectors are shown at wire.PathMetrics beside the server's own.
	Collectors []prometheus.Collector

	Ledger *truth.Ledger // where the lives of workers are recorded; nil: nowhere

	Log *slog.Logger // nil: discard
}

// Server is the http.Handler for everything the reference server listens to.
// It is safe for concurrent use. Who has sent it a request ends it with Terminate
// or Close.
type Server struct {
	handler    http.Handler
	pools      []*pool
	limits     Limits
	coldStart  time.Duration
	maxTasks   int
	maxWaiting int
	auth       *Auth
	ledger     *truth.Ledger
	log        *slog.Logger

	workers    atomic.Uint64  // the last worker's ID
	background sync.WaitGroup // boots, background tasks, handlers of beforeunload
}

// New assembles a server. It panics on a name or path that http.ServeMux
// would not take, on a collector that is registered twice, and on limits that
// Limits.Check does not let pass: all are errors of the program.
func New(opts Options) *Server {
	if err := opts.Limits.Check(); err != nil {
		panic(err)
	}
	s := &Server{
		limits: opts.Limits, coldStart: opts.ColdStart, auth: opts.Auth, ledger: opts.Ledger, log: opts.Log,
		maxTasks: cmp.Or(opts.MaxTasks, DefaultMaxTasks), maxWaiting: cmp.Or(opts.MaxWaiting, DefaultMaxWaiting),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	registry.MustRegister(opts.Collectors...)
	metrics := newMetrics(registry)

	mux := http.NewServeMux()
	for _, f := range opts.Functions {
		p := newPool(s, f, max(1, opts.Workers), metrics.of(f.Name))
		s.pools = append(s.pools, p)
		handler := &served{pool: p}
		mux.Handle(PathFunctions+f.Name, handler)
		mux.Handle(PathFunctions+f.Name+"/", handler)
	}
	registry.MustRegister(newWorkerCollector(s))
	unknown := metrics.of(unknownFunction)
	mux.HandleFunc(PathFunctions, func(w http.ResponseWriter, r *http.Request) {
		WriteError(w, http.StatusNotFound, CodeNotFound, "requested function was not found")
		unknown.requests.WithLabelValues(unknownFunction, strconv.Itoa(http.StatusNotFound)).Inc()
	})
	for path, handler := range opts.Routes {
		mux.Handle(path, guard(path, handler, s.log))
	}
	if opts.Admin != nil {
		mux.Handle(wire.PathAdmin, serviceOnly(s.auth, guard(wire.PathAdmin, opts.Admin, s.log)))
	}
	mux.HandleFunc(wire.PathHealth, health)
	mux.Handle(wire.PathMetrics, promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		WriteError(w, http.StatusNotFound, CodeNotFound, "nothing is served at this path; functions are under "+PathFunctions)
	})
	s.handler = cors(mux)
	return s
}

// ServeHTTP routes one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// health answers that the process serves.
func health(w http.ResponseWriter, r *http.Request) {
	if !AllowMethod(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"status":"ok"}`) // the client has left: nobody to tell
}

// AllowMethod reports whether the request's method is one of allowed; where it
// is not, the request is answered: 204 to OPTIONS, else 405, both with Allow.
func AllowMethod(w http.ResponseWriter, r *http.Request, allowed ...string) bool {
	for _, method := range allowed {
		if r.Method == method {
			return true
		}
	}
	w.Header().Set("Allow", strings.Join(append(allowed, http.MethodOptions), ", "))
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
	} else {
		WriteError(w, http.StatusMethodNotAllowed, "", "method "+r.Method+" is not allowed here")
	}
	return false
}
