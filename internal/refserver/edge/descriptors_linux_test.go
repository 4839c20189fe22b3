package edge

import (
	"context"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A server has room for its connections before the first one comes, and leaves
// nothing open.
func TestServeGrowsTheDescriptorTable(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	before := openDescriptors(t)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := (&Life{Handler: http.NotFoundHandler()}).Serve(ctx, ln); err != nil {
		t.Fatal(err)
	}
	if after := openDescriptors(t); after > before {
		t.Errorf("%d descriptors open, %d before", after, before)
	}
	if got, want := tableSize(t), int(min(limit.Cur, mostDescriptors)); got < want {
		t.Errorf("room for %d descriptors, want %d", got, want)
	}
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// tableSize is how many descriptors the kernel has room for: proc(5), FDSize.
func tableSize(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "FDSize:")
	size, _, _ := strings.Cut(strings.TrimSpace(rest), "\n")
	n, err := strconv.Atoi(strings.TrimSpace(size))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
