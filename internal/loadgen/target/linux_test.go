//go:build linux

package target

import (
	"bufio"
	"fmt"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
)

// A load generator that is killed takes the server with it, even one that
// ignores SIGTERM.
func TestServerDiesWithItsParent(t *testing.T) {
	addr := freeAddr(t)
	argv := self(t, "parent", addr)
	parent := exec.Command(argv[0], argv[1:]...)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscanf(line, "pid %d\n", &pid); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	defer func() { _ = syscall.Kill(pid, syscall.SIGKILL) }() // the helper this test started, should it live
	if !answers(addr) {
		t.Fatal("the server does not answer")
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // killed
	eventually(t, "the server ends", func() bool { return !groupAlive(pid) && !answers(addr) })
}

// The death signal is tied to the thread that started the process: ending
// threads must not end the server.
func TestServerOutlivesThreads(t *testing.T) {
	addr := freeAddr(t)
	p := start(t, Options{Command: self(t, "serve", addr, "200"), Ready: "http://" + addr})
	for range 50 {
		done := make(chan struct{})
		go func() {
			defer close(done)
			runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		}()
		<-done
	}
	select {
	case <-p.Exited():
		t.Fatal("the server ended with a thread")
	default:
	}
	if e := stop(t, p); e.Killed || e.Code != 0 {
		t.Errorf("exit %+v", e)
	}
}
