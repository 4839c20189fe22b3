package driver

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/rxtime"
)

// A dialer opens the connections of one workload, each wrapped by rxtime, and
// times their set-up. Its methods may be called from many goroutines at once.
type dialer struct {
	net     net.Dialer
	sources sources
	// receive is the size of a connection's receive buffer, in bytes; 0 leaves it to
	// the system.
	receive int
	gate    *gate
	tls     *tls.Config
	clock   *rxtime.Clock
	held    func() // releases the kernel's stamps

	mu     sync.Mutex
	closed bool
	cancel map[*context.CancelFunc]struct{} // of the dials under way
	open   map[*dialedConn]struct{}
	dials  sync.WaitGroup
}

// A dialedConn is a connection its dialer knows to be open.
type dialedConn struct {
	*rxtime.Conn
	d *dialer
}

// NetConn returns what the connection wraps, for rxtime.From.
func (c *dialedConn) NetConn() net.Conn { return c.Conn }

// Close closes the connection.
func (c *dialedConn) Close() error {
	c.d.mu.Lock()
	delete(c.d.open, c)
	c.d.mu.Unlock()
	return c.Conn.Close()
}

// newDialer returns a dialer that gives up on one connection after timeout.
// config is used by dialTLS, which fills in the server's name.
func newDialer(timeout time.Duration, config *tls.Config) *dialer {
	return &dialer{
		net:    net.Dialer{Timeout: timeout},
		tls:    config,
		clock:  rxtime.NewClock(),
		held:   rxtime.Hold(),
		cancel: make(map[*context.CancelFunc]struct{}),
		open:   make(map[*dialedConn]struct{}),
	}
}

// tlsConfig is the TLS client configuration of a workload. protocols are
// offered by ALPN. Sessions are not resumed: each connection stands for a client
// that comes for the first time.
func tlsConfig(insecureSkipVerify bool, protocols ...string) *tls.Config {
	return &tls.Config{
		InsecureSkipVerify: insecureSkipVerify,
		NextProtos:         protocols,
	}
}

// connectTimes is how long the parts of one connection's set-up took; 0 where
// there was no such part (an address needs no DNS, plain HTTP no TLS). Wait comes
// before them: for the turn to connect.
type connectTimes struct {
	Wait, DNS, Dial, TLS time.Duration
}

type connectTimesKey struct{}

// withConnectTimes returns a context whose dials report their set-up times to
// note: once for each connection opened, from the goroutine that opened it,
// which may outlive the request that asked for the connection.
func withConnectTimes(ctx context.Context, note func(connectTimes)) context.Context {
	return context.WithValue(ctx, connectTimesKey{}, note)
}

// dial opens a plain connection.
func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, done, err := d.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	waited, err := d.gate.enter(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer d.gate.leave()
	conn, times, err := d.connect(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	times.Wait = waited
	report(ctx, times)
	return conn, nil
}

// dialTLS opens a connection and does the TLS handshake on it. The result is a
// *tls.Conn.
func (d *dialer) dialTLS(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, done, err := d.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	waited, err := d.gate.enter(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer d.gate.leave()
	plain, times, err := d.connect(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	times.Wait = waited
	config := d.tls.Clone()
	if config.ServerName == "" {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			host = addr
		}
		config.ServerName = host
	}
	conn := tls.Client(plain, config)
	began := time.Now()
	handshake, cancel := context.WithTimeout(ctx, d.net.Timeout)
	defer cancel()
	if err := conn.HandshakeContext(handshake); err != nil {
		_ = plain.Close() // the handshake's error is the one to report
		return nil, fmt.Errorf("tls handshake with %s: %w", addr, err)
	}
	times.TLS = time.Since(began)
	report(ctx, times)
	return conn, nil
}

// connect resolves, dials and wraps.
func (d *dialer) connect(ctx context.Context, network, addr string) (*dialedConn, connectTimes, error) {
	var (
		times    connectTimes
		began    = time.Now()
		resolved = began
	)
	// A trace of its own hides the request's from the net package: what the
	// request's trace would be told here may come after the request is over.
	socket := d.net
	socket.LocalAddr = d.sources.next()
	socket.Control = func(_, _ string, c syscall.RawConn) error { return d.prepare(c, socket.LocalAddr != nil) }
	dialed, err := socket.DialContext(httptrace.WithClientTrace(withoutTrace(ctx), &httptrace.ClientTrace{
		DNSDone: func(httptrace.DNSDoneInfo) {
			resolved = time.Now()
			times.DNS = resolved.Sub(began)
		},
	}), network, addr)
	if err != nil {
		return nil, times, err
	}
	times.Dial = time.Since(resolved)
	conn := &dialedConn{Conn: d.clock.Wrap(dialed), d: d}
	conn.StampWrites() // without, a write is timed by its return
	d.mu.Lock()
	d.open[conn] = struct{}{}
	d.mu.Unlock()
	return conn, times, nil
}

// withoutTrace keeps of ctx its end, and drops its values.
func withoutTrace(ctx context.Context) context.Context { return valueless{ctx} }

// valueless is a context without values.
type valueless struct{ context.Context }

func (valueless) Value(any) any { return nil }

func report(ctx context.Context, times connectTimes) {
	if note, ok := ctx.Value(connectTimesKey{}).(func(connectTimes)); ok {
		note(times)
	}
}

// begin counts a dial in; done counts it out. The context also ends with close.
func (d *dialer) begin(ctx context.Context) (_ context.Context, done func(), err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, nil, fmt.Errorf("dial after the end of the run: %w", net.ErrClosed)
	}
	ctx, cancel := context.WithCancel(ctx)
	d.cancel[&cancel] = struct{}{}
	d.dials.Add(1)
	return ctx, func() {
		d.mu.Lock()
		delete(d.cancel, &cancel)
		d.mu.Unlock()
		cancel()
		d.dials.Done()
	}, nil
}

// close cancels the dials under way and waits for them, then closes every
// connection still open; later dials fail. net/http dials in goroutines that
// outlive the request and keeps connections for requests to come, so a workload
// closes its dialer at its end.
func (d *dialer) close() {
	d.mu.Lock()
	d.closed = true
	for cancel := range d.cancel {
		(*cancel)()
	}
	d.mu.Unlock()
	d.dials.Wait()

	d.mu.Lock()
	open := slices.Collect(maps.Keys(d.open))
	d.mu.Unlock()
	for _, c := range open {
		_ = c.Close() // nobody reads from it any more
	}
	d.held()
}

// Buffers of a connection, in bytes: small, for there are thousands.
const (
	connReadBuffer  = 4 << 10
	connWriteBuffer = 4 << 10
)

// newTransport returns the HTTP client side of one workload.
//
//   - On https HTTP/2 is offered by ALPN. On http, prior selects HTTP/2 by prior
//     knowledge, otherwise HTTP/1.1 is spoken.
//   - An HTTP/1.1 connection is kept for the next arrival; up to keep stay open
//     idle, so that no arrival pays for a connection another has just closed.
//   - Nothing is asked for compressed: a decompressor holds chunks back.
//   - The proxy is taken from the environment (HTTP_PROXY, HTTPS_PROXY,
//     NO_PROXY), by net/http's rule: never for localhost or a loopback address.
//     Through a proxy the TLS handshake is not timed.
func newTransport(d *dialer, prior bool, keep int) *http.Transport {
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         d.dial,
		DialTLSContext:      d.dialTLS,
		TLSClientConfig:     d.tls.Clone(), // net/http adds to it
		TLSHandshakeTimeout: d.net.Timeout,
		DisableCompression:  true,
		MaxIdleConnsPerHost: keep,
		IdleConnTimeout:     90 * time.Second,
		ReadBufferSize:      connReadBuffer,
		WriteBufferSize:     connWriteBuffer,
		Protocols:           new(http.Protocols),
	}
	// Prior knowledge only holds where HTTP/1.1 is no choice.
	t.Protocols.SetUnencryptedHTTP2(prior)
	t.Protocols.SetHTTP1(!prior)
	t.Protocols.SetHTTP2(!prior)
	return t
}
