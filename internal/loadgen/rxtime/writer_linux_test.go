package rxtime_test

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edgeload/edgeload/internal/loadgen/rxtime"
)

func stampedWrites(tb testing.TB) (near *rxtime.Conn, far *net.TCPConn) {
	tb.Helper()
	return pair(tb, func(c net.Conn) *rxtime.Conn {
		conn := rxtime.Wrap(c)
		if !conn.StampWrites() {
			tb.Fatal("the kernel gives no transmit stamps")
		}
		return conn
	})
}

func TestTransmitStamps(t *testing.T) {
	near, far := stampedWrites(t)
	last, _ := near.LastSent()
	for i := range 200 {
		begun := time.Now()
		send(t, near, "hello")
		s, writes := near.LastSent()
		ended := time.Now()
		switch {
		case !s.Kernel:
			t.Fatalf("write %d has no stamp", i)
		case s.At.Before(begun.Add(-time.Microsecond)), s.At.After(s.Returned), s.Returned.After(ended):
			t.Fatalf("write %d: %v after it began, returned %v after", i, s.At.Sub(begun), s.Returned.Sub(begun))
		case !s.Previous.Equal(last.At), writes != uint64(i+1):
			t.Fatalf("write %d: previous %v, want %v; %d writes", i, s.Previous, last.At, writes)
		}
		last = s
		if _, err := io.ReadFull(far, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
	}
}

// What is sent comes whole and in order, stamped or not.
func TestWritesOfEverySize(t *testing.T) {
	near, far := stampedWrites(t)
	text := make([]byte, 1<<20)
	for i := range text {
		text[i] = byte(i * 7 / 3)
	}
	sizes := []int{1, 100, 4 << 10, 16 << 10, 16<<10 + 1, 300 << 10, 1, 2}
	var wg sync.WaitGroup
	wg.Go(func() {
		for _, size := range sizes {
			got := make([]byte, size)
			if _, err := io.ReadFull(far, got); err != nil {
				t.Error(err)
				return
			}
			if string(got) != string(text[:size]) {
				t.Errorf("%d bytes came changed", size)
			}
		}
	})
	for i, size := range sizes {
		if n, err := near.Write(text[:size]); n != size || err != nil {
			t.Fatalf("%d bytes: %d, %v", size, n, err)
		}
		s, writes := near.LastSent()
		if writes != uint64(i+1) || size > 16<<10 && s.Kernel {
			t.Errorf("%d bytes: kernel %v, %d writes", size, s.Kernel, writes)
		}
	}
	wg.Wait()
	// The numbers of the bytes are still known.
	time.Sleep(100 * time.Millisecond) // until all is acknowledged
	send(t, near, "x")
	if s, _ := near.LastSent(); !s.Kernel {
		t.Error("no stamp after large writes")
	}
}

// stampEveryWrite makes stamps come when they should not: of any write.
func stampEveryWrite(t *testing.T, c net.Conn) {
	t.Helper()
	tcp, _ := c.(*net.TCPConn)
	raw, err := tcp.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPING, unix.SOF_TIMESTAMPING_TX_SOFTWARE|
			unix.SOF_TIMESTAMPING_SOFTWARE|unix.SOF_TIMESTAMPING_OPT_ID|unix.SOF_TIMESTAMPING_OPT_TSONLY)
	}); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A peer that reads slowly keeps the send buffer full, and where stamps wait
// besides, Go's poller refuses to wait for data. Whoever reads must not notice.
func TestReaderOutlivesAFullSendBuffer(t *testing.T) {
	near, far := stampedWrites(t)
	stampEveryWrite(t, near.Conn)
	got := make(chan error, 1)
	go func() {
		_, err := near.Read(make([]byte, 1))
		got <- err
	}()
	stop := time.Now().Add(300 * time.Millisecond)
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 4096)
		for time.Now().Before(stop) {
			if _, err := far.Read(buf); err != nil {
				return
			}
			time.Sleep(20 * time.Microsecond)
		}
	})
	if err := near.SetWriteDeadline(stop); err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 5000)
	var err error
	for err == nil {
		_, err = near.Write(text)
	}
	wg.Wait()
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the writes ended with %v", err)
	}
	select {
	case err := <-got:
		t.Fatalf("the reader ended with %v", err)
	default:
	}
	send(t, far, "x")
	if err := <-got; err != nil {
		t.Error(err)
	}
}

func TestWriteErrorsAreThoseOfNet(t *testing.T) {
	for _, tt := range []struct {
		name string
		want error
		do   func(t *testing.T, near, far *net.TCPConn)
	}{
		{"deadline over", os.ErrDeadlineExceeded, func(_ *testing.T, near, _ *net.TCPConn) {
			_ = near.SetWriteDeadline(time.Now().Add(-time.Second))
		}},
		{"closed", net.ErrClosed, func(_ *testing.T, near, _ *net.TCPConn) { _ = near.Close() }},
		{"half closed", syscall.EPIPE, func(_ *testing.T, near, _ *net.TCPConn) { _ = near.CloseWrite() }},
		{"reset", syscall.ECONNRESET, func(t *testing.T, near, far *net.TCPConn) {
			if err := far.SetLinger(0); err != nil {
				t.Fatal(err)
			}
			_ = far.Close()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			write := func(wrap func(net.Conn) net.Conn) (net.Conn, error) {
				near, far := plainPair(t)
				c := wrap(near)
				tt.do(t, near, far)
				_, err := c.Write([]byte("hello"))
				return c, err
			}
			_, plain := write(func(c net.Conn) net.Conn { return c })
			c, ours := write(func(c net.Conn) net.Conn {
				conn := rxtime.Wrap(c)
				conn.StampWrites()
				return conn
			})
			var a, b *net.OpError
			if !errors.Is(plain, tt.want) || !errors.Is(ours, tt.want) || !errors.As(ours, &a) || !errors.As(plain, &b) {
				t.Fatalf("%v, of net %v, want %v", ours, plain, tt.want)
			}
			if a.Op != b.Op || a.Net != b.Net || a.Timeout() != b.Timeout() || a.Err.Error() != b.Err.Error() ||
				a.Source.String() != c.LocalAddr().String() || a.Addr.String() != c.RemoteAddr().String() {
				t.Errorf("%v, of net %v", a, b)
			}
			if rx, _ := rxtime.From(c); rx == nil {
				t.Errorf("%T is not timed", c)
			} else if _, writes := rx.LastSent(); writes != 0 {
				t.Errorf("%d writes counted", writes)
			}
		})
	}
}

func TestNoAllocationsOnAWrite(t *testing.T) {
	near, far := stampedWrites(t)
	buf, text := make([]byte, 64), []byte("hello")
	if n := testing.AllocsPerRun(500, func() {
		_, _ = near.Write(text)
		_, _ = near.LastSent()
		_, _ = far.Read(buf)
	}); n != 0 {
		t.Errorf("%v allocations a write", n)
	}
}

func BenchmarkSocketWrite(b *testing.B) {
	for _, bb := range []struct {
		name string
		wrap func(net.Conn) net.Conn
	}{
		{"conn=net", func(c net.Conn) net.Conn { return c }},
		{"conn=rxtime", func(c net.Conn) net.Conn { return rxtime.Wrap(c) }},
		{"conn=stamped", func(c net.Conn) net.Conn {
			conn := rxtime.Wrap(c)
			conn.StampWrites()
			return conn
		}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			near, far := plainPair(b)
			c := bb.wrap(near)
			text, buf := make([]byte, 200), make([]byte, 4096)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Write(text); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if _, err := io.ReadFull(far, buf[:len(text)]); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}
