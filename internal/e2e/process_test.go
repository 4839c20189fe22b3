package e2e_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Sizes that Linux keeps of a process, see proc_pid_status(5).
const (
	resident = "VmRSS:"
	peakRSS  = "VmHWM:"
)

// memory is one of the sizes that Linux keeps of a process, in bytes.
func memory(t testing.TB, p *os.Process, field string) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), field)
	kib, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, err := strconv.ParseInt(kib, 10, 64)
	if err != nil {
		t.Fatalf("%s of %d: %v", field, p.Pid, err)
	}
	return n << 10
}

// cpuTime is what a process has used, user and system.
func cpuTime(t testing.TB, p *os.Process) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ") // the name may hold spaces
	fields := strings.Fields(rest)
	var ticks int
	for _, field := range fields[11:13] { // utime, stime
		n, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / 100) // USER_HZ
}

// descriptors is how many a process has open.
func descriptors(t testing.TB, p *os.Process) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
