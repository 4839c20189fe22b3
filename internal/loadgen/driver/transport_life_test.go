package driver

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// eventually waits for what must come about.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range int(patience / (5 * ms)) {
		if done() {
			return
		}
		<-time.After(5 * ms)
	}
	t.Errorf("not within %v: %s", patience, what)
}

// Which connection a request goes out on.
func testConnections(t *testing.T, open openTransport) {
	t.Run("kept", func(t *testing.T) {
		b := newBench(t, open, always(ok))
		for i := range 5 {
			w := b.get("/").answered(200, "ok")
			if c := w.conn(); c.reused != (i > 0) || len(w.conns) != 1 {
				t.Errorf("request %d: %+v", i, w.conns)
			}
		}
		b.connections(1)
	})
	t.Run("one each at the same time", func(t *testing.T) {
		var asked atomic.Int64
		release := make(chan struct{})
		b := newBench(t, open, each(func(*http.Request) string { asked.Add(1); <-release; return ok }))
		var all []*witness
		for range 3 {
			all = append(all, b.begin(t.Context(), b.request("GET", "/", ""), b.clock.Now()+patience, nil))
		}
		eventually(t, "3 requests at once", func() bool { return asked.Load() == 3 })
		close(release)
		for _, w := range all {
			w.wait().answered(200, "ok")
		}
		for range 4 {
			b.get("/").answered(200, "ok")
		}
		b.connections(3)
	})
	t.Run("closed by the server while idle", func(t *testing.T) {
		gone := make(chan struct{}, 2)
		b := newBench(t, open, once(ok, func(p *peer) { hangUp(p); gone <- struct{}{} }))
		for _, method := range []string{"GET", "POST"} {
			b.do(b.request(method, "/", "")).answered(200, "ok")
			<-gone
			<-time.After(50 * ms) // so that there is no doubt that it is known
		}
		b.connections(2)
	})
	t.Run("bytes nobody asked for", func(t *testing.T) {
		gone := make(chan bool, 2)
		b := newBench(t, open, once(ok+"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad", func(p *peer) { gone <- p.gone() }))
		for range 2 {
			b.get("/").answered(200, "ok")
			if !<-gone { // the client closes it, and nothing is sent on it before
				t.Error("the connection was used again")
			}
		}
		b.connections(2)
	})
	t.Run("bytes nobody asked for, later", func(t *testing.T) {
		gone := make(chan bool, 2)
		b := newBench(t, open, once(ok, func(p *peer) { p.send(0, ok); gone <- p.gone() }))
		b.get("/").answered(200, "ok")
		if !<-gone {
			t.Error("the connection was used again")
		}
		b.get("/").answered(200, "ok")
		b.connections(2)
	})
	t.Run("closed at the end", func(t *testing.T) {
		b := newBench(t, open, always(ok))
		b.get("/").answered(200, "ok")
		b.close()
		eventually(t, "every connection closed", func() bool { return b.server.open() == 0 })
	})
}

// A request is sent again where the server had closed a kept connection before a
// byte of the answer, and never otherwise: by net/http's rule, where sending it
// twice is the same as once (RFC 9110, section 9.2.2), on one more connection.
func testRepeats(t *testing.T, open openTransport) {
	// closing closes each kept connection on its second request, having sent before.
	closing := func(t *testing.T, sent string, end func(*peer)) (*bench, func() int64) {
		var mu sync.Mutex
		var requests int64
		b := newBench(t, open, func(p *peer) {
			for p.request() != nil {
				mu.Lock()
				requests++
				mu.Unlock()
				if p.asked == 2 {
					p.send(0, sent)
					end(p)
					return
				}
				p.send(0, ok)
			}
		})
		b.get("/").answered(200, "ok")
		return b, func() int64 { mu.Lock(); defer mu.Unlock(); return requests }
	}
	for _, end := range []func(*peer){hangUp, abort} {
		for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
			b, requests := closing(t, "", end)
			w := b.do(b.request(method, "/", ""))
			if method == "HEAD" {
				w.answered(200, "")
			} else {
				w.answered(200, "ok")
			}
			if w.conn().reused || requests() != 3 {
				t.Errorf("%s: %+v, %d requests in all; want it repeated on a new connection", method, w.conns, requests())
			}
			b.connections(2)
		}
		b, requests := closing(t, "", end)
		if w := b.do(b.request("POST", "/", "order")); howEnded(w.err) != classClosed && howEnded(w.err) != classReset || requests() != 2 {
			t.Errorf("POST: %v, %d requests in all; want no repetition", w, requests())
		}
		b.connections(1)

		b, requests = closing(t, "", end)
		req := b.request("POST", "/", "order")
		req.Header.Set("Idempotency-Key", "1")
		b.do(req).answered(200, "ok")
		if requests() != 3 {
			t.Errorf("POST that may be repeated: %d requests in all, want 3", requests())
		}
	}
	b, requests := closing(t, "HTTP/1.1 2", hangUp)
	if b.get("/").failed("unexpected EOF or "+classProtocol, 0, ""); requests() != 2 {
		t.Errorf("%d requests in all: an answer that had begun is not asked for again", requests())
	}
	b, requests = closing(t, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", hangUp)
	if b.get("/").failed("unexpected EOF", 200, "hel"); requests() != 2 {
		t.Errorf("%d requests in all: an answer that had begun is not asked for again", requests())
	}

	// The repetition fails too: that is the end of it.
	b = newBench(t, open, func(p *peer) {
		if p.nth == 1 && p.request() != nil {
			p.send(0, ok)
		}
		_ = p.request()
	})
	b.get("/").answered(200, "ok")
	b.get("/").failed(classClosed, 0, "")
	b.connections(2)
}

// An exchange has its time, and not more; the run's end cuts it.
func testTimes(t *testing.T, open openTransport) {
	const head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
	for _, tt := range []struct {
		name, sent, method string
		status             int
		body               string
		reads              bool // the server takes the request
	}{
		{"while sending", "", "PUT", 0, "", false},
		{"before the answer", "", "GET", 0, "", true},
		{"in the head", "HTTP/1.1 200 OK\r\nX: ", "GET", 0, "", true},
		{"after 100", "HTTP/1.1 100 Continue\r\n\r\n", "GET", 0, "", true},
		{"before the body", head, "GET", 200, "", true},
		{"in the body", head + "hello", "GET", 200, "hello", true},
		{"in a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello", "GET", 200, "hello", true},
	} {
		begin := func(t *testing.T, ctx context.Context, limit time.Duration) *witness {
			t.Helper()
			release := make(chan struct{})
			b := newBench(t, open, func(p *peer) {
				if !tt.reads {
					<-release
					return
				}
				if p.request() != nil && p.send(0, tt.sent) && !p.gone() {
					t.Error("something was sent after the end")
				}
			})
			t.Cleanup(func() { close(release) })
			body := ""
			if !tt.reads {
				body = strings.Repeat("x", 16<<20)
			}
			return b.begin(ctx, b.request(tt.method, "/", body), b.clock.Now()+limit, nil)
		}
		t.Run("time out "+tt.name, func(t *testing.T) {
			const limit = 150 * time.Millisecond
			began := time.Now()
			begin(t, t.Context(), limit).wait().failed("timeout", tt.status, tt.body)
			if d := time.Since(began); d < limit || d > limit+slack {
				t.Errorf("took %v", d)
			}
		})
		t.Run("cut "+tt.name, func(t *testing.T) {
			ctx, cut := context.WithCancel(t.Context())
			w := begin(t, ctx, patience)
			<-time.After(100 * ms)
			began := time.Now()
			cut()
			w.wait().failed("cut", tt.status, tt.body)
			if d := time.Since(began); d > slack {
				t.Errorf("took %v", d)
			}
		})
	}
	t.Run("cut before the start", func(t *testing.T) {
		b := newBench(t, open, always(ok))
		ctx, cut := context.WithCancel(t.Context())
		cut()
		b.begin(ctx, b.request("GET", "/", ""), b.clock.Now()+patience, nil).wait().failed("cut", 0, "")
	})
	t.Run("no time", func(t *testing.T) {
		b := newBench(t, open, always(ok))
		b.begin(t.Context(), b.request("GET", "/", ""), b.clock.Now()-time.Second, nil).wait().failed("timeout", 0, "")
	})
	t.Run("time left over does no harm", func(t *testing.T) {
		b := newBench(t, open, always(ok))
		b.begin(t.Context(), b.request("GET", "/", ""), b.clock.Now()+300*ms, nil).wait().answered(200, "ok")
		<-time.After(400 * ms)
		b.get("/").answered(200, "ok")
		b.connections(1)
	})
}

// What the exchange wants of the rest of an answer.
func testWants(t *testing.T, open openTransport) {
	for _, when := range []string{"head", "body"} {
		wants := func(what next) func([]byte) next {
			return func(p []byte) next {
				if (p == nil) == (when == "head") {
					return what
				}
				return more
			}
		}
		endless := func(p *peer) {
			if p.request() == nil {
				return
			}
			for p.send(0, "HTTP/1.1 200 OK\r\n\r\n", "more") {
				for p.send(5*ms, "more", "more") {
				}
			}
		}
		t.Run("stop in the "+when, func(t *testing.T) {
			b := newBench(t, open, endless)
			began := time.Now()
			w := b.begin(t.Context(), b.request("GET", "/", ""), b.clock.Now()+patience, wants(stop)).wait()
			if w.err != nil || w.answer == nil || when == "head" && len(w.pieces) > 0 || when == "body" && len(w.pieces) != 1 {
				t.Error(w)
			}
			if d := time.Since(began); d > slack {
				t.Errorf("took %v", d)
			}
			eventually(t, "the connection closed", func() bool { return b.server.open() == 0 })
		})
		t.Run("enough in the "+when+" of an endless answer", func(t *testing.T) {
			b := newBench(t, open, endless)
			began := time.Now()
			w := b.begin(t.Context(), b.request("GET", "/", ""), b.clock.Now()+patience, wants(enough)).wait()
			if w.err != nil || w.answer == nil {
				t.Error(w)
			}
			if d := time.Since(began); d < linger || d > linger+slack {
				t.Errorf("took %v, want about %v", d, linger)
			}
			eventually(t, "the connection closed", func() bool { return b.server.open() == 0 })
		})
		t.Run("enough in the "+when+" of an answer that ends soon", func(t *testing.T) {
			b := newBench(t, open, func(p *peer) {
				for p.request() != nil && p.send(20*ms, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", "ab", "cd") {
				}
			})
			for range 2 {
				w := b.begin(t.Context(), b.request("GET", "/", ""), b.clock.Now()+patience, wants(enough)).wait()
				if w.err != nil {
					t.Error(w)
				}
			}
			b.connections(1)
		})
	}
}

// Exchanges at the same time do not get in each other's way.
func testMany(t *testing.T, open openTransport) {
	const users, times = 100, 20
	b := newBench(t, open, each(func(r *http.Request) string {
		size, _ := strconv.Atoi(r.URL.RawQuery)
		echo := fmt.Sprintf("%s|%s|", r.URL.Path, bodyOf(r))
		echo += strings.Repeat("x", size)
		if size%2 == 0 {
			return chunked(echo[:1], echo[1:])
		}
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(echo), echo)
	}))
	var all sync.WaitGroup
	for u := range users {
		all.Go(func() {
			for i := range times {
				size, body := (u*times+i)*37%20_000, fmt.Sprintf("order %d of %d", i, u)
				path := fmt.Sprintf("/%d/%d", u, i)
				w := b.do(b.request("POST", fmt.Sprintf("%s?%d", path, size), body))
				w.answered(200, path+"|"+body+"|"+strings.Repeat("x", size))
			}
		})
	}
	all.Wait()
	// More than the users, as net/http dials for a request that then finds an idle
	// one: the more of them the slower dialling is. Without keeping there were users × times.
	if n := b.server.accepted.Load(); n > users*times/4 || n != b.opened.Load() {
		t.Errorf("%d connections accepted, %d opened, for %d users", n, b.opened.Load(), users)
	}
}
