package store

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// process is the test binary as one that writes.
type process struct {
	cmd   *exec.Cmd
	stdin io.Closer
	acked chan []string // the ids of acknowledged jobs, when it has ended
	began chan struct{} // closed when there is one
	log   *strings.Builder
}

func startProcess(t *testing.T, dsn string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(self), acked: make(chan []string, 1), began: make(chan struct{}), log: new(strings.Builder)}
	p.cmd.Env = append(os.Environ(), writerEnv+"="+dsn)
	p.cmd.Stderr = p.log
	stdin, ierr := p.cmd.StdinPipe()
	stdout, oerr := p.cmd.StdoutPipe()
	if err := errors.Join(ierr, oerr, p.cmd.Start()); err != nil {
		t.Fatal(err)
	}
	p.stdin = stdin
	go func() {
		var ids []string
		for lines := bufio.NewReader(stdout); ; {
			line, err := lines.ReadString('\n')
			if err != nil {
				break // a line that was cut is not acknowledged
			}
			if ids = append(ids, strings.TrimSpace(line)); len(ids) == 1 {
				close(p.began)
			}
		}
		p.acked <- ids
	}()
	return p
}

// await waits for the first acknowledged job and for a while after.
func (p *process) await(t *testing.T, while time.Duration) {
	t.Helper()
	select {
	case <-p.began:
	case <-time.After(30 * time.Second):
		t.Fatalf("it writes nothing\n%s", p.log)
	}
	if err := pause(t.Context(), while); err != nil {
		t.Fatal(err)
	}
}

// Whenever it is killed, a process leaves a database that opens, with no counter
// written by half and everything that it has acknowledged.
func testKilledWriter(t *testing.T, db database) {
	if !db.keep {
		return // it dies with its process
	}
	dsn := db.dsn(t)
	acked := 0
	for kill := range 6 {
		p := startProcess(t, dsn)
		p.await(t, time.Duration(kill)*17*time.Millisecond)
		if err := p.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		ids := <-p.acked
		_ = p.cmd.Wait() // it was killed, which is an error
		acked += len(ids)
		s := open(t, dsn)
		wantJobs(t, s, ids)
		wantClean(t, s)
	}
	t.Logf("%d jobs acknowledged in 6 lives", acked)
}

// Several processes write to one file at once.
func TestProcessesOnOneFile(t *testing.T) {
	dsn := newFile(t)
	processes := make([]*process, 3)
	for i := range processes {
		processes[i] = startProcess(t, dsn) // on a file that is not there yet
	}
	for _, p := range processes {
		p.await(t, 300*time.Millisecond)
	}
	s := open(t, dsn)
	var all int64
	for _, p := range processes {
		if err := p.stdin.Close(); err != nil {
			t.Error(err)
		}
		ids := <-p.acked
		if err := p.cmd.Wait(); err != nil {
			t.Errorf("%v\n%s", err, p.log)
		}
		wantJobs(t, s, ids)
		all += int64(len(ids))
	}
	if done, err := jobsDone(t.Context(), s); done != all || err != nil {
		t.Errorf("%d jobs, %d acknowledged, %v", done, all, err)
	}
	wantClean(t, s)
	t.Logf("%d jobs of 3 processes", all)
}

func wantJobs(t *testing.T, s *Store, ids []string) {
	t.Helper()
	if len(ids) == 0 {
		t.Error("nothing was acknowledged")
	}
	for _, id := range ids {
		if has, err := s.HasJob(context.Background(), id); !has || err != nil {
			t.Fatalf("job %s was acknowledged and is lost, %v", id, err)
		}
	}
}
