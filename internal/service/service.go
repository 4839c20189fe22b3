// Package service starts, for tests, the real servers that a user would have:
// Redis, PostgreSQL with or without pg_cron, and Deno. Each runs as a process of its own
// on a free loopback port and in a temporary folder, and is gone with the test.
//
// A server that is not installed fails the test, with the name of the Debian
// package: nothing is skipped. Only tests import this package.
package service

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// readyWithin is how long a server may take until it answers.
const readyWithin = 30 * time.Second

// process is one server process.
type process struct {
	name string
	cmd  *exec.Cmd
	log  *lockedBuffer
	done chan struct{} // closed when it has ended
}

// start runs a program that is found on the PATH or below one of the folders.
func start(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{name: filepath.Base(cmd.Path), cmd: cmd, log: new(lockedBuffer), done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.log, p.log
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", p.name, err)
	}
	go func() {
		_ = cmd.Wait() // how it ended shows in its log
		close(p.done)
	}()
	return p
}

// signal sends a signal and waits for the end.
func (p *process) signal(t testing.TB, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("signal %s: %v", p.name, err)
	}
	select {
	case <-p.done:
	case <-time.After(readyWithin):
		_ = p.cmd.Process.Kill() // it has failed already
		t.Errorf("%s did not end\n%s", p.name, p.log)
	}
}

// await polls until ready returns nil.
func (p *process) await(t testing.TB, ready func() error) {
	t.Helper()
	deadline := time.Now().Add(readyWithin)
	for {
		err := ready()
		if err == nil {
			return
		}
		select {
		case <-p.done:
			t.Fatalf("%s ended before it was ready: %v\n%s", p.name, err, p.log)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not ready after %s: %v\n%s", p.name, readyWithin, err, p.log)
		}
	}
}

// program finds an executable, or fails the test and names the package it is in.
func program(t testing.TB, debian, name string, folders ...string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, folder := range folders {
		if path, err := exec.LookPath(filepath.Join(folder, name)); err == nil {
			return path
		}
	}
	t.Fatalf("this test needs %s (make test installs it; by hand: apt-get install %s)", name, debian)
	return ""
}

// freePort is a loopback port that nothing listens on.
func freePort(t testing.TB) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	addr, ok := ln.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatalf("listening on %v, want a TCP address", ln.Addr())
	}
	return addr.Port
}

// lockedBuffer is what a process has said so far.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write appends.
func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// String returns all of it.
func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// Redis is a running Redis server without persistence.
type Redis struct {
	URL  string // redis://127.0.0.1:PORT
	port int
	p    *process
}

// StartRedis starts a Redis server that is stopped with the test. More arguments
// go to redis-server.
func StartRedis(t testing.TB, args ...string) *Redis {
	t.Helper()
	port := freePort(t)
	r := &Redis{URL: fmt.Sprintf("redis://127.0.0.1:%d", port), port: port}
	r.Start(t, args...)
	t.Cleanup(func() { r.Kill(t) })
	return r
}

// Start starts it again on the same port, after Kill.
func (r *Redis) Start(t testing.TB, args ...string) {
	t.Helper()
	path := program(t, "redis-server", "redis-server")
	r.p = start(t, exec.Command(path, append([]string{
		"--bind", "127.0.0.1", "--port", fmt.Sprint(r.port), "--save", "", "--appendonly", "no", "--dir", t.TempDir(),
	}, args...)...))
	r.p.await(t, func() error {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", r.port))
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		if _, err := conn.Write([]byte("PING\r\n")); err != nil {
			return err
		}
		if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			return err
		}
		answer := make([]byte, 7)
		if _, err := conn.Read(answer); err != nil {
			return err
		}
		if string(answer) != "+PONG\r\n" {
			return fmt.Errorf("answered %q", answer)
		}
		return nil
	})
}

// Kill ends it with SIGKILL. Killing a killed one does nothing.
func (r *Redis) Kill(t testing.TB) {
	t.Helper()
	r.p.signal(t, syscall.SIGKILL)
}
