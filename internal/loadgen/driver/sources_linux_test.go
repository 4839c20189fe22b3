package driver

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edgeload/edgeload/internal/loadgen/rxtime"
)

func TestPortIsChosenAtConnect(t *testing.T) {
	addr, _ := peersOf(t)
	d := dialerFor(sourced(t, "127.0.0.9"), time.Second)
	defer d.close()
	c, err := d.dial(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	rx, _ := rxtime.From(c)
	tcp, ok := rx.Conn.(*net.TCPConn)
	if !ok {
		t.Fatalf("%T", rx.Conn)
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	set := 0
	if err := errors.Join(raw.Control(func(fd uintptr) {
		set, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT)
	}), err); err != nil || set != 1 {
		t.Errorf("IP_BIND_ADDRESS_NO_PORT is %d, %v", set, err)
	}
}

// One source port serves connections to different destinations at once; bound
// without the option, the second finds it taken. The sockets are given a choice
// of one port.
func TestOnePortForManyDestinations(t *testing.T) {
	first, _ := peersOf(t)
	second, peers := peersOf(t)
	port := freePort(t)
	connect := func(control func(fd uintptr), addr string) error {
		dialer := net.Dialer{
			Timeout: time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)},
			Control: func(_, _ string, c syscall.RawConn) error {
				var err error
				return errors.Join(c.Control(func(fd uintptr) {
					control(fd)
					err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_LOCAL_PORT_RANGE, port<<16|port)
				}), err)
			},
		}
		c, err := dialer.Dial("tcp", addr)
		if err == nil {
			t.Cleanup(func() { _ = c.Close() })
		}
		return err
	}
	if err := connect(portAtConnect, first); err != nil {
		t.Fatal(err)
	}
	if err := connect(func(uintptr) {}, second); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("bound with a port of its own: %v, want the port to be taken", err)
	}
	if err := connect(portAtConnect, second); err != nil {
		t.Fatal(err)
	}
	if from := <-peers; int(from.Port()) != port {
		t.Errorf("came from port %d, not from %d", from.Port(), port)
	}
}

// freePort is a port that nothing uses, for a moment.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.9:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return int(netip.MustParseAddrPort(l.Addr().String()).Port())
}
