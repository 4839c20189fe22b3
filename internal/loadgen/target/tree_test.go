package target

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A simKernel keeps the books of CPU time as the kernel does.
type simKernel struct {
	next  int
	procs map[int]*simProc
	truth time.Duration // used by all, ever
	lost  time.Duration // used by those that nobody of the tree waited for
}

type simProc struct {
	pid, parent  int
	self, waited time.Duration
	ignores      bool // SIGCHLD: the kernel hands over nothing
}

func newSimKernel() *simKernel {
	k := &simKernel{procs: make(map[int]*simProc)}
	k.fork(0)
	return k
}

func (k *simKernel) fork(parent int) int {
	k.next++
	k.procs[k.next] = &simProc{pid: k.next, parent: parent}
	return k.next
}

func (k *simKernel) burn(pid int, d time.Duration) {
	k.procs[pid].self += d
	k.truth += d
}

// exit ends a process and has its parent wait for it at once. Its children become
// orphans.
func (k *simKernel) exit(pid int) {
	p := k.procs[pid]
	delete(k.procs, pid)
	for _, c := range k.procs {
		if c.parent == pid {
			c.parent = 0
		}
	}
	if parent := k.procs[p.parent]; parent != nil && !parent.ignores {
		parent.waited += p.self + p.waited
		return
	}
	k.lost += p.self + p.waited
}

// exitTree ends a process after all of its descendants.
func (k *simKernel) exitTree(pid int) {
	for _, c := range k.all() {
		if p := k.procs[c]; p != nil && p.parent == pid {
			k.exitTree(c)
		}
	}
	k.exit(pid)
}

func (k *simKernel) all() []int {
	var pids []int
	for pid := 1; pid <= k.next; pid++ {
		if k.procs[pid] != nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// look reads one process after the other, parents first; between is called before
// each.
func (k *simKernel) look(between func()) []proc {
	var seen []proc
	for _, pid := range k.all() {
		between()
		if p := k.procs[pid]; p != nil {
			seen = append(seen, proc{id: identity{pid: pid}, parent: p.parent, self: p.self, waited: p.waited})
		}
	}
	return seen
}

func (k *simKernel) still() []proc { return k.look(func() {}) }

// step does something at random; orderly lets only what leaves no orphans.
func (k *simKernel) step(t *rapid.T, orderly bool) {
	pid := rapid.SampledFrom(k.all()).Draw(t, "pid")
	most := 7
	if orderly {
		most = 5
	}
	switch rapid.IntRange(0, most).Draw(t, "what") {
	case 0, 1:
		k.burn(pid, time.Duration(rapid.IntRange(1, 100).Draw(t, "ms"))*time.Millisecond)
	case 2:
		k.fork(pid)
	case 3: // comes and goes at once
		c := k.fork(pid)
		k.burn(c, 50*time.Millisecond)
		k.exitTree(c)
	case 4, 5:
		if pid != 1 {
			k.exitTree(pid)
		}
	case 6:
		if pid != 1 {
			k.exit(pid)
		}
	case 7:
		k.procs[pid].ignores = true
	}
}

// Where every process is waited for, each look knows all CPU time there was.
func TestTreeLosesNothingThatIsWaitedFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k, tr := newSimKernel(), newTree(0)
		for range rapid.IntRange(1, 20).Draw(t, "looks") {
			for range rapid.IntRange(0, 20).Draw(t, "steps") {
				k.step(t, true)
			}
			if got := tr.account(k.still()); got != k.truth {
				t.Fatalf("%v, want %v", got, k.truth)
			}
		}
		if tr.unheard != 0 {
			t.Errorf("%d taken for lost", tr.unheard)
		}
	})
}

// What is lost is at most what those used that nobody waited for, and nothing is
// counted twice, also when processes end in the middle of a look.
func TestTreeCountsNothingTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k, tr := newSimKernel(), newTree(0)
		for range rapid.IntRange(1, 20).Draw(t, "looks") {
			for range rapid.IntRange(0, 10).Draw(t, "steps") {
				k.step(t, false)
			}
			got := tr.account(k.look(func() {
				if rapid.IntRange(0, 9).Draw(t, "meanwhile") == 0 {
					k.step(t, false)
				}
			}))
			if got > k.truth {
				t.Fatalf("%v of %v", got, k.truth)
			}
		}
		var got time.Duration
		for range 2 {
			got = tr.account(k.still())
		}
		if got > k.truth || got < k.truth-2*k.lost {
			t.Fatalf("%v of %v, of which %v was lost", got, k.truth, k.lost)
		}
	})
}

// A parent that ignores SIGCHLD is handed nothing: what its children told of
// themselves stays counted, and what it is handed later counts too.
func TestTreeKeepsWhatNobodyWaitsFor(t *testing.T) {
	k, tr := newSimKernel(), newTree(0)
	k.procs[1].ignores = true
	for range 5 {
		c := k.fork(1)
		k.burn(c, time.Second)
		tr.account(k.still())
		k.burn(c, time.Millisecond) // after the last look at it: lost
		k.exit(c)
		tr.account(k.still())
	}
	if tr.total != 5*time.Second {
		t.Errorf("%v, want 5s", tr.total)
	}
	if got := tr.account(k.still()); got != 5*time.Second {
		t.Errorf("a look later %v, want 5s", got)
	}
	if tr.unheard == 0 {
		t.Error("nothing is said to be lost")
	}
	k.procs[1].ignores = false
	c := k.fork(1)
	k.burn(c, time.Second)
	k.exit(c)
	if got := tr.account(k.still()); got != 6*time.Second {
		t.Errorf("%v, want 6s", got)
	}
}
