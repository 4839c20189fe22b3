//go:build !linux

package driver

// portAtConnect does nothing: the port is chosen when the address is.
func portAtConnect(uintptr) {}

// receiveBuffer does nothing: the peer is held up once the system's own buffer is full.
func receiveBuffer(uintptr, int) {}
