package edge

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// takeover is a function that takes its connection over, detaches, and returns.
type takeover struct {
	conns chan net.Conn
	ends  chan func()
	tasks bool // it holds a background task, too
}

func (f *takeover) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	inv := InvocationOf(r.Context())
	if f.tasks {
		if err := inv.WaitUntil(func(ctx context.Context) { <-ctx.Done() }); err != nil {
			panic(err)
		}
	}
	f.ends <- inv.Detach()
	f.conns <- conn
}

// upgraded returns the client's end of a connection that f has taken over.
func upgraded(t *testing.T, f *takeover, o Options) (s *Server, client net.Conn, closed func()) {
	t.Helper()
	f.conns, f.ends = make(chan net.Conn, 1), make(chan func(), 1)
	o.Functions = []Function{Shared("f", f)}
	s = New(o)
	front := httptest.NewServer(s)
	t.Cleanup(front.Close)
	client, err := net.Dial("tcp", front.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if _, err := io.WriteString(client, "GET "+PathFunctions+"f HTTP/1.1\r\nHost: f\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	conn := <-f.conns
	t.Cleanup(func() { _ = conn.Close() })
	_ = client.SetReadDeadline(time.Now().Add(10 * time.Second))
	return s, client, <-f.ends
}

// A socket counts until it is closed, though its function has returned; and the end
// of the server waits for it.
func TestDetachedSocketCountsUntilItIsClosed(t *testing.T) {
	s, _, closed := upgraded(t, new(takeover), Options{})
	if st := s.Stats()[0]; st.SocketsNow != 1 || st.RequestsNow != 0 {
		t.Errorf("%+v", st)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Terminate(t.Context()) }()
	select {
	case err := <-ended:
		t.Fatalf("Terminate returned %v with a socket open", err)
	case <-time.After(50 * time.Millisecond):
	}
	closed()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if st := s.Stats()[0]; st.SocketsNow != 0 {
		t.Errorf("%+v", st)
	}
}

// A worker that dies cuts it.
func TestDetachedSocketIsCutWithItsWorker(t *testing.T) {
	s, client, closed := upgraded(t, &takeover{tasks: true}, Options{Limits: Limits{WallClock: 200 * time.Millisecond}})
	start := time.Now()
	if n, err := client.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("read %d, %v, want the end", n, err)
	}
	if took := time.Since(start); took < 150*time.Millisecond {
		t.Errorf("cut after %v, the wall clock is 200ms", took)
	}
	closed()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
