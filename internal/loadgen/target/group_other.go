//go:build !unix

package target

import (
	"os"
	"syscall"
)

// ownGroup does nothing: there are no process groups here.
func ownGroup() *syscall.SysProcAttr { return nil }

// signalGroup ends the process itself, gently or not.
func signalGroup(leader *os.Process, _ bool) error { return leader.Kill() }

// groupAlive is false: only the process itself is known.
func groupAlive(int) bool { return false }
