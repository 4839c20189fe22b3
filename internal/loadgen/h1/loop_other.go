//go:build !linux

package h1

import (
	"errors"
	"fmt"
	"time"
)

// There are no event loops here.
type loop struct {
	buf   []byte
	heads *headReader
}

func newLoop(pace, bool) (*loop, error) {
	return nil, fmt.Errorf("make an event loop: %w", errors.ErrUnsupported)
}

// events is what happened to a socket.
type events uint32

func (events) writable() bool { return false }
func (events) failed() bool   { return false }
func (events) ends() bool     { return false }

func (*loop) close()                  {}
func (*loop) arm(*conn, time.Time)    {}
func (*loop) add(*conn, bool) error   { return errors.ErrUnsupported }
func (*loop) watch(*conn, bool) error { return errors.ErrUnsupported }
func (*loop) later(*conn)             {}
func (*loop) forget(*conn)            {}
