package rxtime_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/edgeload/edgeload/internal/loadgen/rxtime"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLastRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		conn := rxtime.Wrap(near)
		wrapped := time.Now()
		if at, reads := conn.LastRead(); reads != 0 || !at.Equal(wrapped) {
			t.Errorf("before any read: %v, %d", at.Sub(wrapped), reads)
		}
		go func() {
			for _, s := range []string{"a", "bc"} {
				time.Sleep(time.Second)
				_, _ = far.Write([]byte(s))
			}
			time.Sleep(time.Second)
			_ = far.Close()
		}()
		buf := make([]byte, 8)
		for i := range 2 {
			if _, err := conn.Read(buf); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond) // whoever asks late gets the same answer
			at, reads := conn.LastRead()
			if want := time.Duration(i+1) * time.Second; at.Sub(wrapped) != want || reads != uint64(i+1) {
				t.Errorf("read %d: at %v, count %d, want %v", i, at.Sub(wrapped), reads, want)
			}
		}
		if _, err := conn.Read(buf); !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if at, reads := conn.LastRead(); reads != 2 || at.Sub(wrapped) != 2*time.Second {
			t.Errorf("a read without data was counted: %v, %d", at.Sub(wrapped), reads)
		}
		_ = conn.Close()
	})
}

// counted is a connection whose every read returns one byte.
type counted struct{ net.Conn }

func (counted) Read(p []byte) (int, error) { p[0] = 'x'; return 1, nil }

func TestConcurrentLastRead(t *testing.T) {
	conn := rxtime.Wrap(counted{})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			var (
				lastAt    time.Time
				lastReads uint64
			)
			for {
				select {
				case <-stop:
					return
				default:
				}
				at, reads := conn.LastRead()
				if reads < lastReads || at.Before(lastAt) || reads == lastReads && reads > 0 && !at.Equal(lastAt) {
					t.Errorf("went from %v, %d to %v, %d", lastAt, lastReads, at, reads)
					return
				}
				lastAt, lastReads = at, reads
			}
		})
	}
	buf := make([]byte, 1)
	for range 100_000 {
		if _, err := conn.Read(buf); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
}

func TestNoAllocations(t *testing.T) {
	conn := rxtime.Wrap(counted{})
	buf := make([]byte, 1)
	if n := testing.AllocsPerRun(1000, func() {
		_, _ = conn.Read(buf)
		_, _ = conn.LastRead()
	}); n != 0 {
		t.Errorf("%v allocations a read", n)
	}
}

func TestFrom(t *testing.T) {
	near, far := net.Pipe()
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	conn := rxtime.Wrap(near)
	for name, layered := range map[string]net.Conn{
		"itself":    conn,
		"under TLS": tls.Client(conn, &tls.Config{}),
		"deeper":    tls.Client(tls.Client(conn, &tls.Config{}), &tls.Config{}),
	} {
		if got, ok := rxtime.From(layered); !ok || got != conn {
			t.Errorf("%s: From = %p, %v", name, got, ok)
		}
	}
	if _, ok := rxtime.From(tls.Client(near, &tls.Config{})); ok {
		t.Error("found a Conn where there is none")
	}
	if _, ok := rxtime.From(nil); ok {
		t.Error("found a Conn in nil")
	}
}

func BenchmarkRead(b *testing.B) {
	conn := rxtime.Wrap(counted{})
	buf := make([]byte, 1)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = conn.Read(buf)
	}
}
