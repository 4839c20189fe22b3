//go:build !linux

package driver

// portAtConnect does nothing: the port is chosen when the address is.
func portAtConnect(uintptr) {}
