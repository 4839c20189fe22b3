package sink

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkCalls reports the CPU time that a call costs the sink, its callers being
// another process, and how many a second it answers with what processors it has.
func BenchmarkCalls(b *testing.B) {
	for _, conns := range []int{16, 5000} {
		b.Run(fmt.Sprintf("conns=%d", conns), func(b *testing.B) {
			s := opened(b, Options{}, handlerFunc(func(*Call) Answer { return Answer{} }))
			client := exec.Command(os.Args[0])
			client.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %d", clientOf, strings.TrimPrefix(s.URL(), "http://"), conns, b.N))
			client.Stdout = os.Stderr
			runtime.GC()
			before, begin := cpuTime(b), time.Now()
			if err := client.Run(); err != nil {
				b.Fatal(err)
			}
			took := time.Since(begin)
			b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/1e3/float64(b.N), "cpu-µs/call")
			b.ReportMetric(float64(b.N)/took.Seconds(), "calls/s")
			b.ReportMetric(0, "ns/op")
			if a := s.Take(); a.Calls["jobs"] != int64(b.N) || a.Connections != int64(conns) || a.Refused != 0 || a.Broken != 0 {
				b.Errorf("account %+v of %d calls", a, b.N)
			}
		})
	}
}

// cpuTime is what this process has used so far.
func cpuTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
