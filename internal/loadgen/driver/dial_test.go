package driver

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/rxtime"
)

// collectTimes returns a context that appends each connection's set-up times.
func collectTimes(ctx context.Context) (context.Context, func() []connectTimes) {
	var (
		mu  sync.Mutex
		all []connectTimes
	)
	ctx = withConnectTimes(ctx, func(c connectTimes) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, c)
	})
	return ctx, func() []connectTimes {
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

func TestDialTimesItsParts(t *testing.T) {
	s := startTLS(t, http.NotFoundHandler())
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	d := newDialer(5*time.Second, tlsConfig(true, "h2"))
	defer d.close()

	for _, tt := range []struct {
		addr     string
		dns, tls bool
		dial     func(context.Context, string, string) (net.Conn, error)
	}{
		{s.Listener.Addr().String(), false, false, d.dial},
		{"localhost:" + port, true, false, d.dial},
		{s.Listener.Addr().String(), false, true, d.dialTLS},
		{"localhost:" + port, true, true, d.dialTLS},
	} {
		ctx, times := collectTimes(t.Context())
		c, err := tt.dial(ctx, "tcp4", tt.addr)
		if err != nil {
			t.Fatal(err)
		}
		got := times()
		if len(got) != 1 || got[0].Dial <= 0 || (got[0].DNS > 0) != tt.dns || (got[0].TLS > 0) != tt.tls {
			t.Errorf("%s, TLS %v: %+v", tt.addr, tt.tls, got)
		}
		rx, ok := rxtime.From(c)
		if !ok {
			t.Fatalf("%T is not wrapped by rxtime", c)
		}
		if rx.Kernel() != (rxtime.Source == "kernel") {
			t.Errorf("asked for the kernel's stamps: %v", rx.Kernel())
		}
		if _, reads := rx.LastRead(); tt.tls != (reads > 0) {
			t.Errorf("%d reads after set-up, TLS %v", reads, tt.tls)
		}
		if conn, ok := c.(*tls.Conn); tt.tls && (!ok || conn.ConnectionState().NegotiatedProtocol != "h2") {
			t.Errorf("%T without ALPN", c)
		}
		_ = c.Close()
	}
	if len(d.open) != 0 {
		t.Errorf("%d connections still counted as open", len(d.open))
	}
}

func TestDialGivesUp(t *testing.T) {
	// A listener that never takes the connection out of TLS's first step.
	silent := misbehave(t, func(c *net.TCPConn) {
		buf := make([]byte, 4096)
		for {
			if _, err := c.Read(buf); err != nil {
				_ = c.Close()
				return
			}
		}
	})
	d := newDialer(50*time.Millisecond, tlsConfig(true))
	defer d.close()
	_, err := d.dialTLS(t.Context(), "tcp", silent)
	if class := classOf(err); class != classTimeout || !strings.Contains(err.Error(), silent) {
		t.Errorf("class %q: %v", class, err)
	}
}

func TestDialerClose(t *testing.T) {
	entered, ended := make(chan struct{}), make(chan struct{})
	silent := misbehave(t, func(c *net.TCPConn) {
		buf := make([]byte, 4096)
		close(entered)
		for {
			if _, err := c.Read(buf); err != nil {
				_ = c.Close()
				close(ended)
				return
			}
		}
	})
	d := newDialer(time.Minute, tlsConfig(true))
	failed := make(chan error, 1)
	go func() {
		_, err := d.dialTLS(context.Background(), "tcp", silent)
		failed <- err
	}()
	<-entered
	d.close()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("dial under way ended with %v", err)
	}
	<-ended
	if _, err := d.dial(t.Context(), "tcp", silent); !errors.Is(err, net.ErrClosed) {
		t.Errorf("dial after close: %v", err)
	}
}

func TestDialerCloseEndsConnections(t *testing.T) {
	ended := make(chan struct{})
	addr := misbehave(t, func(c *net.TCPConn) {
		_, _ = c.Read(make([]byte, 1))
		_ = c.Close()
		close(ended)
	})
	d := newDialer(time.Second, tlsConfig(true))
	if _, err := d.dial(t.Context(), "tcp", addr); err != nil {
		t.Fatal(err)
	}
	d.close()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("the connection outlived its dialer")
	}
}
