package sink

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// opened opens a sink on a socket, with a handler at /jobs, and closes it with the test.
func opened(t testing.TB, o Options, h Handler) *Sink {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := s.Handle("jobs", h); err != nil {
		t.Fatal(err)
	}
	return s
}

// dialed opens a connection to s, which is closed with the test.
func dialed(t testing.TB, s *Sink) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(s.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c, bufio.NewReader(c)
}

// exchange sends text and reads the answer to a request of a method.
func exchange(t testing.TB, c net.Conn, buf *bufio.Reader, method, text string) (resp *http.Response, body string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(buf, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func TestWhatIsNoCallIsRefusedAndCounted(t *testing.T) {
	var served atomic.Int64
	s := opened(t, Options{}, handlerFunc(func(*Call) Answer { served.Add(1); return Answer{} }))
	for _, tc := range []struct {
		name, text string
		status     int
	}{
		{"no HTTP", "hello\r\n\r\n", 400},
		{"no host", "GET /jobs HTTP/1.1\r\n\r\n", 400},
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
		{"long head", "GET /jobs HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", maxHead+bufferSize) + "\r\n\r\n", 431},
		{"long body", fmt.Sprintf("POST /jobs HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", maxBody+1), 413},
		{"long chunks", "POST /jobs HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n200000\r\n" + strings.Repeat("x", 0x200000) + "\r\n0\r\n\r\n", 413},
		{"bad chunk", "POST /jobs HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
		{"expectation", "POST /jobs HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\nContent-Length: 1\r\n\r\n", 417},
	} {
		c, buf := dialed(t, s)
		sent := make(chan struct{})
		go func() { // what is refused is not read to its end
			defer close(sent)
			_, _ = io.WriteString(c, tc.text)
		}()
		resp, body := exchange(t, c, buf, "POST", "")
		if resp.StatusCode != tc.status || !resp.Close || body == "" {
			t.Errorf("%s: answered %d, close %v, %q; want %d", tc.name, resp.StatusCode, resp.Close, body, tc.status)
		}
		_ = c.Close()
		<-sent
	}
	c, _ := dialed(t, s)
	if _, err := io.WriteString(c, "POST /jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf"); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	if _, body := get(t, s, "/nobody/x"); !strings.Contains(body, "/nobody") {
		t.Errorf("a name without a handler is answered %q", body)
	}
	a := s.Take()
	for a.Broken < 9 { // the last is broken once the sink sees its end
		more := s.Take()
		a.Broken += more.Broken
	}
	if served.Load() != 0 || a.Broken != 9 || len(a.Calls) != 0 || a.Strays["nobody"] != 1 || a.Connections != 10 {
		t.Errorf("%d served, account %+v", served.Load(), a)
	}
}

// get makes one request on a connection of its own.
func get(t testing.TB, s *Sink, path string) (*http.Response, string) {
	t.Helper()
	c, buf := dialed(t, s)
	return exchange(t, c, buf, "GET", "GET "+path+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
}

func TestFormsOfRequests(t *testing.T) {
	s := opened(t, Options{}, handlerFunc(func(c *Call) Answer { return Answer{Body: append([]byte(c.Rest+" "), c.Body...)} }))
	c, buf := dialed(t, s)
	for _, tc := range []struct{ method, text, body string }{
		{"GET", "GET /jobs/a%20b?x=1 HTTP/1.1\r\nHost: a\r\n\r\n", "a b "},
		{"POST", "POST /jobs/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", "1 hi"},
		{"PUT", "PUT /jobs HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\nTrailer: x\r\n\r\n", " hi"},
		{"GET", "GET http://other/jobs/absolute HTTP/1.1\r\nHost: a\r\n\r\n", "absolute "},
		{"HEAD", "HEAD /jobs/1234 HTTP/1.1\r\nHost: a\r\n\r\n", ""},
	} {
		resp, body := exchange(t, c, buf, tc.method, tc.text)
		if resp.StatusCode != 200 || body != tc.body || resp.Close {
			t.Errorf("%s: answered %d %q, close %v; want %q", tc.method, resp.StatusCode, body, resp.Close, tc.body)
		}
		if tc.method == "HEAD" && resp.ContentLength != 5 {
			t.Errorf("HEAD is told of %d bytes, want 5", resp.ContentLength)
		}
	}
	// A caller that waits for leave to send its body is given it first.
	if _, err := io.WriteString(c, "POST /jobs/e HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := buf.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("answered %q, %v", line, err)
	}
	if _, err := buf.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if _, body := exchange(t, c, buf, "POST", "hi"); body != "e hi" {
		t.Errorf("answered %q", body)
	}
	if resp, body := exchange(t, c, buf, "GET", "GET /jobs/old HTTP/1.0\r\n\r\n"); body != "old " || !resp.Close {
		t.Errorf("HTTP/1.0 is answered %q, close %v", body, resp.Close)
	}
	if _, err := buf.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("after that the connection gives %v, want its end", err)
	}
}

// Answers come in the order of the requests, however these were sent.
func TestPipelinedRequests(t *testing.T) {
	s := opened(t, Options{}, handlerFunc(func(c *Call) Answer {
		a := Answer{Body: []byte(c.Rest)}
		if c.Rest == "1" {
			a.After = 20 * time.Millisecond
		}
		return a
	}))
	c, buf := dialed(t, s)
	var text string
	for i := range 5 {
		text += fmt.Sprintf("GET /jobs/%d HTTP/1.1\r\nHost: a\r\n\r\n", i)
	}
	for i := range 5 {
		if _, body := exchange(t, c, buf, "GET", text); body != fmt.Sprint(i) {
			t.Errorf("answer %d is %q", i, body)
		}
		text = ""
	}
}

// A call that waits for its answer is not given up for what is sent behind it, however much.
func TestPipelinedRequestsThatFillTheBuffer(t *testing.T) {
	s := opened(t, Options{}, handlerFunc(func(c *Call) Answer { return Answer{Body: []byte(c.Rest), After: 5 * time.Millisecond} }))
	c, buf := dialed(t, s)
	const calls = 40
	var text string
	for i := range calls {
		text += fmt.Sprintf("POST /jobs/%d HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n%1000d", i, i)
	}
	for i := range calls {
		if _, body := exchange(t, c, buf, "POST", text); body != fmt.Sprint(i) {
			t.Fatalf("answer %d is %q", i, body)
		}
		text = ""
	}
	if a := s.Take(); a.Calls["jobs"] != calls || a.Unanswered != 0 {
		t.Errorf("account %+v", a)
	}
}

func TestResetSendsNoByte(t *testing.T) {
	s := opened(t, Options{}, handlerFunc(func(*Call) Answer { return Answer{Reset: true} }))
	c, _ := dialed(t, s)
	if _, err := io.WriteString(c, "GET /jobs HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read %d bytes, %v; want a reset", n, err)
	}
	if a := s.Take(); a.Calls["jobs"] != 1 || a.Unanswered != 0 {
		t.Errorf("account %+v", a)
	}
}

// A call that hangs ends with its caller, its handler or the sink, and its Context with it.
func TestHangEnds(t *testing.T) {
	for _, by := range []string{"caller", "handler", "sink"} {
		calls := make(chan Call, 1)
		s, err := Open(Options{})
		if err != nil {
			t.Fatal(err)
		}
		remove, err := s.Handle("jobs", handlerFunc(func(c *Call) Answer { calls <- *c; return Answer{Hang: true} }))
		if err != nil {
			t.Fatal(err)
		}
		c, _ := dialed(t, s)
		if _, err := io.WriteString(c, "GET /jobs HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		call := <-calls
		if call.Context.Err() != nil {
			t.Errorf("%s: the call is over at once", by)
		}
		switch by {
		case "caller":
			_ = c.Close()
		case "handler":
			remove()
		default:
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		<-call.Context.Done()
		if by != "sink" {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		if by != "caller" {
			if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Errorf("%s: the caller read %d bytes, %v", by, n, err)
			}
		}
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	s := opened(t, Options{MaxConns: 2}, handlerFunc(func(*Call) Answer { return Answer{} }))
	for range 2 {
		c, buf := dialed(t, s)
		if resp, _ := exchange(t, c, buf, "GET", "GET /jobs HTTP/1.1\r\nHost: a\r\n\r\n"); resp.StatusCode != 200 {
			t.Errorf("answered %d", resp.StatusCode)
		}
	}
	c, _ := dialed(t, s)
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("a third connection is held")
	}
	if a := s.Take(); a.Connections != 2 || a.Refused != 1 || a.Calls["jobs"] != 2 {
		t.Errorf("account %+v", a)
	}
}

// Who sends nothing, or never ends a request, is not waited for without end.
func TestSlowCallers(t *testing.T) {
	for name, tc := range map[string]struct {
		text  string
		after time.Duration
	}{
		"silent":     {"", idleLimit},
		"slow head":  {"GET /jobs HTTP/1.1\r\n", requestLimit},
		"slow body":  {"POST /jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nx", requestLimit},
		"never asks": {"GET /jobs HTTP/1.1\r\nHost: a\r\n\r\n", idleLimit},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := bubbled(t, handlerFunc(func(*Call) Answer { return Answer{} }))
				defer s.quit()
				client, done := pipe(s)
				defer done()
				begin := time.Now()
				if tc.text != "" {
					if _, err := io.WriteString(client, tc.text); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := io.Copy(io.Discard, client); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begin); took != tc.after {
					t.Errorf("the connection ended after %v, want %v", took, tc.after)
				}
			})
		})
	}
}

// An answer that its caller does not wait for is counted.
func TestCallersThatGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bubbled(t, handlerFunc(func(*Call) Answer { return Answer{After: time.Minute} }))
		defer s.quit()
		client, done := pipe(s)
		if _, err := io.WriteString(client, "GET /jobs HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		begin := time.Now()
		done()
		if took := time.Since(begin); took != 0 {
			t.Errorf("the call went on for %v", took)
		}
		if a := s.Take(); a.Calls["jobs"] != 1 || a.Unanswered != 1 {
			t.Errorf("account %+v", a)
		}
	})
}

func FuzzConn(f *testing.F) {
	f.Add([]byte("GET /jobs HTTP/1.1\r\nHost: a\r\n\r\nGET"), 5)
	f.Add([]byte("POST /jobs/%zz HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"), 30)
	f.Add([]byte("POST /jobs HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n1\r\na\r\n0\r\n\r\n"), 60)
	f.Add([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 1)
	f.Fuzz(func(t *testing.T, text []byte, cut int) {
		s := bubbled(t, handlerFunc(func(c *Call) Answer {
			if c.Whole.Before(c.First) || len(c.Body) > maxBody {
				t.Errorf("call %+v", c)
			}
			return Answer{}
		}))
		defer s.quit()
		client, done := pipe(s)
		read := make(chan struct{})
		go func() {
			defer close(read)
			_, _ = io.Copy(io.Discard, client)
		}()
		cut = min(max(cut, 0), len(text))
		for _, part := range [][]byte{text[:cut], text[cut:]} {
			if _, err := client.Write(part); err != nil {
				break // refused
			}
		}
		done()
		<-read
	})
}
