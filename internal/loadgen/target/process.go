package target

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of a stop that no option governs.
const (
	killTimeout = 5 * time.Second       // for SIGKILL to take effect
	outputGrace = time.Second           // for output that something outside the group still holds open
	groupPause  = 10 * time.Millisecond // between two looks at whether the group is gone
)

// markName is the variable by which the processes of one tree are known.
const markName = "EDGELOAD_STARTED"

// A Process is a running server. Any number of goroutines may use one at once.
type Process struct {
	cmd         *exec.Cmd
	command     string // as given, without credentials
	mark        string // NAME=value in the environment of all that it starts
	stopTimeout time.Duration
	output      tail
	read        *os.File      // our end of the process's output
	copied      chan struct{} // closed when the output is complete

	exited  chan struct{} // closed when the fields below are set
	state   *os.ProcessState
	waitErr error
	early   bool // before anyone asked it to
	orphans bool // others of the group were left

	asked, killed atomic.Bool // SIGTERM, SIGKILL
	stopping      sync.Mutex  // held while the group is stopped
	stopped       bool
	stopErr       error
}

// An Exit is how a process ended.
type Exit struct {
	// Code is the exit status, -1 when a signal ended it.
	Code int
	// Status is the same in words: "exit status 1", "signal: killed".
	Status string
	// Early says that it ended without having been asked to.
	Early bool
	// Killed says that SIGTERM was not enough, for it or for what it had started.
	Killed bool
}

// String says how the process ended, as in "ended by itself: exit status 1".
func (e Exit) String() string {
	s := "ended: "
	if e.Early {
		s = "ended by itself: "
	}
	s += e.Status
	if e.Killed {
		s += " (SIGTERM was not obeyed)"
	}
	return s
}

func startProcess(argv []string, o Options) (*Process, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("open a pipe for its output: %w", err)
	}
	p := &Process{
		cmd:         exec.Command(argv[0], argv[1:]...),
		command:     o.name(),
		mark:        fmt.Sprintf("%s=%d-%d", markName, os.Getpid(), time.Now().UnixNano()),
		stopTimeout: o.StopTimeout,
		output:      tail{also: o.Output},
		read:        read,
		copied:      make(chan struct{}),
		exited:      make(chan struct{}),
	}
	p.cmd.Dir = o.Dir
	p.cmd.Env = append(append(p.cmd.Environ(), o.Env...), p.mark)
	// A file, not a writer: os/exec would wait for the output to end and so for
	// everything that holds it.
	p.cmd.Stdout, p.cmd.Stderr = write, write
	p.cmd.SysProcAttr = ownGroup()

	started := make(chan error)
	go func() {
		// The death signal of ownGroup comes when the thread that started the
		// process ends, so the thread is kept until the process has.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := p.cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		p.waitErr = p.cmd.Wait()
		p.state, p.early = p.cmd.ProcessState, !p.asked.Load()
		p.orphans = groupAlive(p.PID())
		close(p.exited)
	}()
	err = <-started
	closeErr := write.Close()
	if err != nil {
		return nil, errors.Join(err, read.Close())
	}
	go func() {
		defer close(p.copied)
		// Ends at the end of the output, or at the deadline that Stop sets.
		_, _ = io.Copy(&p.output, read)
	}()
	if closeErr != nil {
		return nil, errors.Join(fmt.Errorf("close the pipe of its output: %w", closeErr), p.stop(context.Background(), 0))
	}
	return p, nil
}

// PID is the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Exited is closed when the process has ended, by itself or by Stop.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Ended returns how the process ended; false while it runs.
func (p *Process) Ended() (e Exit, ok bool) {
	select {
	case <-p.exited:
	default:
		return Exit{}, false
	}
	e = Exit{Code: -1, Early: p.early, Killed: p.killed.Load()}
	if p.state == nil {
		e.Status = fmt.Sprintf("unknown status: %v", p.waitErr)
		return e, true
	}
	e.Code, e.Status = p.state.ExitCode(), p.state.String()
	return e, true
}

// Output returns the last 64 KiB or so of what the process wrote so far, after a
// note of how much came before it.
func (p *Process) Output() string { return p.output.String() }

// Stop sends SIGTERM to the process group, SIGKILL to what is left of it after
// StopTimeout or when ctx ends, and returns when all of the group has ended and
// its output is read. Ended then says how. A process that has ended by itself,
// or that had to be killed, is no error; one that cannot be killed is. Later
// calls return what the first did.
func (p *Process) Stop(ctx context.Context) error { return p.stop(ctx, p.stopTimeout) }

func (p *Process) stop(ctx context.Context, timeout time.Duration) error {
	p.stopping.Lock()
	defer p.stopping.Unlock()
	if p.stopped {
		return p.stopErr
	}
	p.stopped = true
	// With nothing left of the group its number may already be another's.
	if p.groupLeft() {
		p.stopErr = p.stopGroup(ctx, timeout)
	}
	p.endOutput()
	return p.stopErr
}

// stopGroup returns when nothing is left of the group.
func (p *Process) stopGroup(ctx context.Context, timeout time.Duration) error {
	obey, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	p.asked.Store(true)
	_ = signalGroup(p.cmd.Process, false) // what it does not reach, SIGKILL tries
	if p.awaitGroup(obey) {
		return nil
	}
	p.killed.Store(true)
	killErr := signalGroup(p.cmd.Process, true)
	die, cancel := context.WithTimeout(context.WithoutCancel(ctx), killTimeout)
	defer cancel()
	if !p.awaitGroup(die) {
		err := fmt.Errorf("process %d is still there %v after SIGKILL", p.PID(), killTimeout)
		if killErr != nil {
			err = fmt.Errorf("%w: %w", err, killErr)
		}
		return err
	}
	return nil
}

// groupLeft reports whether the process or anything in its group still runs.
func (p *Process) groupLeft() bool {
	select {
	case <-p.exited:
		return p.orphans && groupAlive(p.PID())
	default:
		return true
	}
}

// awaitGroup waits until nothing is left of the group; false when ctx ended first.
func (p *Process) awaitGroup(ctx context.Context) bool {
	select {
	case <-p.exited:
	case <-ctx.Done():
		return !p.groupLeft()
	}
	look := time.NewTicker(groupPause)
	defer look.Stop()
	for p.groupLeft() {
		select {
		case <-look.C:
		case <-ctx.Done():
			return !p.groupLeft()
		}
	}
	return true
}

// endOutput waits for the output to be complete and releases it.
func (p *Process) endOutput() {
	if err := p.read.SetReadDeadline(time.Now().Add(outputGrace)); err != nil {
		_ = p.read.Close() // no deadlines on this system: what is left is lost
	}
	<-p.copied
	_ = p.read.Close() // read to its end, or closed just now
}
