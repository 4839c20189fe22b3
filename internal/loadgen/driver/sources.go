package driver

import (
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// sources are the addresses that connections come from, in turn. The zero value
// leaves the choice to the system. Any number of goroutines may use it at once.
type sources struct {
	addrs []netip.Addr
	turn  atomic.Uint64
}

// next is the address of the next connection, as net.Dialer takes it; nil where
// the system is to choose. Its port is the system's choice.
func (s *sources) next() net.Addr {
	if len(s.addrs) == 0 {
		return nil
	}
	addr := s.addrs[(s.turn.Add(1)-1)%uint64(len(s.addrs))]
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr, 0))
}

// prepare prepares a socket that is about to be connected, from a source where bound.
func (d *dialer) prepare(c syscall.RawConn, bound bool) error {
	if !bound && d.receive == 0 {
		return nil
	}
	return c.Control(func(fd uintptr) {
		if bound {
			portAtConnect(fd)
		}
		if d.receive > 0 {
			receiveBuffer(fd, d.receive)
		}
	})
}

// LocalAddress reports whether connections can come from addr, which the
// system is asked: it must be an address of this machine.
func LocalAddress(addr netip.Addr) bool {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
	if err != nil {
		return false
	}
	_ = c.Close() // nothing was sent
	return true
}

// dialerFor returns the dialer of workload w, by its source, connect and
// insecure_skip_verify, which gives up on one connection after timeout. protocols
// are offered by ALPN.
func dialerFor(w *scenario.Workload, timeout time.Duration, protocols ...string) *dialer {
	d := newDialer(timeout, tlsConfig(w.InsecureSkipVerify, protocols...))
	d.sources.addrs = scenario.Addrs(w.Source)
	d.gate = newGate(w.Connect)
	return d
}
