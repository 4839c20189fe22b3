package engine

import (
	"os"
	"strconv"
	"strings"
)

// A cpuReading is what /proc/stat says of the CPUs this process may use, in
// ticks since boot: proc(5). Zero where there is no such file.
type cpuReading struct {
	total  uint64 // of all kinds, idle included
	stolen uint64 // wanted, and given to others by the hypervisor
}

func readCPU() cpuReading {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return cpuReading{}
	}
	status, _ := os.ReadFile("/proc/self/status") // without, all CPUs count
	return parseCPU(string(stat), allowedCPUs(string(status)))
}

// stealSince is the share of their time that the CPUs lost to the hypervisor's
// other guests from a to r.
func (r cpuReading) stealSince(a cpuReading) float64 {
	if r.total <= a.total || r.stolen < a.stolen {
		return 0
	}
	return float64(r.stolen-a.stolen) / float64(r.total-a.total)
}

// parseCPU adds up the lines "cpuN user nice system idle iowait irq softirq
// steal guest guest_nice" of the CPUs that allowed has. Guests' time is in user
// and nice already.
func parseCPU(stat string, allowed func(cpu int) bool) cpuReading {
	const kinds, steal = 8, 7
	var r cpuReading
	for line := range strings.Lines(stat) {
		name, rest, _ := strings.Cut(line, " ")
		digits, ok := strings.CutPrefix(name, "cpu")
		n, err := strconv.Atoi(digits)
		fields := strings.Fields(rest)
		if !ok || err != nil || !allowed(n) || len(fields) < kinds {
			continue
		}
		for i, field := range fields[:kinds] {
			ticks, err := strconv.ParseUint(field, 10, 48)
			if err != nil {
				break
			}
			r.total += ticks
			if i == steal {
				r.stolen += ticks
			}
		}
	}
	return r
}

// allowedCPUs reads the line "Cpus_allowed_list: 0-1,4" of /proc/self/status;
// without one every CPU is allowed.
func allowedCPUs(status string) func(cpu int) bool {
	for line := range strings.Lines(status) {
		list, ok := strings.CutPrefix(line, "Cpus_allowed_list:")
		if !ok {
			continue
		}
		return func(cpu int) bool {
			for part := range strings.SplitSeq(strings.TrimSpace(list), ",") {
				from, to, isRange := strings.Cut(part, "-")
				if !isRange {
					to = from
				}
				first, err1 := strconv.Atoi(from)
				last, err2 := strconv.Atoi(to)
				if err1 == nil && err2 == nil && first <= cpu && cpu <= last {
					return true
				}
			}
			return false
		}
	}
	return func(int) bool { return true }
}
