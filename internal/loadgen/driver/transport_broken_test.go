package driver

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// What a server may do wrong, and what the exchange is told of it.
func testBroken(t *testing.T, open openTransport) {
	const head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
	const eof = "unexpected EOF"
	const chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, tt := range []struct {
		name, answer string
		then         func(*peer)
		how          string
		status       int
		body         string
	}{
		{"closed before the answer", "", hangUp, classClosed, 0, ""},
		{"reset before the answer", "", abort, classReset, 0, ""},
		{"closed in the status line", "HTTP/1.1 2", hangUp, eof + " or " + classProtocol, 0, ""},
		{"closed in the headers", "HTTP/1.1 200 OK\r\nContent-Le", hangUp, eof + " or " + classProtocol, 0, ""},
		{"closed between 100 and 200", "HTTP/1.1 100 Continue\r\n\r\n", hangUp, eof + " or " + classClosed, 0, ""},
		{"closed before the body", head, hangUp, eof, 200, ""},
		{"closed in the body", head + "hello", hangUp, eof, 200, "hello"},
		{"closed before a chunk", chunks + "5\r\nhello\r\n", hangUp, eof, 200, "hello"},
		{"closed in a chunk", chunks + "5\r\nhel", hangUp, eof, 200, "hel"},
		{"closed in a chunk's size", chunks + "5\r\nhello\r\n1", hangUp, eof, 200, "hello"},
		{"closed before the last line", chunks + "5\r\nhello\r\n0\r\n", hangUp, eof + " or " + classClosed, 200, "hello"},
		{"closed in a trailer", chunks + "5\r\nhello\r\n0\r\nX: y", hangUp, eof + " or " + classProtocol, 200, "hello"},

		{"another protocol", "SSH-2.0-OpenSSH_9.2\r\n\r\n", waits, classProtocol, 0, ""},
		{"HTTP/2", "\x00\x00\x00\x04\x00\x00\x00\x00\x00\r\n\r\n", waits, classProtocol, 0, ""},
		{"no version", "HTTP/x 200 OK\r\n\r\n", waits, classProtocol, 0, ""},
		{"no status", "HTTP/1.1 OK\r\n\r\n", waits, classProtocol, 0, ""},
		{"a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", waits, classProtocol, 0, ""},
		{"a header without a colon", "HTTP/1.1 200 OK\r\nX\r\n\r\n", waits, classProtocol, 0, ""},
		{"no number for a length", "HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n", waits, classProtocol, 0, ""},
		{"a length below 0", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", waits, classProtocol, 0, ""},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", waits, classProtocol, 0, ""},
		{"another transfer coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", waits, classProtocol, 0, ""},
		{"no number for a chunk's size", chunks + "5\r\nhello\r\nzz\r\n", waits, classProtocol, 200, "hello"},
		{"no size", chunks + "\r\n", waits, classProtocol, 200, ""},
		{"a chunk too large to be", chunks + "fffffffffffffffff\r\n", waits, classProtocol, 200, ""},
		{"a chunk longer than its size", chunks + "2\r\nhello\r\n0\r\n\r\n", waits, classProtocol, 200, "he"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, open, once(tt.answer, tt.then))
			w := b.get("/").failed(tt.how, tt.status, tt.body)
			if len(w.conns) != 1 || w.conns[0].reused || len(w.left) != 1 {
				t.Errorf("connections %+v, departures %+v", w.conns, w.left)
			}
			b.connections(1)
		})
	}
	t.Run("reset in the body", func(t *testing.T) {
		got := make(chan struct{})
		b := newBench(t, open, once(head+"hello", func(p *peer) {
			<-got // what was not read before a reset is lost with it
			abort(p)
		}))
		b.begin(t.Context(), b.request("GET", "/", ""), b.clock.Now()+patience, func(p []byte) next {
			if len(p) == 5 {
				close(got)
			}
			return more
		}).wait().failed(classReset, 200, "hello")
	})
	t.Run("refused", func(t *testing.T) {
		b := newBench(t, open, waits)
		req := b.request("GET", "/", "")
		req.URL.Host = refusing(t)
		w := b.do(req).failed(classRefused, 0, "")
		if len(w.conns) != 0 || len(w.left) != 0 {
			t.Error(w)
		}
	})
	t.Run("endless head", func(t *testing.T) {
		b := newBench(t, open, func(p *peer) {
			if p.request() == nil || !p.send(0, "HTTP/1.1 200 OK\r\n") {
				return
			}
			line := "X-Pad: " + strings.Repeat("x", 8<<10) + "\r\n"
			for total := 0; total < 64<<20; total += len(line) {
				if !p.send(0, line) {
					return
				}
			}
			t.Error("64 MiB of headers were taken")
		})
		b.get("/").failed(classProtocol, 0, "")
	})
	t.Run("length and chunks", func(t *testing.T) {
		b := newBench(t, open, once("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", waits))
		b.get("/").answered(200, "hello") // RFC 9112, section 6.3, rule 3: the chunks count
	})
	t.Run("answer before the end of the request", func(t *testing.T) {
		const size = 16 << 20
		over, taken := make(chan struct{}), make(chan int64, 1)
		b := newBench(t, open, func(p *peer) {
			if p.nth > 1 {
				always(ok)(p)
				return
			}
			if p.requestHead() == nil || !p.send(0, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno") {
				return
			}
			<-over
			n, _ := io.Copy(io.Discard, p.read) // to the end, however the client brings it about
			taken <- n
		})
		w := b.do(b.request("PUT", "/", strings.Repeat("x", size))).answered(http.StatusRequestEntityTooLarge, "no")
		if len(w.left) > 0 && w.left[0].at != 0 {
			t.Errorf("a request that was not sent departed: %+v", w.left)
		}
		b.get("/").answered(200, "ok") // not on the connection that is in the middle of a request
		<-time.After(200 * ms)
		close(over)
		if n := <-taken; n >= size {
			t.Errorf("the whole request was sent after its answer, %d bytes", n)
		}
		b.connections(2)
	})
}
