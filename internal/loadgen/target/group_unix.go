//go:build unix

package target

import (
	"errors"
	"os"
	"syscall"
)

// signalGroup sends SIGTERM, or SIGKILL, to every process of the leader's group.
func signalGroup(leader *os.Process, kill bool) error {
	s := syscall.SIGTERM
	if kill {
		s = syscall.SIGKILL
	}
	return syscall.Kill(-leader.Pid, s)
}

// groupExists reports whether the group has members, ended ones that nobody has
// waited for included.
func groupExists(pgid int) bool {
	return !errors.Is(syscall.Kill(-pgid, 0), syscall.ESRCH)
}
