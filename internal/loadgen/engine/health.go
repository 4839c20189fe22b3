package engine

import (
	"math"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// A healthWatch measures the generator itself over the measured part of a run. Its
// methods may be called from any goroutine.
type healthWatch struct {
	clock Clock

	mu               sync.Mutex
	running, stopped bool
	began, ended     healthReading
	fdsPeak          int
}

// A healthReading is the process's own counters at one instant.
type healthReading struct {
	at     time.Duration
	cpu    time.Duration // this process
	cpus   cpuReading    // the machine
	pauses *metrics.Float64Histogram
	sched  *metrics.Float64Histogram
}

func newHealthWatch(c Clock) *healthWatch { return &healthWatch{clock: c} }

// start begins the measured part, unless it has ended.
func (h *healthWatch) start() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped {
		return
	}
	h.running = true
	h.began = h.read()
	h.fdsPeak = max(h.fdsPeak, openFDs())
}

// stop ends the measured part; later calls change nothing. It is called before the
// end is made known: that all users of a run come to life at once to leave is no
// sign of what the generator was like while it measured.
func (h *healthWatch) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped {
		return
	}
	h.stopped = true
	if h.running {
		h.fdsPeak = max(h.fdsPeak, openFDs())
		h.ended = h.read()
	}
}

func (h *healthWatch) sample() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fdsPeak = max(h.fdsPeak, openFDs())
}

func (h *healthWatch) read() healthReading {
	m := []metrics.Sample{{Name: "/sched/pauses/total/gc:seconds"}, {Name: "/sched/latencies:seconds"}}
	metrics.Read(m)
	r := healthReading{at: h.clock.Now(), cpu: cpuTime(), cpus: readCPU()}
	if m[0].Value.Kind() == metrics.KindFloat64Histogram {
		r.pauses = m[0].Value.Float64Histogram()
	}
	if m[1].Value.Kind() == metrics.KindFloat64Histogram {
		r.sched = m[1].Value.Float64Histogram()
	}
	return r
}

// report is what was measured between start and stop; zero where the run ended
// before its warm-up did.
func (h *healthWatch) report() result.Health {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.clock.Now()
	out := result.Health{
		CPUQuota:    cpuQuota(),
		FDsPeak:     h.fdsPeak,
		FDLimit:     fdLimit(),
		ClockStepNS: h.clock.FromUnix(time.Now().UnixNano()) - now,
	}
	if !h.running || !h.stopped {
		return out
	}
	out.GCPauseMaxNS = quantileBetween(h.began.pauses, h.ended.pauses, 1)
	out.SchedP99NS = quantileBetween(h.began.sched, h.ended.sched, .99)
	if span := h.ended.at - h.began.at; span > 0 {
		out.CPUCores = float64(h.ended.cpu-h.began.cpu) / float64(span)
		out.GCPauseShare = float64(sumBetween(h.began.pauses, h.ended.pauses)) / float64(span)
	}
	out.StealShare = h.ended.cpus.stealSince(h.began.cpus)
	out.RSSPeakBytes = peakRSS()
	return out
}

// quantileBetween is the quantile of what a runtime/metrics histogram of
// seconds gained from a to b, as the upper edge of its bucket.
func quantileBetween(a, b *metrics.Float64Histogram, q float64) time.Duration {
	if a == nil || b == nil || len(a.Counts) != len(b.Counts) {
		return 0
	}
	var total uint64
	for i := range b.Counts {
		total += b.Counts[i] - a.Counts[i]
	}
	if total == 0 {
		return 0
	}
	rank := uint64(math.Ceil(q * float64(total)))
	var seen uint64
	for i := range b.Counts {
		if seen += b.Counts[i] - a.Counts[i]; seen >= rank {
			edge := b.Buckets[i+1]
			if math.IsInf(edge, 1) {
				edge = b.Buckets[i]
			}
			return time.Duration(edge * float64(time.Second))
		}
	}
	return 0
}

// sumBetween is the sum of what a runtime/metrics histogram of seconds gained from
// a to b, at most: each value counts as the upper edge of its bucket.
func sumBetween(a, b *metrics.Float64Histogram) time.Duration {
	if a == nil || b == nil || len(a.Counts) != len(b.Counts) {
		return 0
	}
	var sum float64
	for i := range b.Counts {
		edge := b.Buckets[i+1]
		if math.IsInf(edge, 1) {
			edge = b.Buckets[i]
		}
		if n := b.Counts[i] - a.Counts[i]; n > 0 {
			sum += float64(n) * edge
		}
	}
	return time.Duration(sum * float64(time.Second))
}

// cpuTime is the CPU time this process has used, user and system.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// cpuQuota is how many cores this process may use: GOMAXPROCS, which the Go
// runtime sets from the cores there are and the control group's limit.
func cpuQuota() float64 { return float64(runtime.GOMAXPROCS(0)) }

func fdLimit() int {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil || l.Cur > math.MaxInt32 {
		return 0
	}
	return int(l.Cur)
}

// openFDs is how many descriptors this process has open; 0 where unknown. Linux
// 6.2 and later say it as the folder's size, at no cost.
func openFDs() int {
	if fi, err := os.Stat("/proc/self/fd"); err == nil && fi.Size() > 0 {
		return int(fi.Size())
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}

// peakRSS is the highest resident memory of this process in bytes; 0 where unknown.
func peakRSS() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			if err == nil {
				return kb << 10
			}
		}
	}
	return 0
}
