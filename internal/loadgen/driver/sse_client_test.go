package driver

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// drip answers with a token every gap, as long as the client stays; left is told how
// many it sent to clients that went away.
func drip(gap time.Duration, tokens int, left func(sent int)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", eventStream)
		flush := http.NewResponseController(w).Flush
		_, _ = io.WriteString(w, anthropicHead)
		for n := range tokens {
			_, _ = io.WriteString(w, textDelta("a"))
			_ = flush()
			if !pause(r.Context(), gap) {
				left(n + 1)
				return
			}
		}
		_, _ = io.WriteString(w, anthropicTail)
	}
}

// Clients that leave are neither complete nor failed, and the server sees them go.
func TestClientsLeave(t *testing.T) {
	t.Parallel()
	const n = 40
	for name, leave := range map[string]*scenario.Leave{
		"chunks": {Chunks: pointer(scenario.Always(3)), Share: 0.5},
		"after":  {After: pointer(scenario.Every(60 * time.Millisecond)), Share: 0.5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var left, sent atomic.Int64
			target := serve(t, drip(15*time.Millisecond, 10, func(n int) { left.Add(1); sent.Add(int64(n)) }))
			f := sseRun{target: target, n: n, change: func(w *scenario.Workload) { w.Leave = leave }}.do(t)
			gone := f.metrics["left"].Value
			if gone < n/4 || gone > 3*n/4 {
				t.Errorf("%v of %d left, want about half", gone, n)
			}
			f.counts(map[string]float64{"streams": n, "complete": n - gone, "left": gone, "stayed": n - gone})
			if ratio := f.metrics["complete_ratio"]; ratio.Value != 1 || ratio.Den != int64(n-gone) {
				t.Errorf("complete ratio %+v", ratio)
			}
			chunks := f.metrics["left_chunks"].Value
			if name == "chunks" && chunks != 3*gone {
				t.Errorf("those who left had %v chunks, want 3 each", chunks)
			}
			if name == "after" && (chunks < gone || chunks > 6*gone) {
				t.Errorf("those who left had %v chunks, want about 4 each of %v", chunks, gone)
			}
			eventually(t, "the server has seen all of them go", func() bool { return left.Load() == int64(gone) })
			if float64(sent.Load()) < chunks {
				t.Errorf("%d tokens were sent, and %v received", sent.Load(), chunks)
			}
		})
	}
}

func pointer[T any](v T) *T { return &v }

// A slow reader takes its rate, the server is held up, and what the others see is not
// touched.
func TestSlowReaders(t *testing.T) {
	t.Parallel()
	const size, rate = 400 << 10, 200 << 10
	var longest atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", eventStream)
		begun := time.Now()
		_, _ = io.WriteString(w, anthropicHead)
		for range size >> 10 {
			_, _ = io.WriteString(w, textDelta(strings.Repeat("a", 1<<10)))
			_ = http.NewResponseController(w).Flush()
		}
		_, _ = io.WriteString(w, anthropicTail)
		longest.Store(max(longest.Load(), int64(time.Since(begun))))
	}))
	// A server's own buffer may hold megabytes, and it would be done at once.
	server.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetWriteBuffer(16 << 10)
		}
		return ctx
	}
	server.Start()
	t.Cleanup(server.Close)
	target := server.URL
	f := sseRun{target: target, change: func(w *scenario.Workload) { w.Slow = &scenario.SlowRead{Rate: rate, Share: 1} }}.do(t)
	f.counts(map[string]float64{"streams": 1, "complete": 1, "slow_streams": 1, "slow_chunks": size >> 10, "chunks": 0})
	f.samples(map[string]int64{"ttft": 0, "itl": 0, "e2e": 0, "slow_time": 1})
	f.between("slow_time", 1900*time.Millisecond, 2500*time.Millisecond+slack)
	if held := time.Duration(longest.Load()); held < time.Second/2 {
		t.Errorf("the server was done after %v: nothing held it up", held)
	}

	f = sseRun{target: target, n: 20, change: func(w *scenario.Workload) { w.Slow = &scenario.SlowRead{Rate: 4 << 20, Share: 0.5} }}.do(t)
	slow := f.metrics["slow_streams"].Value
	if slow < 4 || slow > 16 {
		t.Errorf("%v of 20 are slow, want about half", slow)
	}
	f.counts(map[string]float64{"streams": 20, "complete": 20, "slow_streams": slow, "slow_chunks": slow * (size >> 10), "chunks": (20 - slow) * (size >> 10)})
	f.samples(map[string]int64{"ttft": int64(20 - slow), "slow_time": int64(slow)})
}

// breaking answers with numbered events and breaks off after each part; ids are those
// that clients came back with. resent is how many events before the id asked for come
// once more, skipped how many behind it do not.
type breaking struct {
	parts           []int // events of each answer
	resent, skipped int
	noIDs           bool
	refuse          int // the status of every answer after the first; 0: none

	mu  sync.Mutex
	ids []string
}

func (b *breaking) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	b.mu.Lock()
	b.ids = append(b.ids, r.Header.Get("Last-Event-ID"))
	turn := len(b.ids) - 1
	b.mu.Unlock()
	if turn > 0 && b.refuse > 0 {
		w.WriteHeader(b.refuse)
		return
	}
	var last int
	_, _ = fmt.Sscan(r.Header.Get("Last-Event-ID"), &last)
	first := last + 1
	if turn > 0 {
		first += b.skipped - b.resent
	}
	w.Header().Set("Content-Type", eventStream)
	_, _ = io.WriteString(w, "retry: 20\n\n")
	for n := first; n < first+b.parts[min(turn, len(b.parts)-1)]; n++ {
		if !b.noIDs {
			_, _ = fmt.Fprintf(w, "id: %d\n", n)
		}
		_, _ = io.WriteString(w, textDelta("a"))
	}
	_ = http.NewResponseController(w).Flush()
	if turn < len(b.parts)-1 {
		panic(http.ErrAbortHandler)
	}
	_, _ = io.WriteString(w, anthropicTail)
}

// A stream that breaks off is taken up where it was, and what comes twice or not at
// all is counted.
func TestResume(t *testing.T) {
	t.Parallel()
	resume := func(w *scenario.Workload) {
		w.Resume = &scenario.Resume{Attempts: 3, Wait: scenario.Duration(5 * time.Second)}
	}
	for name, c := range map[string]struct {
		server  *breaking
		ids     []string
		want    map[string]float64
		gaps    int64
		failure string
	}{
		"whole": {
			server: &breaking{parts: []int{3, 2, 4}}, ids: []string{"", "3", "5"}, gaps: 2,
			want: map[string]float64{"streams": 1, "complete": 1, "chunks": 9, "resumes": 2, "repeated": 0, "skipped": 0},
		},
		"resent": {
			server: &breaking{parts: []int{3, 4}, resent: 2}, ids: []string{"", "3"}, gaps: 1,
			want: map[string]float64{"streams": 1, "complete": 1, "chunks": 5, "resumes": 1, "repeated": 2},
		},
		"skipped": {
			server: &breaking{parts: []int{3, 2}, skipped: 4}, ids: []string{"", "3"}, gaps: 1,
			want: map[string]float64{"streams": 1, "complete": 1, "chunks": 5, "resumes": 1, "skipped": 4},
		},
		"without ids": {
			server: &breaking{parts: []int{3, 3}, noIDs: true}, ids: []string{"", ""}, gaps: 1,
			want: map[string]float64{"streams": 1, "complete": 1, "chunks": 6, "resumes": 1},
		},
		"attempts": {
			server: &breaking{parts: []int{1, 1, 1, 1, 1, 1}}, ids: []string{"", "1", "2", "3"}, gaps: 3,
			want:    map[string]float64{"streams": 1, "truncated": 1, "failed": 1, "chunks": 4, "resumes": 3},
			failure: classTruncated,
		},
		"no more": {
			server: &breaking{parts: []int{2}, refuse: http.StatusNoContent}, ids: []string{"", "2"},
			want:    map[string]float64{"streams": 1, "truncated": 1, "failed": 1, "chunks": 2, "resumes": 1},
			failure: classTruncated,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.server.refuse > 0 {
				c.server.parts = append(c.server.parts, 1)
			}
			f := sseRun{target: serve(t, c.server), change: resume}.do(t)
			f.counts(c.want)
			f.samples(map[string]int64{"ttft": 1, "resume_gap": c.gaps, "itl": int64(c.want["chunks"]) - 1 - c.gaps})
			if c.gaps > 0 {
				f.between("resume_gap", 20*time.Millisecond, slack) // the stream's own retry
			}
			if got := fmt.Sprint(c.server.ids); got != fmt.Sprint(c.ids) {
				t.Errorf("came with the ids %q, want %q", c.server.ids, c.ids)
			}
			if c.failure != "" {
				f.failed(c.failure)
			}
		})
	}
}

// Heartbeats keep a stream alive; without them it is given up.
func TestIdleTimeout(t *testing.T) {
	t.Parallel()
	idle := func(w *scenario.Workload) { w.IdleTimeout = scenario.Duration(250 * time.Millisecond) }
	beat := step{100 * time.Millisecond, ": keep-alive\n\n"}
	f := sseRun{
		target: serve(t, script(step{0, anthropicHead + textDelta("a")}, beat, beat, beat, beat, step{100 * time.Millisecond, textDelta("b") + anthropicTail})),
		change: idle,
	}.do(t)
	f.counts(map[string]float64{"streams": 1, "complete": 1, "chunks": 2, "heartbeats": 5}) // and the ping of the head
	f.between("silence", 100*time.Millisecond, 250*time.Millisecond)

	f = sseRun{target: serve(t, script(step{0, anthropicHead + textDelta("a")}, step{3 * time.Second, anthropicTail})), change: idle}.do(t)
	f.counts(map[string]float64{"streams": 1, "timeout": 1, "failed": 1, "chunks": 1, "heartbeats": 1})
	f.failed(classIdle, "250ms", "after 1 content chunks")
}

// The clients of an arrival are the same for the same seed, whatever the order.
func TestClientsAreDrawnBySeed(t *testing.T) {
	of := opening{
		scenario: &scenario.Scenario{Seed: 7}, name: "chat",
		workload: &scenario.Workload{Slow: &scenario.SlowRead{Rate: 1, Share: 0.25}, Leave: &scenario.Leave{Chunks: pointer(scenario.Always(2)), Share: 0.5}},
	}
	a, b := newClients(of), newClients(of)
	of.scenario = &scenario.Scenario{Seed: 8}
	other := newClients(of)
	var slow, left, differs int
	const n = 4000
	for seq := range uint64(n) {
		c := a.draw(engine.Arrival{Seq: seq})
		if again := b.draw(engine.Arrival{Seq: seq}); c != again {
			t.Fatalf("arrival %d is %+v and %+v", seq, c, again)
		}
		if c != other.draw(engine.Arrival{Seq: seq}) {
			differs++
		}
		slow += int(count(c.slow))
		left += int(count(c.chunks == 2))
	}
	if slow < n/4-150 || slow > n/4+150 || left < n/2-150 || left > n/2+150 || differs < n/4 {
		t.Errorf("%d slow, %d left, %d differ by seed of %d", slow, left, differs, n)
	}
}
