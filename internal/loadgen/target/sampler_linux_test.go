package target

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// says waits until the process has written text.
func says(t *testing.T, p *Process, text string) {
	t.Helper()
	eventually(t, text, func() bool { return strings.Contains(p.Output(), text) })
}

// look takes a sample of a helper's tree.
func look(t *testing.T, s *Sampler) result.ResourceSample {
	t.Helper()
	procs, err := s.scan.scan()
	if err != nil {
		t.Fatal(err)
	}
	return sampleOf(procs, s.tree.account(procs))
}

// rusage is what the kernel says of a process that has ended and of the children
// it had waited for, by wait4.
func rusage(t *testing.T, p *Process) time.Duration {
	t.Helper()
	stop(t, p)
	return p.state.UserTime() + p.state.SystemTime()
}

// near fails unless got lies within want − below … want + above.
func near(t *testing.T, what string, got, want, below, above time.Duration) {
	t.Helper()
	if got < want-below || got > want+above {
		t.Errorf("%s %v, want %v −%v +%v", what, got, want, below, above)
	}
}

// A process that uses 300 ms is said to have used 300 ms, which is finer than a
// clock tick of 10 ms can tell, and to have used what wait4 says in the end.
func TestCPUOfOneProcess(t *testing.T) {
	p := start(t, Options{Command: self(t, "burn", "300ms")})
	s := NewSampler(p)
	says(t, p, "burnt")
	got := look(t, s)
	near(t, "used", got.CPUNS, 300*time.Millisecond, 0, 30*time.Millisecond) // to write a line, and to start
	if got.CPUErrorNS != 0 {
		t.Errorf("may be short by %v; the process has a clock of its own", got.CPUErrorNS)
	}
	near(t, "used by the look before the end", got.CPUNS, rusage(t, p), 30*time.Millisecond, time.Millisecond)
}

// Ten children of 40 ms each come and go. Not one of them is seen at the end, some
// are in between, and none counts twice.
func TestCPUOfChildrenThatComeAndGo(t *testing.T) {
	for name, every := range map[string]time.Duration{"between two looks": time.Hour, "looked at all the time": 5 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			p := start(t, Options{Command: self(t, "forks", "10", "40ms")})
			s := NewSampler(p)
			looks := time.NewTicker(every)
			defer looks.Stop()
			most := 0
			for end := time.Now().Add(10 * time.Second); !strings.Contains(p.Output(), "burnt") && time.Now().Before(end); {
				select {
				case <-looks.C:
					most = max(most, look(t, s).Processes)
				case <-time.After(10 * time.Millisecond):
				}
			}
			got := look(t, s)
			if every < time.Second && most < 2 {
				t.Errorf("no child was seen")
			}
			if got.Processes != 1 || s.tree.unheard != 0 {
				t.Errorf("%d processes, want 1; %d taken for lost", got.Processes, s.tree.unheard)
			}
			want := rusage(t, p)
			if want < 400*time.Millisecond {
				t.Fatalf("the helper used %v only", want)
			}
			// Children are told to the tick: their user and their system time may each
			// be short by one.
			near(t, "used", got.CPUNS, want, 2*s.scan.tick+20*time.Millisecond, 2*s.scan.tick)
			if t.Failed() {
				t.Logf("gone %v", s.tree.gone)
				for _, m := range s.tree.members {
					t.Logf("%+v", m)
				}
			}
		})
	}
}

// Memory, descriptors and threads are what the helper holds more than one that
// holds nothing.
func TestWhatIsHeld(t *testing.T) {
	held := func(mib, fds, threads int) result.ResourceSample {
		p := start(t, Options{Command: self(t, "hold", fmt.Sprint(mib), fmt.Sprint(fds), fmt.Sprint(threads))})
		says(t, p, "holding")
		got := look(t, NewSampler(p))
		stop(t, p)
		return got
	}
	nothing, all := held(0, 0, 0), held(64, 50, 12)
	if n := all.FDs - nothing.FDs; n != 50 && n != 53 { // the first file opened brings the poller's three
		t.Errorf("%d descriptors more, want 50 and the poller's", n)
	}
	if n := all.Threads - nothing.Threads; n < 10 || n > 16 { // the runtime's own come and go
		t.Errorf("%d threads more, want 12 ± 2, and the runtime's", n)
	}
	// The kernel's sum may be off by 64 pages and more for each processor.
	if mib := float64(all.RSSBytes-nothing.RSSBytes) / (1 << 20); mib < 62 || mib > 72 {
		t.Errorf("%.1f MiB more, want 64", mib)
	}
}

// One that made itself a session, and whose parent was gone before anyone looked,
// is found all the same, and stays of the tree.
func TestDaemonIsOfTheTree(t *testing.T) {
	p := start(t, Options{Command: self(t, "daemon", "200ms")})
	says(t, p, "daemon ")
	var pid int
	if _, err := fmt.Sscanf(p.Output(), "daemon %d\n", &pid); err != nil {
		t.Fatal(err)
	}
	ended := false
	end := func() { // it is the helper this test started
		if !ended {
			ended = true
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	defer end()
	s := NewSampler(p)
	got := look(t, s)
	if got.Processes != 2 {
		t.Errorf("%d processes, want 2", got.Processes)
	}
	near(t, "used", got.CPUNS, 200*time.Millisecond, 0, 150*time.Millisecond) // three programs started
	end()
	eventually(t, "the daemon is gone", func() bool { return look(t, s).Processes == 1 })
	if after := look(t, s); after.CPUNS < got.CPUNS {
		t.Errorf("%v used, %v before the daemon ended", after.CPUNS, got.CPUNS)
	}
}

// A run of 1.5 s beside a helper that does nothing.
func TestDuringARun(t *testing.T) {
	p := start(t, Options{Shell: "API_TOKEN=hunter2 " + strings.Join(self(t, "hold", "1", "1", "1"), " ")})
	says(t, p, "holding")
	s := NewSampler(p)
	sc := &scenario.Scenario{Warmup: scenario.Duration(500 * time.Millisecond), Duration: scenario.Duration(time.Second)}
	for earlier := range 2 {
		res, err := s.During(t.Context(), sc, func(ctx context.Context, began func(time.Time)) (*result.Result, error) {
			began(time.Now())
			select {
			case <-time.After(1600 * time.Millisecond):
			case <-ctx.Done():
			}
			return &result.Result{ElapsedNS: 1600 * time.Millisecond}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		r := res.Resources
		if r == nil || r.Idle == nil || r.Measured == nil || r.After == nil || r.Ended != nil || len(r.Unknown) > 1 { // there are no connections

			t.Fatalf("resources %+v", r)
		}
		if r.EarlierRuns != earlier || !strings.HasPrefix(r.Command, "API_TOKEN=(left out) ") {
			t.Errorf("%d earlier runs of %s", r.EarlierRuns, r.Command)
		}
		if d := r.Idle.ToNS - r.Idle.FromNS; d < idleTime*9/10 || d > 2*idleTime {
			t.Errorf("idle for %v", d)
		}
		m := r.Measured
		if m.FromNS != 500*time.Millisecond || m.ToNS != 1500*time.Millisecond || m.Samples < 3 || m.Cores > .2 || m.ProcessesPeak != 1 {
			t.Errorf("measured %+v", m)
		}
		if n := len(r.Series); n < 4 || n > 6 || r.Series[0].AtNS > -idleTime*9/10 || r.Series[n-1].AtNS < 1600*time.Millisecond {
			t.Errorf("series %+v", r.Series)
		}
	}
}

// The end of the server ends the run, a second later, in order.
func TestServerEndsInARun(t *testing.T) {
	p := start(t, Options{Shell: "sleep 2; echo out of memory; exit 3"})
	s := NewSampler(p)
	begin := time.Now()
	res, err := s.During(t.Context(), &scenario.Scenario{Duration: scenario.Duration(time.Hour)}, func(ctx context.Context, began func(time.Time)) (*result.Result, error) {
		began(time.Now())
		<-ctx.Done()
		return &result.Result{Interrupted: true, ElapsedNS: time.Since(begin)}, nil
	})
	died := new(EndedError)
	if !errors.As(err, &died) || died.Status != "exit status 3" || died.Output != "out of memory\n" {
		t.Fatalf("error %v", err)
	}
	near(t, "ended", died.At, time.Second, 300*time.Millisecond, time.Second)
	near(t, "run over", time.Since(begin), 3*time.Second, 300*time.Millisecond, 2*time.Second)
	if r := res.Resources; r == nil || r.Ended == nil || r.Ended.Status != "exit status 3" || len(r.Series) == 0 || len(r.PerOperation) > 0 {
		t.Errorf("resources %+v", r)
	}
	if len(res.Warnings) != 1 || !strings.Contains(res.Warnings[0], "out of memory") {
		t.Errorf("warnings %q", res.Warnings)
	}
	// The next run is not begun.
	res, err = s.During(t.Context(), &scenario.Scenario{}, func(context.Context, func(time.Time)) (*result.Result, error) {
		t.Error("begun")
		return nil, nil
	})
	if res != nil || err == nil || !strings.Contains(err.Error(), "ended before the run: exit status 3") {
		t.Errorf("%v, %v", res, err)
	}
	if s.Alive() {
		t.Error("alive")
	}
}
