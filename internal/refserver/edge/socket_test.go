package edge

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/wire"
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

// A socket is in flight, and timed, until it is closed.
func TestDetachedSocketIsTimedToItsClose(t *testing.T) {
	s, _, closed := upgraded(t, new(takeover), Options{})
	shows := func(want ...string) string {
		t.Helper()
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, wire.PathMetrics, nil))
		text := rec.Body.String()
		for _, line := range want {
			if !strings.Contains(text, line+"\n") {
				t.Errorf("no %s", line)
			}
		}
		return text
	}
	const open = 100 * time.Millisecond
	time.Sleep(open) // the function has returned
	shows(`refserver_function_requests_in_flight{function="f"} 1`, `refserver_function_duration_seconds_count{function="f"} 0`)
	closed()
	closed() // once is enough
	text := shows(`refserver_function_requests_in_flight{function="f"} 0`, `refserver_function_duration_seconds_count{function="f"} 1`,
		`refserver_function_requests_total{code="101",function="f"} 1`)
	_, after, _ := strings.Cut(text, `refserver_function_duration_seconds_sum{function="f"} `)
	number, _, _ := strings.Cut(after, "\n")
	if sum, err := strconv.ParseFloat(number, 64); err != nil || sum < open.Seconds() {
		t.Errorf("timed %q s, want %v at least", number, open.Seconds())
	}
	if st := s.Stats()[0]; st.SocketsNow != 0 {
		t.Errorf("%+v", st)
	}
}

// lateHijack gives the connection up after a while.
type lateHijack struct {
	upgradable
	after time.Duration
}

func (w lateHijack) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	time.Sleep(w.after)
	return w.upgradable.Hijack()
}

// An idle timeout that ends during the upgrade strikes before it or not at all.
func TestIdleTimeoutDuringAnUpgrade(t *testing.T) {
	s, _ := one(t, Options{Limits: Limits{RequestIdle: 30 * time.Millisecond}}, handler(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = conn.Close() }()
		time.Sleep(10 * time.Millisecond)
		if err := r.Context().Err(); err != nil {
			t.Errorf("the socket's request has ended: %v", err)
		}
	}))
	near, far := net.Pipe()
	defer func() { _ = near.Close() }()
	answerOf(t.Context(), s, "f", func(rec *httptest.ResponseRecorder) http.ResponseWriter {
		return lateHijack{upgradable{rec, far}, 100 * time.Millisecond}
	})
	if st := s.Stats()[0]; st.IdleTimeouts != 0 {
		t.Errorf("%+v", st)
	}
}
