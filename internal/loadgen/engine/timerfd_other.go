//go:build !linux

package engine

import (
	"errors"
	"time"
)

// A timerFD does not exist here.
type timerFD struct{}

func newTimerFD() (*timerFD, error) { return nil, errors.ErrUnsupported }

func (*timerFD) set(time.Duration) {}
func (*timerFD) wait() error       { return errors.ErrUnsupported }
func (*timerFD) close()            {}
