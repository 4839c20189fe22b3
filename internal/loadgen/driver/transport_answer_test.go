package driver

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// What is sent is what was asked for, once.
func testRequests(t *testing.T, open openTransport) {
	seen := make(chan *http.Request, 1)
	b := newBench(t, open, each(func(r *http.Request) string {
		body := bodyOf(r)
		r.Body = io.NopCloser(&text{body})
		seen <- r
		return ok
	}))
	large := strings.Repeat("0123456789abcdef", 1<<19) // 8 MiB, more than the sockets hold
	for _, tt := range []struct{ method, path, body string }{
		{http.MethodGet, "/a/b?x=1&y=%20z", ""},
		{http.MethodPost, "/", "hello"},
		{http.MethodPost, "/nothing", ""},
		{http.MethodPut, "/large", large},
		{http.MethodDelete, "/", ""},
		{"PURGE", "/*", ""},
	} {
		req := b.request(tt.method, tt.path, tt.body)
		req.Header.Set("User-Agent", "edgeload")
		req.Header["X-Two"] = []string{"1", "2"}
		req.Header["x-raw"] = []string{"as it is"}
		w := b.do(req).answered(200, "ok")
		r := <-seen
		if r.Method != tt.method || r.RequestURI != tt.path || bodyOf(r) != tt.body || r.Host != b.server.addr || r.Proto != "HTTP/1.1" {
			t.Errorf("%s %s with %d bytes came as %s %s %s for %s", tt.method, tt.path, len(tt.body), r.Method, r.RequestURI, r.Proto, r.Host)
		}
		if fmt.Sprint(r.Header["X-Two"]) != "[1 2]" || r.Header.Get("X-Raw") != "as it is" || r.UserAgent() != "edgeload" || r.Header.Get("Accept-Encoding") != "" {
			t.Errorf("headers came as %v", r.Header)
		}
		if want := int64(len(tt.body)); r.ContentLength != want || len(r.TransferEncoding) != 0 {
			t.Errorf("%s: length %d, %v; want %d", tt.method, r.ContentLength, r.TransferEncoding, want)
		}
		if len(w.left) != 1 || w.left[0].at == 0 || w.left[0].at > w.headRead.returned {
			t.Errorf("%s: departures %+v, head at %+v", tt.method, w.left, w.headRead)
		}
		if tt.body == large && w.headRead.at < w.left[0].at-time.Second {
			t.Errorf("sent at %v, answered at %v", w.left[0].at, w.headRead.at)
		}
	}
	b.connections(1)
}

// Where a body ends, by RFC 9112, section 6.3, and whether the connection is kept.
func testFraming(t *testing.T, open openTransport) {
	for _, tt := range []struct {
		name, method, answer string
		status               int
		body                 string
		kept                 bool
	}{
		{"length", "GET", ok, 200, "ok", true},
		{"length 0", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", true},
		{"chunks", "GET", chunked("hel", "lo"), 200, "hello", true},
		{"no chunk but the last", "GET", chunked(), 200, "", true},
		{"chunk size in capitals, with zeros", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n000A\r\n0123456789\r\n0\r\n\r\n", 200, "0123456789", true},
		{"chunk extensions", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b;c=\"d\"\r\nhello\r\n0;x\r\n\r\n", 200, "hello", true},
		{"trailers", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n", 200, "hello", true},
		{"chunked in capitals", "GET", "HTTP/1.1 200 OK\r\nTRANSFER-ENCODING: CHUNKED\r\n\r\n1\r\nx\r\n0\r\n\r\n", 200, "x", true},
		{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, "", true},
		{"304 with a length", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", 304, "", true},
		{"HEAD with a length", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", 200, "", true},
		{"HEAD with chunks", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, "", true},
		{"no reason", "GET", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", 200, "ok", true},
		{"an odd status", "GET", "HTTP/1.1 799 Odd\r\nContent-Length: 2\r\n\r\nok", 799, "ok", true},
		{"100 and 103 first", "POST", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 7\r\n\r\n" + ok, 200, "ok", true},
		{"HTTP/1.0, to be kept", "GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", 200, "ok", true},

		{"to the end of the connection", "GET", "HTTP/1.1 200 OK\r\n\r\nto the end", 200, "to the end", false},
		{"nothing, to the end of the connection", "GET", "HTTP/1.1 200 OK\r\n\r\n", 200, "", false},
		{"HTTP/1.0, to the end", "GET", "HTTP/1.0 200 OK\r\n\r\nto the end", 200, "to the end", false},
		{"HTTP/1.0 with a length", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok", false},
		{"Connection: close", "GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", 200, "ok", false},
		{"Connection: x, Close, with chunks", "GET", "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", 200, "x", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			toTheEnd := !tt.kept && !strings.Contains(tt.answer, "Length") && !strings.Contains(tt.answer, "chunked")
			b := newBench(t, open, func(p *peer) {
				for p.request() != nil && p.send(0, tt.answer) {
					if toTheEnd {
						_ = p.CloseWrite()
					}
				}
			})
			for range 2 {
				body := ""
				if tt.method == "POST" {
					body = "x"
				}
				b.do(b.request(tt.method, "/", body)).answered(tt.status, tt.body)
			}
			want := int64(2)
			if tt.kept {
				want = 1
			}
			b.connections(want)
		})
	}
	t.Run("head", func(t *testing.T) {
		b := newBench(t, open, always("HTTP/1.1 418 I'm a teapot\r\ncontent-type:  text/plain \r\nX-A: 1\r\nx-a: 2\r\nX-Empty:\r\nContent-Length: 0\r\n\r\n"))
		r := b.get("/").answered(418, "").answer
		if r == nil {
			return
		}
		if r.Status != "418 I'm a teapot" || r.Header.Get("Content-Type") != "text/plain" || fmt.Sprint(r.Header["X-A"]) != "[1 2]" || len(r.Header["X-Empty"]) != 1 ||
			r.Proto != "HTTP/1.1" || r.ProtoMajor != 1 || r.ProtoMinor != 1 || r.ContentLength != 0 {
			t.Errorf("head %+v", r)
		}
	})
	t.Run("large body", func(t *testing.T) {
		large := strings.Repeat("0123456789abcdef", 1<<18) // 4 MiB
		b := newBench(t, open, each(func(r *http.Request) string {
			if r.URL.Path == "/chunked" {
				return chunked(large[:1<<20], large[1<<20:])
			}
			return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(large), large)
		}))
		b.get("/").answered(200, large)
		b.get("/chunked").answered(200, large)
		b.connections(1)
	})
}

// chunked is an answer of these chunks.
func chunked(chunks ...string) string {
	var b strings.Builder
	b.WriteString("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	for _, c := range chunks {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(c), c)
	}
	return b.String() + "0\r\n\r\n"
}

// An answer means the same in whatever pieces it comes, and its instants are
// those of the pieces.
func testPieces(t *testing.T, open openTransport) {
	answers := map[string]string{
		"/length":   "HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 5\r\n\r\nhello",
		"/chunks":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;e=1\r\nhell\r\n1\r\no\r\n0\r\nT: v\r\n\r\n",
		"/to-close": "HTTP/1.1 200 OK\r\nA: b\r\n\r\nhello",
	}
	for path, answer := range answers {
		t.Run("split in two"+path, func(t *testing.T) {
			b := newBench(t, open, func(p *peer) {
				for {
					req := p.request()
					if req == nil {
						return
					}
					var at int
					_, _ = fmt.Sscan(req.URL.RawQuery, &at)
					if !p.send(time.Millisecond, answer[:at], answer[at:]) || path == "/to-close" {
						return
					}
				}
			})
			for at := 1; at < len(answer); at++ {
				b.get(fmt.Sprintf("%s?%d", path, at)).answered(200, "hello")
			}
			if path != "/to-close" {
				b.connections(1)
			}
		})
		t.Run("byte by byte"+path, func(t *testing.T) {
			b := newBench(t, open, func(p *peer) {
				if p.request() != nil {
					p.send(200*time.Microsecond, strings.Split(answer, "")...)
				}
			})
			b.get(path).answered(200, "hello")
		})
	}
	t.Run("instants", func(t *testing.T) {
		const pause = 60 * time.Millisecond
		b := newBench(t, open, func(p *peer) {
			for p.request() != nil && p.send(pause, "HTTP/1.1 200 OK\r\n", "Content-Length: 4\r\n\r\n", "ab", "cd") {
			}
		})
		for range 3 { // from the second on the kernel's stamps are there
			w := b.get("/").answered(200, "abcd")
			if len(w.pieces) != 2 || len(w.left) != 1 {
				t.Fatal(w)
			}
			instants := []time.Duration{w.left[0].at, w.first, w.headRead.at, w.pieces[0].at, w.pieces[1].at}
			for i := 2; i < len(instants); i++ {
				if d := instants[i] - instants[i-1]; d < pause/2 || d > pause+slack {
					t.Errorf("instants %v: %v apart, sent %v apart", instants, d, pause)
				}
			}
			if w.first < w.left[0].at || w.pieces[0].read == w.headRead.read || w.pieces[1].read == w.pieces[0].read || w.pieces[1].after != w.pieces[0].at {
				t.Errorf("sent %v, first %v, head %+v, pieces %+v", w.left, w.first, w.headRead, w.pieces)
			}
		}
	})
	t.Run("one read", func(t *testing.T) {
		b := newBench(t, open, always(chunked("ab", "cd")))
		w := b.get("/").answered(200, "abcd")
		for _, p := range w.pieces {
			if p.read != w.headRead.read || p.at != w.headRead.at || w.first != w.headRead.at {
				t.Errorf("first byte at %v, head %+v, piece %+v, all in one segment", w.first, w.headRead, p)
			}
		}
	})
}
