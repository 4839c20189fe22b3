// Package edge is the server around functions: it routes
// /functions/v1/<name>, answers preflights, turns unknown names, wrong methods
// and panics into the platform's error answers, counts what happens, and lives
// from accept to drain (Life).
//
// It knows HTTP and the platform's answers; it knows no function, and is
// handed the list of them.
package edge

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/edgeload/edgeload/internal/wire"
)

// PathFunctions is the path under which functions are reached by name.
const PathFunctions = "/functions/v1/"

// Options sets up a Server; the zero value serves only health and metrics.
type Options struct {
	// Functions are reached at PathFunctions+name and at every path below that.
	// Names hold no slash.
	Functions []Function

	// Routes are further handlers by exact path. They get CORS and panic
	// answers, and are not counted as functions.
	Routes map[string]http.Handler

	// Collectors are shown at wire.PathMetrics beside the server's own.
	Collectors []prometheus.Collector

	Log *slog.Logger // nil: discard
}

// Server is the http.Handler for everything the reference server listens to.
// It is safe for concurrent use.
type Server struct {
	handler http.Handler
}

// New assembles a server. It panics on a name or path that http.ServeMux
// would not take, and on a collector that is registered twice: both are errors
// of the program.
func New(opts Options) *Server {
	log := opts.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	registry.MustRegister(opts.Collectors...)
	metrics := newMetrics(registry)

	mux := http.NewServeMux()
	for _, f := range opts.Functions {
		handler, err := f.Load(&Worker{ctx: context.Background()})
		if err != nil {
			panic(err)
		}
		counted := count(f.Name, handler, metrics, log)
		mux.Handle(PathFunctions+f.Name, counted)
		mux.Handle(PathFunctions+f.Name+"/", counted)
	}
	unknown := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		WriteError(w, http.StatusNotFound, CodeNotFound, "requested function was not found")
	})
	mux.Handle(PathFunctions, count(unknownFunction, unknown, metrics, log))
	for path, handler := range opts.Routes {
		mux.Handle(path, guard(path, handler, log))
	}
	mux.HandleFunc(wire.PathHealth, health)
	mux.Handle(wire.PathMetrics, promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		WriteError(w, http.StatusNotFound, CodeNotFound, "nothing is served at this path; functions are under "+PathFunctions)
	})
	return &Server{handler: cors(mux)}
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
