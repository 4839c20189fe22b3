package driver

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"
)

// misbehave listens on a free port and gives each connection to serve, which
// closes it. It returns the address.
func misbehave(t *testing.T, serve func(*net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if tcp, ok := c.(*net.TCPConn); ok {
				serve(tcp)
			}
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String()
}

// readRequest reads one request without a body.
func readRequest(c net.Conn) {
	var got []byte
	buf := make([]byte, 512)
	for !strings.Contains(string(got), "\r\n\r\n") {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		got = append(got, buf[:n]...)
	}
}

// reset makes c's peer see a reset.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// answering serves each connection one request and that answer.
func answering(answer string, end func(*net.TCPConn)) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		readRequest(c)
		_, _ = io.WriteString(c, answer)
		end(c)
	}
}

// startTLS serves h over TLS (HTTP/2 by ALPN too) and keeps quiet about clients
// that break off.
func startTLS(t *testing.T, h http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func closeConn(c *net.TCPConn) { _ = c.Close() }

// refusing returns an address nobody listens on.
func refusing(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func TestClassifyRealFailures(t *testing.T) {
	hang := make(chan struct{})
	tlsServer := startTLS(t, http.NotFoundHandler())
	plainServer := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plainServer.Close)

	for _, tt := range []struct{ name, url, want string }{
		{"refuses", "http://" + refusing(t), classRefused},
		{"resets at once", "http://" + misbehave(t, func(c *net.TCPConn) { readRequest(c); reset(c) }), classReset},
		{"resets in the middle", "http://" + misbehave(t, answering("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", reset)), classReset},
		{"hangs", "http://" + misbehave(t, func(c *net.TCPConn) { readRequest(c); <-hang; closeConn(c) }), classTimeout},
		{"closes without an answer", "http://" + misbehave(t, answering("", closeConn)), classClosed},
		{"closes within the headers", "http://" + misbehave(t, answering("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n", closeConn)), classClosed},
		{"closes within the body", "http://" + misbehave(t, answering("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", closeConn)), classClosed},
		{"closes within a chunk", "http://" + misbehave(t, answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nabc", closeConn)), classClosed},
		{"speaks gibberish", "http://" + misbehave(t, answering("SSH-2.0-OpenSSH_9.2\r\n\r\n", closeConn)), classProtocol},
		{"bad status", "http://" + misbehave(t, answering("HTTP/1.1 2x0 OK\r\n\r\n", closeConn)), classProtocol},
		{"bad header", "http://" + misbehave(t, answering("HTTP/1.1 200 OK\r\n: x\r\n\r\n", closeConn)), classProtocol},
		{"bad chunk", "http://" + misbehave(t, answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n", closeConn)), classProtocol},
		{"TLS to a plain server", strings.Replace(plainServer.URL, "http:", "https:", 1), classTLS},
		{"TLS to gibberish", "https://" + misbehave(t, func(c *net.TCPConn) { _, _ = io.WriteString(c, "220 mail.example\r\n"); closeConn(c) }), classTLS},
		{"unknown authority", tlsServer.URL, classTLS},
		{"end of the drain", "http://" + misbehave(t, func(c *net.TCPConn) { readRequest(c); <-hang; closeConn(c) }), classUnfinished},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			switch tt.want {
			case classTimeout:
				ctx, cancel = context.WithTimeout(ctx, 50*time.Millisecond)
				defer cancel()
			case classUnfinished:
				ctx, cancel = context.WithCancel(ctx)
				time.AfterFunc(50*time.Millisecond, cancel)
			}
			err := fetch(ctx, tt.url)
			if err == nil {
				t.Fatal("no error")
			}
			if class, example := classify(err); class != tt.want || example == "" {
				t.Errorf("class %q, want %q: %s", class, tt.want, example)
			}
		})
	}
	close(hang)
}

// fetch gets a URL with the transport under test.
func fetch(ctx context.Context, url string) error {
	d := newDialer(5*time.Second, tlsConfig(false, "h2", "http/1.1"))
	defer d.close()
	transport := newTransport(d, false, 1)
	transport.Proxy = nil
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

func TestClassify(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("dial: %w", &net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}), classDNS},
		{fmt.Errorf("dial: %w", &net.DNSError{Err: "i/o timeout", Name: "x", IsTimeout: true}), classDNS},
		{fmt.Errorf("dial: %w", syscall.EMFILE), classLocalLimit},
		{fmt.Errorf("dial: %w", syscall.EADDRNOTAVAIL), classLocalLimit},
		{fmt.Errorf("dial: %w", syscall.EHOSTUNREACH), classUnreached},
		{fmt.Errorf("write: %w", syscall.EPIPE), classReset},
		{fmt.Errorf("read: %w", context.DeadlineExceeded), classTimeout},
		{fmt.Errorf("read: %w", net.ErrClosed), classClosed},
		{fmt.Errorf("something else"), classOther},
	} {
		if class, _ := classify(tt.err); class != tt.want {
			t.Errorf("%v: class %q, want %q", tt.err, class, tt.want)
		}
	}
}

func TestExcerpt(t *testing.T) {
	if got := excerpt("  two\r\n lines\t "); got != "two lines" {
		t.Errorf("%q", got)
	}
	long := excerpt(strings.Repeat("é", maxExample))
	if len(long) > maxExample || !utf8.ValidString(long) || !strings.HasSuffix(long, "é…") {
		t.Errorf("%d bytes, ends in %q", len(long), long[len(long)-8:])
	}
	if got := excerpt("a\xffb"); got != "a\uFFFDb" {
		t.Errorf("%q", got)
	}
}
