//go:build !linux

package engine

import (
	"errors"
	"time"
)

// A timerFD does not exist here.
type timerFD struct{}

func newTimerFD(Clock) (*timerFD, error) { return nil, errors.ErrUnsupported }

func (*timerFD) setAt(time.Duration) {}
func (*timerFD) wait() error         { return errors.ErrUnsupported }
func (*timerFD) release()            {}
func (*timerFD) close()              {}
