package engine

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A timerFD is the kernel's timer as a file that Go's poller waits for.
type timerFD struct {
	file *os.File
	raw  syscall.RawConn
	buf  [8]byte
}

func newTimerFD() (*timerFD, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create a timerfd: %w", err)
	}
	file := os.NewFile(uintptr(fd), "timerfd")
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reach the timerfd: %w", err), file.Close())
	}
	return &timerFD{file: file, raw: raw}, nil
}

// set makes the timer fire once, in d, which must be above 0. A closed one
// fires no more.
func (t *timerFD) set(d time.Duration) {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
	_ = t.raw.Control(func(fd uintptr) { // fails once the file is closed, and only then
		_ = unix.TimerfdSettime(int(fd), 0, &spec, nil) // a positive time of an open timerfd is no error
	})
}

// wait returns when the timer has fired, or with an error once it is closed.
func (t *timerFD) wait() error {
	_, err := t.file.Read(t.buf[:])
	return err
}

func (t *timerFD) close() { _ = t.file.Close() } // a timer has nothing to flush
