package rxtime

import (
	"sync"

	"golang.org/x/sys/unix"
)

// Hold keeps the kernel stamping what arrives until release is called. The
// kernel stops with the last socket that asked for it, and begins a moment after
// the next one asks: without a hold, the first bytes of a lone connection may
// come without a stamp. Where it cannot be had, that is all there is to it.
func Hold() (release func()) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return func() {}
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) // connections ask for themselves
	return sync.OnceFunc(func() { _ = unix.Close(fd) })                 // nothing was written to it
}
