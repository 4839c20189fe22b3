//go:build !linux

package rxtime

import (
	"errors"
	"net"
)

// Source names the best source of receive instants this system has, for the
// result file: "read" is the return of the read.
const Source = "read"

// Neither a reader nor a writer of kernel stamps is to be had here.
type (
	reader struct{}
	writer struct{}
)

func newReader(net.Conn, *Clock) *reader { return nil }
func newWriter(net.Conn, *Clock) *writer { return nil }

func (*reader) read([]byte) (int, passage, error)  { return 0, passage{}, net.ErrClosed }
func (*writer) write([]byte) (int, passage, error) { return 0, passage{}, net.ErrClosed }

// Detach is not to be had here.
func (*Conn) Detach() (*Socket, error) { return nil, errors.ErrUnsupported }

func (c *Conn) opError(_ string, err error) error { return err }

// Hold keeps the kernel stamping what arrives; there is nothing to keep here.
func Hold() (release func()) { return func() {} }

// A Socket is not to be had here.
type Socket struct{}

// FD, Ready, Flush, Read, Write, Last and LastSent do nothing here.
func (*Socket) FD() int                       { return -1 }
func (*Socket) Ready(bool)                    {}
func (*Socket) Flush() (bool, error)          { return true, nil }
func (*Socket) Read([]byte) (int, error)      { return 0, net.ErrClosed }
func (*Socket) Write([]byte) (int, error)     { return 0, net.ErrClosed }
func (*Socket) Last() (s Stamp, reads uint64) { return Stamp{}, 0 }
func (*Socket) LastSent() (s Stamp, n uint64) { return Stamp{}, 0 }
