package edge

import "golang.org/x/sys/unix"

// mostDescriptors is for how many descriptors there is room from the start, where the
// limit does not allow for fewer: 512 KiB of the kernel's memory.
const mostDescriptors = 1 << 16

// growDescriptors makes room in the kernel's table of this process for as many
// descriptors as it may open. The kernel doubles a full table while the call that
// needs one more waits, and with it every other that accepts or opens something, for
// all processors to have passed through the scheduler: 10 to 20 ms each at 64, 128,
// 256 … connections, in the middle of a load. Where there is no room to be had, it
// comes as it would have come without.
func growDescriptors() {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur == 0 {
		return
	}
	fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	highest := int(min(limit.Cur, mostDescriptors)) - 1
	if last, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, highest); err == nil {
		_ = unix.Close(last) // nothing was written to either
	}
	_ = unix.Close(fd)
}
