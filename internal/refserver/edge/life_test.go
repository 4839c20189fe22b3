package edge

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/wire"
)

// serving runs a Life on a loopback listener.
type serving struct {
	url  string
	stop context.CancelFunc
	done chan error
}

func serve(t *testing.T, life *Life) *serving {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &serving{url: "http://" + ln.Addr().String(), stop: stop, done: make(chan error, 1)}
	go func() { s.done <- life.Serve(ctx, ln) }()
	t.Cleanup(stop)
	return s
}

// ended waits for Serve to return.
func (s *serving) ended(t *testing.T, within time.Duration) {
	t.Helper()
	select {
	case err := <-s.done:
		if err != nil {
			t.Errorf("serve: %v", err)
		}
	case <-time.After(within):
		t.Fatalf("serve did not return within %s", within)
	}
}

// slow is a function that writes a line, then waits for release or the
// request's end, then writes another.
func slow(release <-chan struct{}) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first\n")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-release:
			_, _ = io.WriteString(w, "last\n")
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	})
}

func client(cleartextHTTP2 bool) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!cleartextHTTP2)
	protocols.SetUnencryptedHTTP2(cleartextHTTP2)
	return &http.Client{Transport: &http.Transport{Protocols: protocols}}
}

func TestDrainLetsAnswersFinish(t *testing.T) {
	for name, h2 := range map[string]bool{"HTTP/1.1": false, "h2c": true} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			s := serve(t, &Life{Handler: New(Options{Functions: []Function{Shared("slow", slow(release))}}), Drain: 10 * time.Second})
			c := client(h2)
			defer c.CloseIdleConnections()
			resp, err := c.Get(s.url + "/functions/v1/slow")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			if want := map[bool]int{false: 1, true: 2}[h2]; resp.ProtoMajor != want {
				t.Errorf("spoke HTTP/%d, want %d", resp.ProtoMajor, want)
			}
			body := bufio.NewReader(resp.Body)
			if line, err := body.ReadString('\n'); line != "first\n" {
				t.Fatalf("got %q, %v", line, err)
			}
			s.stop()
			for refused := false; !refused; {
				conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
				if refused = err != nil; !refused {
					_ = conn.Close()
				}
			}
			close(release)
			if rest, err := io.ReadAll(body); string(rest) != "last\n" || err != nil {
				t.Errorf("after the stop: got %q, %v", rest, err)
			}
			s.ended(t, 5*time.Second)
		})
	}
}

func TestDrainDeadlineCutsAnswers(t *testing.T) {
	for name, h2 := range map[string]bool{"HTTP/1.1": false, "h2c": true} {
		t.Run(name, func(t *testing.T) {
			server := New(Options{Functions: []Function{Shared("slow", slow(nil))}})
			s := serve(t, &Life{Handler: server, Drain: 50 * time.Millisecond})
			c := client(h2)
			defer c.CloseIdleConnections()
			resp, err := c.Get(s.url + "/functions/v1/slow")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			s.stop()
			if body, err := io.ReadAll(resp.Body); err == nil {
				t.Errorf("a cut answer ended as complete: %q", body)
			}
			s.ended(t, 5*time.Second)
			metrics := do(server, http.MethodGet, wire.PathMetrics).Body.String()
			if !strings.Contains(metrics, `refserver_function_aborted_total{function="slow"} 0`) {
				t.Error("a cut by the server is counted as the client's")
			}
		})
	}
}

func TestLeavingClientIsCounted(t *testing.T) {
	server := New(Options{Functions: []Function{Shared("slow", slow(nil))}})
	s := serve(t, &Life{Handler: server})
	c := client(false)
	defer c.CloseIdleConnections()
	resp, err := c.Get(s.url + "/functions/v1/slow")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	const want = `refserver_function_aborted_total{function="slow"} 1`
	for deadline := time.Now().Add(5 * time.Second); ; {
		if strings.Contains(do(server, http.MethodGet, wire.PathMetrics).Body.String(), want) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %s", want)
		}
	}
	s.stop()
	s.ended(t, 5*time.Second)
}

func TestHooksRunWithinTheDrain(t *testing.T) {
	// A hijacked connection is invisible to the server; the hook ends it.
	release, hijacked := make(chan struct{}), make(chan struct{})
	takes := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("hijack: %v", err)
			return
		}
		close(hijacked)
		<-release
		_ = conn.Close()
	})
	life := &Life{Handler: New(Options{Functions: []Function{Shared("takes", takes)}}), Drain: 10 * time.Second}
	life.OnShutdown(func(ctx context.Context) error {
		if _, ok := ctx.Deadline(); !ok || ctx.Err() != nil {
			t.Errorf("hook's context: deadline %t, %v", ok, ctx.Err())
		}
		close(release)
		return nil
	})
	s := serve(t, life)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "GET /functions/v1/takes HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-hijacked
	s.stop()
	s.ended(t, 5*time.Second)
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the connection is not closed: %v", err)
	}
}

func TestAcceptErrorEndsServe(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	if err := (&Life{Handler: say("")}).Serve(t.Context(), ln); err == nil || !strings.Contains(err.Error(), "accept on") {
		t.Errorf("got %v", err)
	}
}
