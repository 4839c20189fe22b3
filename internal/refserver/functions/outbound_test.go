package functions

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

func mustURL(t testing.TB, text string) *url.URL {
	t.Helper()
	u, err := ParseCallURL(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func newTestOutbound(t testing.TB, o OutboundOptions) *Outbound {
	out := NewOutbound(o)
	t.Cleanup(out.Close)
	return out
}

// upstreamOf is a server on loopback that answers as handler does.
func upstreamOf(t testing.TB, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s
}

// names is a name server on loopback that knows some names, and the resolver that
// asks it. It counts questions.
type names struct {
	*net.Resolver
	asked atomic.Int64
}

func serveNames(t testing.TB, known map[string][4]byte) *names {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &names{Resolver: &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			size, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			n.asked.Add(1)
			var m dnsmessage.Message
			if err := m.Unpack(buf[:size]); err != nil || len(m.Questions) != 1 {
				t.Errorf("question %x: %v", buf[:size], err)
				continue
			}
			q := m.Questions[0]
			m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
			if a, ok := known[q.Name.String()]; !ok {
				m.RCode = dnsmessage.RCodeNameError
			} else if q.Type == dnsmessage.TypeA {
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET},
					Body:   &dnsmessage.AResource{A: a},
				}}
			}
			answer, err := m.Pack()
			if err != nil {
				t.Errorf("answer: %v", err)
				continue
			}
			_, _ = conn.WriteTo(answer, from) // the question comes again
		}
	}()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	return n
}

func TestOutboundCalls(t *testing.T) {
	server := upstreamOf(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if r.Header.Get("Connection") != "" || r.Header.Get("Upgrade") != "" || r.Header.Get("Proxy-Authorization") != "" || r.Host == "evil.test" {
			t.Errorf("host %s, headers %v", r.Host, r.Header)
		}
		w.Header().Set("X-Answer", r.Header.Get("X-Question"))
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, r.Method+" "+r.URL.RequestURI()+" "+string(body))
	})
	out := newTestOutbound(t, OutboundOptions{})
	reply, err := out.Do(t.Context(), Call{
		Method: "PUT", URL: mustURL(t, server.URL+"/a?b=c"), Body: []byte("hello"),
		Header: http.Header{"x-question": {"42"}, "connection": {"Upgrade"}, "Upgrade": {"x"}, "Proxy-Authorization": {"x"}, "host": {"evil.test"}},
	})
	if err != nil || reply.Status != http.StatusTeapot || string(reply.Body) != "PUT /a?b=c hello" || reply.Header.Get("X-Answer") != "42" || reply.Truncated {
		t.Errorf("%+v, %v", reply, err)
	}
}

func TestOutboundForbids(t *testing.T) {
	var reached atomic.Int64
	server := upstreamOf(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	port := mustURL(t, server.URL).Port()
	known := serveNames(t, map[string][4]byte{"listed.test.": {127, 0, 0, 1}, "unlisted.test.": {127, 0, 0, 1}, "local.test.": {127, 0, 0, 1}})
	for _, tc := range []struct {
		name, allow, url string
		ok               bool
	}{
		{"the address itself", DefaultAllow, "http://127.0.0.1", true},
		{"mapped into IPv6", DefaultAllow, "http://[::ffff:127.0.0.1]", true},
		{"mapped, and not on the list", "::1", "http://[::ffff:127.0.0.1]", false},
		{"an address not on the list", "10.0.0.0/8", "http://127.0.0.1", false},
		{"a name that leads to what the list has", "local.test,127.0.0.0/8", "http://local.test", true},
		{"a name on the list that leads elsewhere", "listed.test", "http://listed.test", false},
		{"a name that is not on the list", DefaultAllow, "http://unlisted.test", false},
		{"any name, leading inside", "*", "http://listed.test", false},
		{"nobody's address, which Linux takes for loopback", DefaultAllow, "http://0.0.0.0", false},
	} {
		reached.Store(0)
		out := newTestOutbound(t, OutboundOptions{Allow: allow(t, tc.allow), Resolver: known.Resolver})
		u := mustURL(t, tc.url+":"+port+"/secret-path")
		_, err := out.Do(t.Context(), Call{URL: u})
		if tc.ok {
			if err != nil || reached.Load() != 1 {
				t.Errorf("%s: %v", tc.name, err)
			}
			continue
		}
		if !errors.Is(err, ErrNotAllowed) || reached.Load() != 0 {
			t.Errorf("%s: %v, and reached %d times", tc.name, err, reached.Load())
		} else if !strings.Contains(err.Error(), u.Hostname()) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v: want the host named, and the path not", tc.name, err)
		}
	}
}

// TestOutboundLooksUpListedNamesOnly: a question to a name server is a message to
// whoever owns the name.
func TestOutboundLooksUpListedNamesOnly(t *testing.T) {
	known := serveNames(t, nil)
	out := newTestOutbound(t, OutboundOptions{Allow: allow(t, "listed.test"), Resolver: known.Resolver})
	if _, err := out.Do(t.Context(), Call{URL: mustURL(t, "http://data.unlisted.test/")}); !errors.Is(err, ErrNotAllowed) || known.asked.Load() != 0 {
		t.Errorf("%v, and %d questions", err, known.asked.Load())
	}
	var dns *net.DNSError
	if _, err := out.Do(t.Context(), Call{URL: mustURL(t, "http://listed.test/")}); !errors.As(err, &dns) || known.asked.Load() == 0 {
		t.Errorf("%v, and %d questions", err, known.asked.Load())
	}
}

func TestOutboundRedirects(t *testing.T) {
	var to string // set between calls
	server := upstreamOf(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/end" {
			_, _ = io.Copy(w, r.Body)
			return
		}
		http.Redirect(w, r, to, http.StatusTemporaryRedirect)
	})
	out := newTestOutbound(t, OutboundOptions{})
	call := Call{Method: "POST", URL: mustURL(t, server.URL), Body: []byte("again"), Redirects: 3}
	for _, tc := range []struct {
		to        string
		redirects int
		status    int
		forbidden string
	}{
		{"/end", 3, 200, ""},
		{"/end", 0, 307, ""},
		{"/loop", 3, 307, ""},
		{"http://10.0.0.1/end", 3, 0, "10.0.0.1"},
		{"http://[::ffff:169.254.169.254]/end", 3, 0, "169.254.169.254"},
		{"http://elsewhere.test/end", 3, 0, "elsewhere.test"},
		{"file:///etc/passwd", 3, 0, `"file"`},
		{"http://user:pass@127.0.0.1/end", 3, 0, "user or password"},
	} {
		to = tc.to
		call.Redirects = tc.redirects
		reply, err := out.Do(t.Context(), call)
		if tc.forbidden != "" {
			if !errors.Is(err, ErrNotAllowed) || !strings.Contains(err.Error(), tc.forbidden) || strings.Contains(err.Error(), "pass@") {
				t.Errorf("to %s: %v", tc.to, err)
			}
			continue
		}
		if err != nil || reply.Status != tc.status || tc.status == 200 && string(reply.Body) != "again" {
			t.Errorf("to %s, %d followed: %+v, %v", tc.to, tc.redirects, reply, err)
		}
	}
}

// TestOutboundTellsNobodyOfOthers: neither the next server of the URL that led to it,
// nor whoever reads an error of what a server answered.
func TestOutboundTellsNobodyOfOthers(t *testing.T) {
	target := upstreamOf(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Header.Get("Referer")) })
	from := upstreamOf(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", target.URL)
		w.WriteHeader(http.StatusFound)
	})
	out := newTestOutbound(t, OutboundOptions{})
	for _, own := range []string{"", "http://mine.test/"} {
		call := Call{URL: mustURL(t, from.URL+"/?key=secret"), Redirects: 3, Header: make(http.Header)}
		if own != "" {
			call.Header.Set("Referer", own)
		}
		if reply, err := out.Do(t.Context(), call); err != nil || string(reply.Body) != own {
			t.Errorf("the server behind a redirect got the referer %q, %v; want %q", reply.Body, err, own)
		}
	}

	for _, answer := range []string{
		"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/%zz?key=secret\r\n\r\n",
		"HTTP/1.1 307 Found\r\nContent-Length: 0\r\nLocation: http://[::1/secret\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX-Secret secret\r\n\r\n",
		"secret\r\n\r\n",
		"HTTP/1.1 secret\r\n\r\n",
		"HTTP/secret 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: secret\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: secret\r\n\r\n",
		strings.Repeat("x", 50_000) + "\r\n\r\n",
	} {
		server := upstreamOf(t, func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(conn, answer)
			_ = conn.Close()
		})
		for _, redirects := range []int{0, 3} {
			u := mustURL(t, server.URL+"/secret")
			reply, err := out.Do(t.Context(), Call{URL: u, Redirects: redirects})
			if redirects == 0 && reply.Status/100 == 3 { // an answer like any other
				continue
			}
			if err == nil || !strings.Contains(err.Error(), u.Host) || strings.Contains(err.Error(), "secret") || len(err.Error()) > 200 {
				t.Errorf("%.60q, %d redirects: %+v, %.200v", answer, redirects, reply, err)
			}
		}
	}
}

func TestOutboundBodyIsBoundedAndConnectionKept(t *testing.T) {
	server := upstreamOf(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("x", 1000)) })
	out := newTestOutbound(t, OutboundOptions{MaxBody: 999})
	reused := false
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused }})
	for i := range 2 {
		reply, err := out.Do(ctx, Call{URL: mustURL(t, server.URL)})
		if err != nil || len(reply.Body) != 999 || !reply.Truncated || reused != (i == 1) {
			t.Errorf("call %d: %d bytes, truncated %t, %v; connection used again: %t", i, len(reply.Body), reply.Truncated, err, reused)
		}
	}
	out = newTestOutbound(t, OutboundOptions{MaxBody: 1000})
	if reply, err := out.Do(ctx, Call{URL: mustURL(t, server.URL)}); err != nil || len(reply.Body) != 1000 || reply.Truncated {
		t.Errorf("%d bytes, truncated %t, %v", len(reply.Body), reply.Truncated, err)
	}
}

// TestOutboundKeepsFewConnections: whoever names many hosts leaves no connection for
// each behind.
func TestOutboundKeepsFewConnections(t *testing.T) {
	var open atomic.Int64
	out := newTestOutbound(t, OutboundOptions{})
	for range outboundIdleConns + 20 {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				open.Add(1)
			case http.StateClosed:
				open.Add(-1)
			}
		}
		server.Start()
		t.Cleanup(server.Close)
		if _, err := out.Do(t.Context(), Call{URL: mustURL(t, server.URL)}); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(5 * time.Second); open.Load() > outboundIdleConns; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are open", open.Load())
		}
	}
}

func TestOutboundEndsWithItsContext(t *testing.T) {
	for _, headers := range []bool{false, true} {
		gone := make(chan struct{})
		server := upstreamOf(t, func(w http.ResponseWriter, r *http.Request) {
			if headers {
				_, _ = io.WriteString(w, "part")
				_ = http.NewResponseController(w).Flush()
			}
			<-r.Context().Done()
			close(gone)
		})
		out := newTestOutbound(t, OutboundOptions{})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err := out.Do(ctx, Call{URL: mustURL(t, server.URL)})
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("headers sent: %t: %v", headers, err)
		}
		<-gone
	}
}

// TestOutboundIgnoresProxies looks at the transport itself: net/http reads the
// environment once, so that a test cannot set it.
func TestOutboundIgnoresProxies(t *testing.T) {
	if newTestOutbound(t, OutboundOptions{}).transport.Proxy != nil {
		t.Error("calls go through a proxy, which connects to where no list is asked")
	}
}

func TestParseCallURL(t *testing.T) {
	for _, text := range []string{"", "/path", "ftp://127.0.0.1/", "http:", "http:///x", "http://user@127.0.0.1/", "http://a b/secret", "mailto:a@b", "http:127.0.0.1", "http://[::1/", "javascript:1"} {
		u, err := ParseCallURL(text)
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q reads as %v, %v", text, u, err)
		}
	}
	out := newTestOutbound(t, OutboundOptions{})
	for _, method := range []string{"CONNECT", "TRACE", "G E T"} {
		if _, err := out.Do(t.Context(), Call{Method: method, URL: mustURL(t, "http://127.0.0.1:1/")}); err == nil || strings.Contains(err.Error(), "refused") {
			t.Errorf("method %s: %v", method, err)
		}
	}
}
