//go:build !linux

package rxtime

import "net"

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

func (c *Conn) opError(_ string, err error) error { return err }

// Hold keeps the kernel stamping what arrives; there is nothing to keep here.
func Hold() (release func()) { return func() {} }
