package target

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"
)

// method is where the figures come from.
const method = "proc"

// recheck is how many looks it takes until each process that was none of the tree
// has been looked at again: its number may be another's by then.
const recheck = 16

// A scanner finds the processes of a tree: the group of the process that was
// started, their descendants, whatever group or session these made themselves, and
// what carries the mark in its environment, because both its parents may have come
// and gone between two looks. Who was of the tree once stays of it.
//
// Processes that are none of it are remembered and not read again, so that a look
// costs little beside a thousand of them. A scanner belongs to one goroutine.
type scanner struct {
	root       int
	mark       []byte
	tick       time.Duration
	page       int64
	known      map[identity]bool // of the tree
	others     map[int]uint64    // start by number, of none of ours
	turn       int
	buf        []byte
	unreadable int // processes whose descriptors are not told, at the last look
}

// newScanner finds the tree of a process that leads its group.
func newScanner(root int, mark string) *scanner {
	return &scanner{
		root: root, mark: []byte(mark), tick: clockTick(), page: int64(os.Getpagesize()),
		known: make(map[identity]bool), others: make(map[int]uint64), buf: make([]byte, 4<<10),
	}
}

// A found is a process that may be of the tree.
type found struct {
	pid int
	stat
}

// scan looks at all members there are, ended ones that nobody has waited for
// included. With an error it knows of none.
func (s *scanner) scan() ([]proc, error) {
	pids, err := processes()
	if err != nil {
		return nil, err
	}
	var members, rest []found
	ours := make(map[int]bool)
	present := make(map[int]bool, len(pids))
	s.turn++
	slices.Sort(pids) // parents first, but where the numbers began anew
	for _, pid := range pids {
		present[pid] = true
		start, other := s.others[pid]
		if other && (pid+s.turn)%recheck != 0 {
			continue
		}
		st, err := readStat(pid, s.buf)
		if noProcess(err) || err == nil && other && start == st.start {
			continue // it has ended meanwhile, or is what it was
		}
		if err != nil {
			return nil, err
		}
		f := found{pid, st}
		if s.known[identity{pid, st.start}] || st.group == s.root {
			members = append(members, f)
			ours[pid] = true
		} else {
			rest = append(rest, f)
		}
	}
	for pid := range s.others {
		if !present[pid] {
			delete(s.others, pid)
		}
	}
	members = append(members, s.adopt(rest, ours)...)
	clear(s.known)
	s.unreadable = 0
	procs := make([]proc, 0, len(members))
	for _, f := range members {
		if f.parent > f.pid && ours[f.parent] {
			// Looked at before its parent: see tree.
			st, err := readStat(f.pid, s.buf)
			if noProcess(err) || err == nil && st.start != f.start {
				continue
			}
			if err != nil {
				return nil, err
			}
			f.stat = st
		}
		p := s.proc(f.pid, f.stat)
		if !p.ended && p.fds < 0 {
			s.unreadable++
		}
		s.known[p.id] = true
		procs = append(procs, p)
	}
	return procs, nil
}

// adopt returns those of rest that are of the tree and remembers the others.
// ours has the numbers of its members and gains those of the new ones.
func (s *scanner) adopt(rest []found, ours map[int]bool) (members []found) {
	take := func(which func(found) bool) (some bool) {
		rest = slices.DeleteFunc(rest, func(f found) bool {
			if !which(f) {
				return false
			}
			members = append(members, f)
			ours[f.pid], some = true, true
			return true
		})
		return some
	}
	descends := func(f found) bool { return ours[f.parent] }
	for take(descends) {
	}
	if take(s.marked) {
		for take(descends) {
		}
	}
	for _, f := range rest {
		s.others[f.pid] = f.start
	}
	return members
}

// marked reports whether a process was started with the mark in its environment.
func (s *scanner) marked(f found) bool {
	environ, err := os.ReadFile("/proc/" + strconv.Itoa(f.pid) + "/environ")
	if err != nil {
		return false // another user's, or ended
	}
	for v := range bytes.SplitSeq(environ, []byte{0}) {
		if bytes.Equal(v, s.mark) {
			return true
		}
	}
	return false
}

// processes lists the numbers of all processes.
func processes() ([]int, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	pids := make([]int, 0, len(names))
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
