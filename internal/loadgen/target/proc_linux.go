package target

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A stat is what /proc/PID/stat says of a process: proc_pid_stat(5).
type stat struct {
	state         byte
	parent, group int
	self, waited  uint64 // clock ticks, user and system
	start         uint64 // clock ticks since the machine started
	threads       int
	rss           int64 // pages
}

// Fields of stat behind the name, from 0.
const (
	fieldState   = 0
	fieldParent  = 1
	fieldGroup   = 2
	fieldUser    = 11 // and system
	fieldWaited  = 13 // user, and system
	fieldThreads = 17
	fieldStart   = 19
	fieldRSS     = 21
)

var errStat = errors.New("not a line of /proc/PID/stat")

// parseStat reads a line "pid (name) state ppid pgrp …"; the name may hold anything.
func parseStat(line []byte) (stat, error) {
	var s stat
	f := bytes.Fields(line[bytes.LastIndexByte(line, ')')+1:])
	if len(f) <= fieldRSS || len(f[fieldState]) != 1 {
		return s, errStat
	}
	var failed error
	number := func(i int) uint64 {
		n, err := strconv.ParseUint(string(f[i]), 10, 63)
		if err != nil {
			failed = fmt.Errorf("%w: field %d: %w", errStat, i+3, err)
		}
		return n
	}
	// Children's times are signed there, and so is the memory.
	signed := func(i int) uint64 {
		if f[i][0] == '-' {
			return 0
		}
		return number(i)
	}
	s.state = f[fieldState][0]
	s.parent, s.group = int(number(fieldParent)), int(signed(fieldGroup))
	s.self = number(fieldUser) + number(fieldUser+1)
	s.waited = signed(fieldWaited) + signed(fieldWaited+1)
	s.threads, s.start, s.rss = int(signed(fieldThreads)), number(fieldStart), int64(signed(fieldRSS))
	return s, failed
}

// gone reports whether the process has ended, all of its threads, and is only
// waited for.
func (s stat) gone() bool { return (s.state == 'Z' || s.state == 'X') && s.threads <= 1 }

// readStat reads the stat of a process into a buffer that it may keep; an error
// where there is no such process.
func readStat(pid int, buf []byte) (stat, error) {
	name := "/proc/" + strconv.Itoa(pid) + "/stat"
	fd, err := uninterrupted(func() (int, error) { return syscall.Open(name, syscall.O_RDONLY|syscall.O_CLOEXEC, 0) })
	if err != nil {
		return stat{}, fmt.Errorf("open %s: %w", name, err)
	}
	n, err := uninterrupted(func() (int, error) { return syscall.Read(fd, buf) })
	_ = syscall.Close(fd) // only read
	if err != nil {
		return stat{}, fmt.Errorf("read %s: %w", name, err)
	}
	return parseStat(buf[:n])
}

// uninterrupted calls again what a signal has interrupted.
func uninterrupted(call func() (int, error)) (n int, err error) {
	for n, err = call(); errors.Is(err, syscall.EINTR); n, err = call() {
	}
	return n, err
}

// noProcess reports whether err says that there is no such process.
func noProcess(err error) bool {
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ESRCH)
}

// ticks turns clock ticks into time.
func (s *scanner) ticks(n uint64) time.Duration { return time.Duration(n) * s.tick }

// proc looks at what a process uses.
func (s *scanner) proc(pid int, st stat) proc {
	p := proc{
		id: identity{pid, st.start}, parent: st.parent, ended: st.gone(),
		self: s.ticks(st.self), waited: s.ticks(st.waited), fds: -1,
	}
	if st.waited > 0 {
		p.short = 2 * s.tick // user and system time are cut to ticks, each
	}
	if exact, err := cpuClock(pid); err == nil {
		p.self = exact
	} else {
		p.short += 2 * s.tick
	}
	if p.ended {
		return p
	}
	p.rss, p.threads, p.fds = st.rss*s.page, st.threads, openFDs(pid)
	return p
}

// cpuClock is the CPU time of all threads that a process has or had, to the
// nanosecond: the clock that clock_getcpuclockid(3) names, which any process may read.
func cpuClock(pid int) (time.Duration, error) {
	const byScheduler = 2 // CPUCLOCK_SCHED of the kernel
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|byScheduler), &ts); err != nil {
		return 0, err
	}
	return time.Duration(ts.Nano()), nil
}

// openFDs is how many descriptors a process has open, -1 where another user's
// process does not tell. Linux 6.2 and later say it as the folder's size.
func openFDs(pid int) int {
	dir := "/proc/" + strconv.Itoa(pid) + "/fd"
	var st syscall.Stat_t
	if err := syscall.Stat(dir, &st); err == nil && st.Size > 0 {
		return int(st.Size)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return -1
	}
	return len(entries)
}

// clockTick is the unit of times in /proc: what the kernel told this process when
// it started it, see getauxval(3); else what it is everywhere.
func clockTick() time.Duration {
	const (
		name  = 17 // AT_CLKTCK
		usual = time.Second / 100
	)
	aux, err := os.ReadFile("/proc/self/auxv")
	if err != nil {
		return usual
	}
	word := strconv.IntSize / 8
	read := func(at int) uint64 {
		if word == 4 {
			return uint64(binary.NativeEndian.Uint32(aux[at:]))
		}
		return binary.NativeEndian.Uint64(aux[at:])
	}
	for at := 0; at+2*word <= len(aux); at += 2 * word {
		if read(at) == name && read(at+word) > 0 {
			return time.Second / time.Duration(read(at+word))
		}
	}
	return usual
}
