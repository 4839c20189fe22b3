package live

import (
	"bytes"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// at is the state of a run of 5 s warm-up and 30 s at a second.
func at(second int) engine.Snapshot {
	return engine.Snapshot{
		Elapsed: time.Duration(second) * time.Second, Total: 35 * time.Second, Warmup: second < 5,
		Workloads: []engine.WorkloadSnapshot{
			{Name: "chat", InFlight: 61, Finished: int64(50 * second), Failed: int64(second / 20), Rate: 50.04, Headline: "ttft", HeadlineNS: 612_340 * time.Microsecond, Samples: 50},
			{Name: "rooms", InFlight: 1200, Rate: 10_000, Headline: "fanout"},
		},
	}
}

func TestPlain(t *testing.T) {
	var b bytes.Buffer
	l := &lines{w: &b}
	for s := 1; s <= 37; s++ {
		l.frame(at(s))
	}
	l.close()
	l.close()
	got := strings.Split(strings.TrimSpace(b.String()), "\n")
	want := map[int]string{
		0:  "1s of 35s (warm-up)  chat: 61 in flight · 50/s · ttft p95 612 ms",
		1:  "1s of 35s (warm-up)  rooms: 1,200 in flight · 10,000/s · fanout p95 –",
		2:  "6s of 35s  chat: 61 in flight · 50/s · ttft p95 612 ms",
		10: "26s of 35s  chat: 61 in flight · 50/s · ttft p95 612 ms · 1 failed",
		16: "37s of 35s (drain)  chat: 61 in flight · 50/s · ttft p95 612 ms · 1 failed",
	}
	if len(got) != 18 {
		t.Fatalf("%d lines, want 18:\n%s", len(got), b.String())
	}
	for i, line := range want {
		if got[i] != line {
			t.Errorf("line %d is %q, want %q", i, got[i], line)
		}
	}
}

func TestPlainShowsTheLastSnapshot(t *testing.T) {
	var b bytes.Buffer
	c := New(&b, Options{})
	c.Observe(at(1))
	c.Observe(at(3))
	c.Close()
	if !strings.Contains(b.String(), "3s of 35s (warm-up)  chat") {
		t.Errorf("the last state is missing:\n%s", b.String())
	}
	if strings.Contains(b.String(), "\x1b") {
		t.Errorf("plain lines hold escapes: %q", b.String())
	}
}

func TestQuiet(t *testing.T) {
	var b bytes.Buffer
	c := New(&b, Options{Quiet: true, Terminal: true})
	c.Observe(at(1))
	c.Close()
	if b.Len() != 0 {
		t.Errorf("wrote %q", b.String())
	}
}

func TestTerminal(t *testing.T) {
	for name, color := range map[string]bool{"color": true, "no color": false} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			c := New(&b, Options{Terminal: true, Color: color, Width: 120})
			c.Observe(at(3))
			waitFor(t, func() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.pending == nil })
			c.Observe(at(36))
			c.Close()
			text := b.String()
			frames := strings.Split(text, "\x1b[2A\x1b[J")
			if len(frames) < 2 {
				t.Fatalf("drawn in %d frames: %q", len(frames), text)
			}
			last := frames[len(frames)-1]
			for _, want := range []string{"chat", "36s of 35s (drain)", "61 in flight · 50/s · ttft p95 612 ms", "1 failed", "rooms", "1,200 in flight"} {
				if !strings.Contains(last, want) {
					t.Errorf("no %q in the last frame: %q", want, last)
				}
			}
			if n := strings.Count(last, "\n"); n != 2 {
				t.Errorf("%d lines, want one for each workload: %q", n, last)
			}
			if colored := regexp.MustCompile(`\x1b\[[0-9;]*m`).MatchString(text); colored != color {
				t.Errorf("colours: %v, want %v", colored, color)
			}
		})
	}
}

// A stuck writes nothing until it is let go.
type stuck struct {
	written bytes.Buffer
	entered chan struct{}
	free    chan struct{}
}

func (s *stuck) Write(p []byte) (int, error) {
	select {
	case s.entered <- struct{}{}:
	default:
	}
	<-s.free
	return s.written.Write(p)
}

func TestObserveNeverBlocks(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		w := &stuck{entered: make(chan struct{}, 1), free: make(chan struct{})}
		c := New(w, Options{Terminal: terminal, Width: 120})
		c.Observe(at(1))
		<-w.entered
		begin := time.Now()
		for s := 2; s < 1000; s++ {
			c.Observe(at(s))
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("terminal %v: 1,000 calls took %v beside a stuck writer", terminal, took)
		}
		close(w.free)
		if dropped := c.Close(); dropped < 990 {
			t.Errorf("terminal %v: %d snapshots passed over, want nearly all", terminal, dropped)
		}
		if !strings.Contains(w.written.String(), "16m39s of 35s") {
			t.Errorf("terminal %v: the last snapshot was not shown: %q", terminal, w.written.String())
		}
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestBrokenWriter(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		c := New(broken{}, Options{Terminal: terminal})
		for s := range 20 {
			c.Observe(at(s))
			waitFor(t, func() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.pending == nil })
		}
		c.Close()
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatal("nothing happened in 5 s")
		}
		time.Sleep(time.Millisecond)
	}
}

// A terminal that does not say how large it is gets lines all the same.
func TestTerminalWithoutSize(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "tty")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	c := New(f, Options{Terminal: true})
	c.Observe(at(3))
	c.Close()
	text, err := os.ReadFile(f.Name())
	if err != nil || !strings.Contains(string(text), "chat") {
		t.Errorf("wrote %q (%v)", text, err)
	}
}
