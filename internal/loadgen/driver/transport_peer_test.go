package driver

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// peers are the server of one test: each connection is served by a goroutine of
// its own.
type peers struct {
	addr     string
	accepted atomic.Int64

	mu     sync.Mutex
	conns  map[*peer]struct{}
	closed bool
}

// A peer is one connection as its server has it.
type peer struct {
	writeCloser
	tcp   *net.TCPConn // beneath TLS, where there is any
	t     *testing.T
	nth   int64 // from 1, in the order of connections
	read  *bufio.Reader
	asked int // requests read on it
}

// A writeCloser is a plain connection or one over TLS.
type writeCloser interface {
	net.Conn
	CloseWrite() error
}

// listen serves each connection by serve until t's end, which closes those still
// open.
func listen(t *testing.T, serve func(*peer)) *peers { return listenTLS(t, nil, serve) }

// listenTLS is listen over TLS, where there is a configuration for it.
func listenTLS(t *testing.T, config *tls.Config, serve func(*peer)) *peers {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &peers{addr: l.Addr().String(), conns: make(map[*peer]struct{})}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			tcp, _ := c.(*net.TCPConn)
			p := &peer{writeCloser: tcp, tcp: tcp, t: t, nth: s.accepted.Add(1)}
			if config != nil {
				p.writeCloser = tls.Server(tcp, config)
			}
			p.read = bufio.NewReader(p)
			if !s.add(p) {
				return
			}
			all.Go(func() {
				defer s.remove(p)
				serve(p)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		s.mu.Lock()
		s.closed = true
		for p := range s.conns {
			_ = p.tcp.Close()
		}
		s.mu.Unlock()
		all.Wait()
	})
	return s
}

func (s *peers) add(p *peer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = p.Close()
		return false
	}
	s.conns[p] = struct{}{}
	return true
}

func (s *peers) remove(p *peer) {
	_ = p.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, p)
}

// open is how many connections are being served.
func (s *peers) open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// request reads one, body included; nil when the client has gone.
func (p *peer) request() *http.Request {
	req := p.requestHead()
	if req == nil {
		return nil
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil
	}
	req.Body = io.NopCloser(&text{string(body)})
	return req
}

// requestHead reads the beginning of a request, and of its body what happens to
// come with it.
func (p *peer) requestHead() *http.Request {
	req, err := http.ReadRequest(p.read)
	if err != nil {
		return nil
	}
	p.asked++
	return req
}

// A text is the body of a request that was read.
type text struct{ string }

func (t *text) Read(b []byte) (int, error) {
	if t.string == "" {
		return 0, io.EOF
	}
	n := copy(b, t.string)
	t.string = t.string[n:]
	return n, nil
}

// bodyOf is the body of a request that request has read.
func bodyOf(req *http.Request) string {
	b, _ := io.ReadAll(req.Body) // it is in memory
	return string(b)
}

// send writes pieces, each by a write of its own, with so much time between.
func (p *peer) send(between time.Duration, pieces ...string) bool {
	for i, text := range pieces {
		if i > 0 {
			<-time.After(between)
		}
		if _, err := io.WriteString(p, text); err != nil {
			return false
		}
	}
	return true
}

// gone waits until the client has closed the connection, and reports whether
// it did before it sent anything more.
func (p *peer) gone() bool {
	n, err := p.read.Read(make([]byte, 1))
	return n == 0 && err != nil
}

// each answers every request of a connection by what answer gives.
func each(answer func(*http.Request) string) func(*peer) {
	return func(p *peer) {
		for req := p.request(); req != nil; req = p.request() {
			if !p.send(0, answer(req)) {
				return
			}
		}
	}
}

// always answers every request alike.
func always(answer string) func(*peer) { return each(func(*http.Request) string { return answer }) }

// once answers the first request, then does what then says.
func once(answer string, then func(*peer)) func(*peer) {
	return func(p *peer) {
		if p.request() != nil && p.send(0, answer) {
			then(p)
		}
	}
}

// What a server does after an answer.
func hangUp(p *peer) { _ = p.Close() }
func abort(p *peer)  { reset(p.tcp) }
func waits(p *peer)  { p.gone() }

// ok is an answer with a length.
const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
