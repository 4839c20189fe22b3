package driver

import "golang.org/x/sys/unix"

// portAtConnect leaves the choice of the port to connect, where only the four
// of both addresses and ports must be unlike any other's. A bind to an address
// alone would choose one that nobody else uses at all: with some 30,000
// connections there is none left, and the search for one is long before that.
func portAtConnect(fd uintptr) {
	// Without it, which is so before Linux 4.2, connections are fewer and no less true.
	_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
}

// receiveBuffer bounds what the kernel takes in before it is read, and with it the
// window that the peer is offered. The kernel doubles the number, and has a least.
func receiveBuffer(fd uintptr, bytes int) {
	// Where it is refused the peer is merely held up later.
	_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, bytes)
}
