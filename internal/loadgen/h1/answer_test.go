package h1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"testing"
)

// An outcome is what came of the bytes of one answer.
type outcome struct {
	status int
	body   string
	done   bool
	failed bool
}

// answered feeds text in pieces of the given size, as of a connection that the
// peer closes afterwards.
func answered(text []byte, size int, req *http.Request) outcome {
	var (
		a     answer
		heads = newHeadReader()
		out   outcome
	)
	for begin := 0; begin < len(text); begin += size {
		p := text[begin:min(begin+size, len(text))]
		if a.body == awaited {
			resp, rest, err := a.takeHead(p, req, heads) //nolint:bodyclose // it has none
			if err != nil {
				out.failed = true
				return out
			}
			if resp == nil {
				continue
			}
			out.status, p = resp.StatusCode, rest
			if a.body == fixed && a.remaining == 0 {
				out.done = true
				return out
			}
		}
		for len(p) > 0 {
			n, data, done, err := a.takeBody(p)
			out.body += string(data)
			if out.failed, out.done = err != nil, done; err != nil || done {
				return out
			}
			p = p[n:]
		}
	}
	out.done = a.body == untilClose
	return out
}

// FuzzAnswer holds answers to net/http's reading of them, whole and in pieces.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.0 200 OK\n\nuntil the end", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 101 Switching\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "\r\n\r\n", "garbage\n\n",
	} {
		f.Add([]byte(seed), 1, false)
		f.Add([]byte(seed), 3, true)
	}
	f.Fuzz(func(t *testing.T, text []byte, size int, head bool) {
		if size < 1 || size > 1<<16 {
			size = 1
		}
		req := &http.Request{Method: http.MethodGet}
		if head {
			req.Method = http.MethodHead
		}
		whole, pieces := answered(text, max(1, len(text)), req), answered(text, size, req)
		if whole != pieces {
			t.Fatalf("%q: whole %+v, by %d %+v", text, whole, size, pieces)
		}
		in := bufio.NewReader(bytes.NewReader(text))
		var resp *http.Response
		for range maxInformational + 1 {
			var err error
			if resp, err = http.ReadResponse(in, req); err != nil { //nolint:bodyclose // it is of memory
				if whole.done {
					t.Fatalf("%q: %+v, net/http %v", text, whole, err)
				}
				return
			}
			if resp.StatusCode >= 200 {
				break
			}
		}
		if !whole.done {
			return
		}
		body, err := io.ReadAll(resp.Body)
		// Trailers are read over, whatever is in them.
		refused := err != nil && len(resp.TransferEncoding) == 0
		if whole.status != resp.StatusCode || refused || whole.body != string(body) {
			t.Fatalf("%q: %+v, net/http %d %q %v", text, whole, resp.StatusCode, body, err)
		}
	})
}
