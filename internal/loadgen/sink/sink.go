// Package sink is loadgen's own HTTP endpoint, which a target under test calls: for
// the completions of background work, for webhooks and cron, and as the upstream that
// it depends on.
//
// A Sink listens on one address. What is called below /NAME/ goes to the handler of
// that name, which is told of each call, with the instants at which its bytes came,
// and says what is answered. It knows neither runs nor scenarios.
package sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// maxBody bounds what is read of a call's body.
const maxBody = 1 << 20

// Options say where a sink listens. The zero value takes a free port of 127.0.0.1.
type Options struct {
	// Listen is the host and port listened on; default 127.0.0.1:0.
	Listen string
	// URL is the address under which the target reaches the sink; default http://
	// and what is listened on.
	URL string
}

// A Sink is an HTTP server on one address. Any number of goroutines may use one.
type Sink struct {
	url    string
	server *http.Server
	served chan error

	mu       sync.RWMutex
	handlers map[string]Handler
}

// A Handler is told of the calls of one name, from any number of goroutines at once.
type Handler interface {
	// Serve says what is answered to c, which is not used after its return.
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
	// clock: by the kernel's stamp where Kernel, else by the return of the read.
	First, Whole time.Time
	Kernel       bool
	// Context ends when the caller has gone or the sink is closed.
	Context context.Context
}

// An Answer is what the caller gets. The zero value is 200 with a small JSON object.
type Answer struct {
	// Status; default 200.
	Status int
	// Header beside what the status needs.
	Header http.Header
	// Body, with Content-Type application/json unless Header says otherwise. Not used
	// with Write.
	Body []byte
	// After is how long after the call's last byte the answer is begun.
	After time.Duration
	// Reset cuts the connection with a TCP reset in place of an answer.
	Reset bool
	// Hang leaves the caller without an answer until it gives up or the sink closes.
	Hang bool
	// Write, where set, writes the body piece by piece; flush sends what was written.
	// An error of w or of ctx ends it and cuts the answer.
	Write func(ctx context.Context, w io.Writer, flush func() error) error
}

// Open listens. Close must be called on the sink it returns.
func Open(o Options) (*Sink, error) {
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("open the sink: %w", err)
	}
	s := &Sink{url: strings.TrimSuffix(o.URL, "/"), served: make(chan error, 1), handlers: make(map[string]Handler)}
	if s.url == "" {
		s.url = "http://" + listener.Addr().String()
	}
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	go func() { s.served <- s.server.Serve(listener) }()
	return s, nil
}

// URL is the sink's address, without a slash at its end.
func (s *Sink) URL() string { return s.url }

// Close ends the calls under way and stops listening.
func (s *Sink) Close() error {
	err := s.server.Close()
	if served := <-s.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// Handle gives the calls below /name/ to h, until remove is called. One name has one
// handler.
func (s *Sink) Handle(name string, h Handler) (remove func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.handlers[name] != nil {
		return nil, fmt.Errorf("the sink's name %q is taken", name)
	}
	s.handlers[name] = h
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.handlers, name)
	}, nil
}

// ServeHTTP hands one call to its handler and answers it. A name without a handler is
// answered 404.
func (s *Sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	first := time.Now()
	name, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	s.mu.RLock()
	h := s.handlers[name]
	s.mu.RUnlock()
	if h == nil {
		http.Error(w, fmt.Sprintf("nothing listens at /%s", name), http.StatusNotFound)
		return
	}
	var body bytes.Buffer
	if n, err := body.ReadFrom(io.LimitReader(r.Body, maxBody+1)); err != nil || n > maxBody {
		http.Error(w, "the body is too long, or was cut", http.StatusRequestEntityTooLarge)
		return
	}
	a := h.Serve(&Call{
		Method: r.Method, Rest: rest, Query: r.URL.Query(), Header: r.Header, Body: body.Bytes(),
		First: first, Whole: time.Now(), Context: r.Context(),
	})
	s.answer(w, r, a)
}

// answer does what a says.
func (s *Sink) answer(w http.ResponseWriter, r *http.Request, a Answer) {
	if a.After > 0 {
		timer := time.NewTimer(a.After)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return
		}
	}
	switch {
	case a.Hang:
		<-r.Context().Done()
		return
	case a.Reset:
		reset(w)
		return
	}
	header := w.Header()
	for name, values := range a.Header {
		header[name] = values
	}
	if header.Get("Content-Type") == "" {
		header.Set("Content-Type", "application/json")
	}
	status := a.Status
	if status == 0 {
		status = http.StatusOK
	}
	w.WriteHeader(status)
	if a.Write != nil {
		flush := http.NewResponseController(w).Flush
		if err := a.Write(r.Context(), w, flush); err != nil {
			panic(http.ErrAbortHandler)
		}
		return
	}
	body := a.Body
	if body == nil && status >= http.StatusOK && status != http.StatusNoContent && status != http.StatusNotModified {
		body = []byte("{\"ok\":" + map[bool]string{true: "true", false: "false"}[status < http.StatusBadRequest] + "}\n")
	}
	_, _ = w.Write(body) // the caller may have gone
}

// reset cuts the connection with a TCP reset.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil { // HTTP/2, where the stream is what can be reset
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // closing then sends a reset
	}
	_ = conn.Close()
}
