// Package sink is loadgen's own HTTP endpoint, which a target under test calls: for
// the completions of background work, for webhooks and cron, and as the upstream that
// it depends on.
//
// A Sink listens on one address. What is called below /NAME/ goes to the handler of
// that name, which is told of each call, with the instants at which its bytes came,
// and says what is answered. A Script says it for an upstream, by what a scenario has
// of it: statuses in turn or by chance, delays, resets, hangs, an outage, the stream of
// an LLM API. The package knows no run.
//
// It speaks HTTP/1.1 and HTTP/1.0 without TLS, by a loop of its own: a connection is
// one goroutine, which reads a request, asks its handler and writes the answer. That is
// so for the sake of the instants. net/http's server reads ahead while a handler is at
// work, one byte, and the stamp of that byte is not that of the rest; here each request
// knows the reads that it came by (see arrivals).
//
// Everything that comes is counted, also what has no handler, was cut short or was
// refused; Take hands the counts over.
package sink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/rxtime"
)

// defaultMaxConns is how many connections a sink holds where nothing else is said.
const defaultMaxConns = 10_000

// acceptPause is how long no connection is accepted after one could not be, as where
// the process has no descriptor left.
const acceptPause = 10 * time.Millisecond

// Options say where a sink listens. The zero value takes a free port of 127.0.0.1.
type Options struct {
	// Listen is the host and port listened on; default 127.0.0.1:0.
	Listen string
	// URL is the address under which the target reaches the sink; default http://
	// and what is listened on, or 127.0.0.1 where that is every address.
	URL string
	// MaxConns is how many connections are held at once; one more is closed and
	// counted. Default 10,000.
	MaxConns int
}

// A Sink is an HTTP server on one address. Any number of goroutines may use one.
type Sink struct {
	url      string
	maxConns int
	listener net.Listener
	clock    *rxtime.Clock
	release  func() // of the kernel's stamps
	ctx      context.Context
	cancel   context.CancelFunc
	tasks    sync.WaitGroup
	account  account

	mu       sync.RWMutex
	handlers map[string]*registration

	connsMu sync.Mutex
	conns   map[net.Conn]struct{}
}

// A registration is a handler under its name.
type registration struct {
	Handler
	calls *atomic.Int64
	ctx   context.Context // of its calls
	under sync.WaitGroup  // one a call, until it is over
}

// Open listens. Close must be called on the sink it returns.
func Open(o Options) (*Sink, error) {
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.MaxConns == 0 {
		o.MaxConns = defaultMaxConns
	}
	listener, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("open the sink: %w", err)
	}
	if o.URL == "" {
		o.URL = "http://" + reachable(listener.Addr())
	}
	s := newSink(o, listener)
	s.tasks.Go(s.accept)
	return s, nil
}

// reachable is where a listener's address can be called on this machine.
func reachable(a net.Addr) string {
	if tcp, ok := a.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(tcp.Port))
	}
	return a.String()
}

// newSink returns a sink that accepts nothing yet.
func newSink(o Options, listener net.Listener) *Sink {
	s := &Sink{
		url: strings.TrimSuffix(o.URL, "/"), maxConns: o.MaxConns, listener: listener,
		clock: rxtime.NewClock(), release: rxtime.Hold(),
		handlers: make(map[string]*registration), conns: make(map[net.Conn]struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// URL is the sink's address, without a slash at its end.
func (s *Sink) URL() string { return s.url }

// Close ends the calls under way and stops listening. It returns when nothing of the
// sink is left.
func (s *Sink) Close() error {
	s.cancel()
	err := s.listener.Close()
	s.connsMu.Lock()
	for c := range s.conns {
		_ = c.Close() // who serves it notices
	}
	s.connsMu.Unlock()
	s.tasks.Wait()
	s.release()
	if err != nil {
		return fmt.Errorf("close the sink: %w", err)
	}
	return nil
}

// Handle gives the calls below /name/ to h, until remove is called. One name has one
// handler. remove ends the calls of the name that are not answered yet, and returns
// when none is under way any more; it is called once, and not by Serve.
func (s *Sink) Handle(name string, h Handler) (remove func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.handlers[name] != nil {
		return nil, fmt.Errorf("the sink's name %q is taken", name)
	}
	ctx, cancel := context.WithCancel(s.ctx)
	r := &registration{Handler: h, calls: s.account.of(name), ctx: ctx}
	s.handlers[name] = r
	return func() {
		s.mu.Lock()
		delete(s.handlers, name)
		s.mu.Unlock()
		cancel()
		r.under.Wait()
	}, nil
}

// enter counts a call of a name in; nil where it has no handler. under.Done must
// follow.
func (s *Sink) enter(name string) *registration {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r := s.handlers[name]
	if r == nil {
		s.account.stray(name)
		return nil
	}
	r.calls.Add(1)
	r.under.Add(1)
	return r
}

// accept takes connections until the listener is closed.
func (s *Sink) accept() {
	for {
		c, err := s.listener.Accept()
		switch {
		case err == nil:
			s.take(c)
		case s.ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return
		default:
			s.account.refused.Add(1)
			onTime(s.ctx, time.Now().Add(acceptPause))
		}
	}
}

// take serves a connection, if there is room for it.
func (s *Sink) take(c net.Conn) {
	s.connsMu.Lock()
	defer s.connsMu.Unlock()
	if s.ctx.Err() != nil || len(s.conns) >= s.maxConns {
		s.account.refused.Add(1)
		_ = c.Close() // nothing was said on it
		return
	}
	s.account.connections.Add(1)
	s.conns[c] = struct{}{}
	s.tasks.Go(func() {
		newConn(s, c).serve()
		s.connsMu.Lock()
		delete(s.conns, c)
		s.connsMu.Unlock()
		_ = c.Close() // whatever was to be said has been
	})
}
