package driver

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/rxtime"
	"github.com/edgeload/edgeload/internal/loadgen/stream"
)

// Every content chunk that shared a read with another has a bound: the read
// before, or the request where that went out later.
func TestStreamCoalescedBound(t *testing.T) {
	r := newReplay(stream.OpenAI)
	read := func(at, after time.Duration, kernel bool, wire string) {
		r.s.arrived(receipt{at: at, returned: at + 3*ms, after: after, kernel: kernel, read: r.reads + 1})
		r.read(at, wire)
	}
	read(1200*ms, 500*ms, true, role+content("a")+content("b")) // before the request: 100 ms
	read(1250*ms, 1200*ms, true, content("c"))
	read(1290*ms, 1250*ms, false, content("d")+content("e")+end) // 40 ms
	f := r.figures(t, true)
	f.counts(map[string]float64{"coalesced": 4, "unstamped": 1})
	f.samples(map[string]int64{"coalesced_bound": 4, "read_delay": 2})
	f.values("coalesced_bound", 40*ms, 100*ms)
	f.values("read_delay", 3*ms, 3*ms)
}

func TestMemberCoalescedBound(t *testing.T) {
	_, m := receiver(1)
	rec := engine.NewRecorder(wsMetrics(), time.Second)
	for _, r := range []receipt{
		{at: 900 * ms, after: 800 * ms, kernel: true, read: 1}, // warm-up
		{at: 900 * ms, after: 800 * ms, kernel: true, read: 1},
		{at: 1100 * ms, returned: 1105 * ms, after: 900 * ms, kernel: true, read: 2},
		{at: 1200 * ms, after: 1100 * ms, read: 3},
		{at: 1200 * ms, after: 1100 * ms, read: 3},
		{at: 1200 * ms, after: 1100 * ms, read: 3},
	} {
		m.arrived(rec, r)
	}
	m.endRead(rec)
	f := collect(t, rec)
	f.counts(map[string]float64{"coalesced": 3, "unstamped": 1})
	f.samples(map[string]int64{"coalesced_bound": 3, "read_delay": 1})
	f.values("coalesced_bound", 100*ms, 100*ms)
	f.values("read_delay", 5*ms, 5*ms)
}

// Every read of a run over HTTP/1.1, TLS and HTTP/2 has a kernel stamp where the
// system has them, and every request over HTTP/1.x its own.
func TestRunsAreMeasuredAtTheKernel(t *testing.T) {
	h := script(step{20 * ms, role}, step{20 * ms, content("a")}, step{20 * ms, content("b")}, step{20 * ms, end})
	overTLS := httptest.NewUnstartedServer(h)
	overTLS.StartTLS()
	t.Cleanup(overTLS.Close)
	for _, tt := range []struct {
		name, target string
		sent         int64
	}{
		{"HTTP/1.1", serve(t, h), 5},
		{"HTTP/1.1 over TLS", overTLS.URL, 5},
		{"HTTP/2", startTLS(t, h).URL, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := sseRun{target: tt.target, insecure: true, n: 5}.do(t)
			f.counts(map[string]float64{"streams": 5, "complete": 5})
			f.samples(map[string]int64{"send_lag": tt.sent})
			stamped, unstamped := f.metrics["read_delay"].Distribution, f.metrics["unstamped"].Value
			if rxtime.Source == "kernel" && (unstamped != 0 || stamped == nil || stamped.Count < 5*3) {
				t.Errorf("%v reads unstamped, delays %+v", unstamped, stamped)
			}
			if n := f.metrics["unstamped_sends"].Value; rxtime.Source == "kernel" && n != 0 {
				t.Errorf("%v requests unstamped", n)
			}
		})
	}
}

// The program being busy delays the read, not the stamp.
func TestBusyGeneratorDoesNotShow(t *testing.T) {
	if rxtime.Source != "kernel" {
		return // the return of the read is all there is
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const busy = 30 * ms
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprint(w, content("a"))
		_ = http.NewResponseController(w).Flush()
		pause(r.Context(), 50*ms)
		_, _ = fmt.Fprint(w, content("b")+end)
		_ = http.NewResponseController(w).Flush()
		for began := time.Now(); time.Since(began) < busy; { // keeps the only processor
		}
	}))
	t.Cleanup(server.Close)
	// Whether the reader gets the processor before the loop does is up to the
	// scheduler; it does not always.
	for range 50 {
		f := sseRun{target: server.URL}.do(t)
		f.counts(map[string]float64{"streams": 1, "complete": 1})
		delay, gap := f.metrics["read_delay"].Distribution, f.metrics["itl"].Distribution
		if delay == nil || gap == nil {
			t.Fatal("no read, or no gap")
		}
		if time.Duration(delay.Max) < 5*ms {
			continue
		}
		if got := time.Duration(gap.Max); got < 45*ms || got > 50*ms+busy/2 {
			t.Errorf("gap %v with a reader %v late, want about 50 ms", got, time.Duration(delay.Max))
		}
		return
	}
	t.Fatal("the reader was never late")
}
