package engine

import (
	"errors"
	"fmt"
	"math"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A timerFD is the kernel's timer as a file that Go's poller waits for.
type timerFD struct {
	file *os.File
	raw  syscall.RawConn
	zero int64 // the clock's start on the kernel's monotonic clock, in nanoseconds
	buf  [8]byte
}

// newTimerFD returns a timer for the instants of c.
func newTimerFD(c Clock) (*timerFD, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create a timerfd: %w", err)
	}
	file := os.NewFile(uintptr(fd), "timerfd")
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reach the timerfd: %w", err), file.Close())
	}
	return &timerFD{file: file, raw: raw, zero: monotonicStart(c)}, nil
}

// monotonicStart is the start of c on the kernel's monotonic clock, to within a
// fraction of a microsecond.
func monotonicStart(c Clock) (zero int64) {
	const looks = 8
	narrowest := time.Duration(math.MaxInt64)
	for range looks {
		var ts unix.Timespec
		before := c.Now()
		if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
			continue // there is such a clock wherever there is a timerfd
		}
		if width := c.Now() - before; width < narrowest {
			narrowest, zero = width, ts.Nano()-int64(before+width/2)
		}
	}
	return zero
}

// setAt makes the timer fire once, at an instant of its clock or up to a
// microsecond before; at once where that has passed. A closed one fires no more.
func (t *timerFD) setAt(at time.Duration) {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(t.zero+int64(at), 1))}
	_ = t.raw.Control(func(fd uintptr) { // fails once the file is closed, and only then
		_ = unix.TimerfdSettime(int(fd), unix.TFD_TIMER_ABSTIME, &spec, nil) // a positive time of an open timerfd is no error
	})
}

// wait returns when the timer has fired, or with an error once it is released or
// closed.
func (t *timerFD) wait() error {
	_, err := t.file.Read(t.buf[:])
	return err
}

// release ends the wait that goes on and those to come.
func (t *timerFD) release() { _ = t.file.SetReadDeadline(time.Unix(1, 0)) } // fails once it is closed, which does the same

func (t *timerFD) close() { _ = t.file.Close() } // a timer has nothing to flush
