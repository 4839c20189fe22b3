package peers_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A child is what a process came to.
type child struct {
	Out, Err []byte
	CPU      time.Duration // user and system, by the kernel's account
	Peak     int64         // bytes of resident memory at its highest; 0 where unknown
	Took     time.Duration
}

// childLimit bounds every process that is started.
const childLimit = 3 * time.Minute

// pinned is argv on the cores that client and server share.
func pinned(argv []string) []string {
	if *cores == "" {
		return argv
	}
	return append([]string{"taskset", "-c", *cores}, argv...)
}

// runChild runs argv to its end, in dir, with env on top of this process's own.
// A non-zero exit is an error; the child is returned nevertheless.
func runChild(ctx context.Context, dir string, env []string, argv ...string) (child, error) {
	ctx, cancel := context.WithTimeout(ctx, childLimit)
	defer cancel()
	argv = pinned(argv)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return child{}, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	// Not ru_maxrss: a child inherits that from the process it was forked from.
	var peak int64
	// Often, for the peak may come at the very end, when a result is made.
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			peak = max(peak, highWater(cmd.Process.Pid))
		case err := <-ended:
			c := child{
				Out: stdout.Bytes(), Err: stderr.Bytes(), Peak: peak, Took: time.Since(begin),
				CPU: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(),
			}
			if err != nil {
				return c, fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, tail(stderr.Bytes()))
			}
			return c, nil
		}
	}
}

// highWater is a process's VmHWM in bytes, 0 where the system has none.
func highWater(pid int) int64 {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if kib, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(kib), " kB"), 10, 64)
			if err == nil {
				return n << 10
			}
		}
	}
	return 0
}

func tail(b []byte) []byte { return b[max(0, len(b)-2000):] }

// runClient runs one of this package's own clients as a process.
func runClient(ctx context.Context, name string, o order) (report, child, error) {
	raw, err := json.Marshal(o)
	if err != nil {
		return report{}, child{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return report{}, child{}, err
	}
	c, err := runChild(ctx, "", []string{envClient + "=" + name, envOrder + "=" + string(raw)}, self)
	if err != nil {
		return report{}, c, err
	}
	var r report
	if err := json.Unmarshal(c.Out, &r); err != nil {
		return report{}, c, fmt.Errorf("read the report of %s: %w", name, err)
	}
	return r, c, nil
}

// A server is a reference-server of its own process.
type server struct {
	Addr string // host:port
	cmd  *exec.Cmd
	log  *bytes.Buffer
}

// startServer starts bin on a free port of loopback.
func startServer(bin string, args ...string) (*server, error) {
	argv := pinned(append([]string{bin, "--listen", "127.0.0.1:0"}, args...))
	s := &server{cmd: exec.Command(argv[0], argv[1:]...), log: new(bytes.Buffer)}
	s.cmd.Stderr = s.log
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on http://")
	if err != nil || !ok {
		_ = s.cmd.Process.Kill() // it is of no use
		_ = s.cmd.Wait()
		return nil, fmt.Errorf("reference-server said %q: %s", line, tail(s.log.Bytes()))
	}
	s.Addr = addr
	return s, nil
}

// freeze stops the server's process for d and returns how long it stood.
func (s *server) freeze(d time.Duration) (time.Duration, error) {
	begin := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return 0, err
	}
	<-time.After(d)
	err := s.cmd.Process.Signal(syscall.SIGCONT)
	return time.Since(begin), err
}

// stop ends the server; it is killed where it does not leave.
func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	late := time.AfterFunc(15*time.Second, func() { _ = s.cmd.Process.Kill() })
	defer late.Stop()
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("reference-server: %w: %s", err, tail(s.log.Bytes()))
	}
	return nil
}
