//go:build unix && !linux

package target

import "syscall"

// ownGroup makes a process the leader of its own group. Here nothing ends it
// when this process is killed.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// groupAlive reports whether a process of the group still runs.
func groupAlive(pgid int) bool { return groupExists(pgid) }
