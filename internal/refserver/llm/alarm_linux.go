package llm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// timerfd is an open timerfd.
type timerfd int

func (t timerfd) set(after time.Duration) {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(int64(after), 1))}
	_ = unix.TimerfdSettime(int(t), 0, &spec, nil) // cannot fail for an open timerfd and a positive delay
}

// Run keeps the alarm ringing until ctx ends; then it returns nil. It must not
// run twice at a time.
func (a *Alarm) Run(ctx context.Context) error {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("create timerfd: %w", err)
	}
	file := os.NewFile(uintptr(fd), "timerfd")
	ring := newAlarmRing(timerfd(fd))
	a.ring.Store(ring)
	stop := context.AfterFunc(ctx, func() { _ = file.SetReadDeadline(time.Now()) }) // a timerfd is pollable, so it takes a deadline
	defer stop()

	var expirations [8]byte
	for err == nil {
		if _, err = file.Read(expirations[:]); err == nil {
			ring.fire()
		}
	}
	a.ring.Store(nil)
	ring.close()
	if cerr := file.Close(); cerr != nil {
		return fmt.Errorf("close timerfd: %w", cerr)
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("read timerfd: %w", err)
	}
	return nil
}
