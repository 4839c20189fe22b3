// Package knownanswer is the target that loadgen calibrates itself against: it
// says of each event, to the microsecond, when it wrote it.
//
// It answers two paths. PathStream is an event stream each of whose events
// carries a stamp (wire.AppendStamp) taken right before the one system call that
// writes it, with no proxy, no buffer and no chunk writer between. PathRoom is a
// room over WebSocket that puts before each message a stamp of the very write that
// takes it to its receiver. Over TLS the stamp is taken before the event is
// encrypted. Over HTTP/2 it is net/http that writes the frame, in goroutines of its
// own, and what these take lies between the stamp and the write.
//
// The server runs in a process of its own, so that the one that measures shares
// no scheduler and no garbage collection with it. It shares no code with the
// reference server either. It knows nothing of loadgen: no driver, no parser, no
// run.
package knownanswer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/edgeload/edgeload/internal/wire"
)

// Paths of the server.
const (
	PathStream = "/stream"
	PathRoom   = "/room"
	PathHealth = wire.PathHealth
)

const (
	headerTimeout = 10 * time.Second // to read a request's head
	writeTimeout  = 5 * time.Second  // for one event to leave; then the connection is given up
)

// A Server is the known-answer server. Its zero value is ready; it serves once.
type Server struct {
	mu     sync.Mutex
	ending bool
	taken  map[net.Conn]struct{} // out of net/http's hands
	tasks  sync.WaitGroup        // one a taken connection, or stream over HTTP/2
	rooms  map[string]*room
}

// Listeners are the sockets to serve on, each of TCP; nil leaves one out.
type Listeners struct {
	Plain net.Listener // HTTP/1.1
	TLS   net.Listener // HTTP/1.1 over TLS
	HTTP2 net.Listener // HTTP/2 over TLS, streams only
}

// Serve serves on all listeners until ctx ends, then closes every connection and
// returns when nothing of it is left. It closes the listeners. The certificate of
// TLS is made for this call and signed by itself: a client has to take any.
func (s *Server) Serve(ctx context.Context, on Listeners) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	certificate, err := selfSigned()
	if err != nil {
		return errors.Join(err, on.Close())
	}
	mux := http.NewServeMux()
	mux.HandleFunc(PathHealth, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc(PathStream, func(w http.ResponseWriter, r *http.Request) { s.stream(ctx, w, r) })
	mux.HandleFunc(PathRoom, s.room)
	var serving sync.WaitGroup
	var failed [3]error
	for i, l := range []net.Listener{on.Plain, on.TLS, on.HTTP2} {
		if l == nil {
			continue
		}
		serving.Go(func() {
			defer cancel() // one that fails ends the others
			server := &http.Server{
				Handler: mux, ReadHeaderTimeout: headerTimeout, Protocols: new(http.Protocols),
				TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}},
			}
			server.Protocols.SetHTTP1(l != on.HTTP2)
			server.Protocols.SetHTTP2(l == on.HTTP2)
			failed[i] = serve(ctx, server, l, l != on.Plain)
		})
	}
	serving.Wait()
	s.end()
	return errors.Join(failed[:]...)
}

// Close closes the listeners.
func (on Listeners) Close() error {
	var errs []error
	for _, l := range []net.Listener{on.Plain, on.TLS, on.HTTP2} {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	return errors.Join(errs...)
}

// serve serves on l until ctx ends.
func serve(ctx context.Context, server *http.Server, l net.Listener, secure bool) error {
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() { stopped <- server.Close() })
	var err error
	if secure {
		err = server.ServeTLS(l, "", "")
	} else {
		err = server.Serve(l)
	}
	if !stop() {
		err = <-stopped // its Close ended Serve
	}
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("serve on %s: %w", l.Addr(), err)
	}
	return nil
}

// take makes c one of the connections that end closes; false when the server is
// ending. release must follow.
func (s *Server) take(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending {
		return false
	}
	if s.taken == nil {
		s.taken = make(map[net.Conn]struct{})
	}
	s.taken[c] = struct{}{}
	s.tasks.Add(1)
	return true
}

// enter counts a task in that holds no connection of its own; false when the
// server is ending. s.tasks.Done must follow.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending {
		return false
	}
	s.tasks.Add(1)
	return true
}

// release closes a connection that was taken.
func (s *Server) release(c net.Conn) {
	_ = c.Close() // whatever was to be said has been
	s.mu.Lock()
	delete(s.taken, c)
	s.mu.Unlock()
	s.tasks.Done()
}

// end closes the taken connections and waits for who serves them.
func (s *Server) end() {
	s.mu.Lock()
	s.ending = true
	for c := range s.taken {
		_ = c.Close() // who serves it notices
	}
	s.mu.Unlock()
	s.tasks.Wait()
}
