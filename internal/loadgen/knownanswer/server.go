// Package knownanswer is the target that loadgen calibrates itself against: it
// says of each event, to the microsecond, when it wrote it.
//
// It answers two paths. PathStream is an event stream each of whose events
// carries a stamp (wire.AppendStamp) taken right before the one system call that
// writes it, with no proxy, no buffer and no chunk writer between. PathRoom is a
// room over WebSocket that puts the instant of each single write into the
// message, in place of the planned publish that the message came with: what a
// receiver then takes for its fanout latency is the error of its receive instant.
//
// The server runs in a process of its own, so that the one that measures shares
// no scheduler and no garbage collection with it. It shares no code with the
// reference server either. It knows the layout of a message and nothing else of
// loadgen: no driver, no parser, no run.
package knownanswer

import (
	"context"
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
	tasks  sync.WaitGroup        // one a taken connection
	rooms  map[string]*room
}

// Serve serves on l until ctx ends, then closes every connection and returns
// when nothing of it is left. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc(PathHealth, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc(PathStream, func(w http.ResponseWriter, r *http.Request) { s.stream(ctx, w, r) })
	mux.HandleFunc(PathRoom, s.room)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() { stopped <- server.Close() })
	err := server.Serve(l)
	if !stop() {
		err = <-stopped // its Close ended Serve
	}
	s.end()
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
