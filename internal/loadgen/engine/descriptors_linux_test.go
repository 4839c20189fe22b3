package engine

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// tableSize is how many descriptors the kernel has room for: proc(5), FDSize.
func tableSize(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "FDSize:"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(rest))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("no FDSize in /proc/self/status")
	return 0
}

// A run finds room for its descriptors before it begins, and leaves none open.
func TestRunGrowsTheTable(t *testing.T) {
	want := tableSize(t)*2 + 1
	if limit := fdLimit(); limit > 0 && want > limit {
		t.Fatalf("a table of %d cannot grow within the limit of %d", want/2, limit)
	}
	before := openFDs()
	w := Workload{Driver: &fakeDriver{}, Schedule: &every{gap: time.Second, end: time.Millisecond}, MaxInFlight: want}
	if _, err := planOf(0, time.Millisecond, 0, w).Run(t.Context(), "id"); err != nil {
		t.Fatal(err)
	}
	if got := tableSize(t); got < want {
		t.Errorf("room for %d, want %d", got, want)
	}
	if after := openFDs(); after > before {
		t.Errorf("%d descriptors open, %d before", after, before)
	}
	growDescriptors(1 << 30) // beyond any limit: no harm done
	if after := openFDs(); after > before {
		t.Errorf("%d descriptors open, %d before", after, before)
	}
}
