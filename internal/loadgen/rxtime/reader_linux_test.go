package rxtime_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/rxtime"
)

// pair is a connection on the loopback device: near is timed, far plain.
func pair(tb testing.TB, wrap func(net.Conn) *rxtime.Conn) (near *rxtime.Conn, far *net.TCPConn) {
	tb.Helper()
	a, b := plainPair(tb)
	return wrap(a), b
}

func plainPair(tb testing.TB) (near, far *net.TCPConn) {
	tb.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	far, err = l.AcceptTCP()
	if err != nil {
		tb.Fatal(err)
	}
	near, _ = c.(*net.TCPConn)
	tb.Cleanup(func() { _, _ = near.Close(), far.Close() })
	return near, far
}

// stamped is a pair whose stamps have set in: the kernel turns them on a moment
// after the first socket of the machine has asked for them.
func stamped(tb testing.TB) (near *rxtime.Conn, far *net.TCPConn) {
	tb.Helper()
	near, far = pair(tb, rxtime.Wrap)
	if !near.Kernel() {
		tb.Fatal("the kernel gives no receive stamps")
	}
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		send(tb, far, "x")
		if s := receive(tb, near, make([]byte, 1)); s.Kernel {
			return near, far
		}
	}
	tb.Fatal("no stamp within 5 s")
	return nil, nil
}

func send(tb testing.TB, c net.Conn, text string) {
	tb.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		tb.Fatal(err)
	}
}

// receive fills buf and returns the stamp of the read that completed it.
func receive(tb testing.TB, c *rxtime.Conn, buf []byte) rxtime.Stamp {
	tb.Helper()
	if _, err := io.ReadFull(c, buf); err != nil {
		tb.Fatal(err)
	}
	s, _ := c.Last()
	return s
}

// However late the reader is, the stamp says when the data came.
func TestStampIsTrueForALateReader(t *testing.T) {
	const late = 50 * time.Millisecond
	near, far := stamped(t)
	var before time.Time
	for i := range 5 {
		begun := time.Now()
		send(t, far, "hello")
		sent := time.Now()
		time.Sleep(late)
		s := receive(t, near, make([]byte, 5))
		// On the loopback device the segment arrives within the write.
		if !s.Kernel || s.At.Before(begun.Add(-time.Microsecond)) || s.At.After(sent.Add(5*time.Millisecond)) {
			t.Errorf("read %d: kernel %v, %v after the write began, which took %v", i, s.Kernel, s.At.Sub(begun), sent.Sub(begun))
		}
		if delay := s.Returned.Sub(s.At); delay < late-5*time.Millisecond {
			t.Errorf("read %d: delay %v of a reader %v late", i, delay, late)
		}
		if i > 0 && !s.Previous.Equal(before) {
			t.Errorf("read %d: previous %v, want %v", i, s.Previous, before)
		}
		before = s.At
	}
}

func TestStampsLieBetweenWriteAndReturn(t *testing.T) {
	near, far := stamped(t)
	_, first := near.Last()
	last, _ := near.LastRead()
	for i := range 500 {
		begun := time.Now()
		send(t, far, "x")
		s := receive(t, near, make([]byte, 16)[:1])
		switch {
		case !s.Kernel:
			t.Fatalf("read %d has no stamp", i)
		case s.At.Before(begun.Add(-time.Microsecond)), s.At.After(s.Returned), s.Returned.After(time.Now()):
			t.Fatalf("read %d: %v after the write began, returned %v after", i, s.At.Sub(begun), s.Returned.Sub(begun))
		case s.At.Before(last) || !s.Previous.Equal(last):
			t.Fatalf("read %d went back by %v", i, last.Sub(s.At))
		}
		last = s.At
	}
	if _, reads := near.Last(); reads != first+500 {
		t.Errorf("%d reads counted of 500", reads-first)
	}
}

// A read that returns several segments has the stamp of the last.
func TestSharedRead(t *testing.T) {
	near, far := stamped(t)
	before, _ := near.LastRead()
	send(t, far, "a")
	time.Sleep(20 * time.Millisecond)
	second := time.Now()
	send(t, far, "b")
	s := receive(t, near, make([]byte, 2))
	if s.At.Before(second.Add(-time.Microsecond)) {
		t.Errorf("stamp %v before the second segment was sent", second.Sub(s.At))
	}
	if !s.Previous.Equal(before) {
		t.Errorf("bound %v, want the read before, %v", s.Previous, before)
	}
}

func TestStampUnderTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	config := server.TLS.Clone()
	server.Close()

	near, far := pair(t, rxtime.Wrap)
	peer := tls.Server(far, config)
	var wg sync.WaitGroup
	wg.Go(func() { _ = peer.Handshake() })
	client := tls.Client(near, &tls.Config{InsecureSkipVerify: true})
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	time.Sleep(10 * time.Millisecond) // session tickets
	begun := time.Now()
	if _, err := peer.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	sent := time.Now()
	time.Sleep(50 * time.Millisecond)
	if _, err := io.ReadFull(client, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	rx, _ := rxtime.From(client)
	s, _ := rx.Last()
	if !s.Kernel || s.At.Before(begun.Add(-time.Microsecond)) || s.At.After(sent.Add(5*time.Millisecond)) {
		t.Errorf("kernel %v, %v after the write began", s.Kernel, s.At.Sub(begun))
	}
}

// An error is the one that package net gives for the same mishap, and no mishap
// counts as a read.
func TestErrorsAreThoseOfNet(t *testing.T) {
	for _, tt := range []struct {
		name string
		want error
		do   func(t *testing.T, near, far *net.TCPConn)
	}{
		{"end", io.EOF, func(_ *testing.T, _, far *net.TCPConn) { _ = far.Close() }},
		{"half closed", io.EOF, func(_ *testing.T, _, far *net.TCPConn) { _ = far.CloseWrite() }},
		{"deadline over", os.ErrDeadlineExceeded, func(_ *testing.T, near, _ *net.TCPConn) {
			_ = near.SetReadDeadline(time.Now().Add(-time.Second))
		}},
		{"deadline to come", os.ErrDeadlineExceeded, func(_ *testing.T, near, _ *net.TCPConn) {
			_ = near.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		}},
		{"closed before", net.ErrClosed, func(_ *testing.T, near, _ *net.TCPConn) { _ = near.Close() }},
		{"closed meanwhile", net.ErrClosed, func(t *testing.T, near, _ *net.TCPConn) {
			timer := time.AfterFunc(20*time.Millisecond, func() { _ = near.Close() })
			t.Cleanup(func() { timer.Stop() })
		}},
		{"reset", syscall.ECONNRESET, func(t *testing.T, _, far *net.TCPConn) {
			if err := far.SetLinger(0); err != nil {
				t.Fatal(err)
			}
			_ = far.Close()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			read := func(wrap func(net.Conn) net.Conn) (net.Conn, error) {
				near, far := plainPair(t)
				c := wrap(near)
				tt.do(t, near, far)
				n, err := c.Read(make([]byte, 8))
				if n != 0 {
					t.Errorf("%d bytes", n)
				}
				return c, err
			}
			_, plain := read(func(c net.Conn) net.Conn { return c })
			c, ours := read(func(c net.Conn) net.Conn { return rxtime.Wrap(c) })
			if !errors.Is(plain, tt.want) || !errors.Is(ours, tt.want) {
				t.Fatalf("%v, of net %v, want %v", ours, plain, tt.want)
			}
			if errors.Is(tt.want, io.EOF) {
				if ours != io.EOF { //nolint:errorlint // readers compare
					t.Errorf("%v, want io.EOF itself", ours)
				}
				return
			}
			var a, b *net.OpError
			if !errors.As(ours, &a) || !errors.As(plain, &b) {
				t.Fatalf("%T, of net %T", ours, plain)
			}
			if a.Op != b.Op || a.Net != b.Net || a.Timeout() != b.Timeout() || a.Err.Error() != b.Err.Error() ||
				a.Source.String() != c.LocalAddr().String() || a.Addr.String() != c.RemoteAddr().String() {
				t.Errorf("%v, of net %v", a, b)
			}
			if rx, _ := rxtime.From(c); rx == nil {
				t.Errorf("%T is not timed", c)
			} else if _, reads := rx.Last(); reads != 0 {
				t.Errorf("%d reads counted", reads)
			}
		})
	}
}

// After its peer has closed one half, a connection still sends.
func TestHalfClose(t *testing.T) {
	near, far := stamped(t)
	send(t, far, "last")
	if err := far.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if s := receive(t, near, make([]byte, 4)); !s.Kernel {
		t.Error("no stamp")
	}
	for range 2 {
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Fatalf("%v after the end", err)
		}
	}
	send(t, near, "still here")
	if _, err := io.ReadFull(far, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
}

// A deadline that has passed leaves the connection usable.
func TestDeadlineIsMoved(t *testing.T) {
	near, far := stamped(t)
	if err := near.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := near.Read(make([]byte, 1)); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	if err := near.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	send(t, far, "x")
	if s := receive(t, near, make([]byte, 1)); !s.Kernel {
		t.Error("no stamp")
	}
}

func TestEmptyRead(t *testing.T) {
	near, _ := stamped(t)
	_, before := near.Last()
	if n, err := near.Read(nil); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if _, reads := near.Last(); reads != before {
		t.Error("counted")
	}
}

// Readers, writers and onlookers at once: every byte comes once, and stamps
// never go back.
func TestConcurrency(t *testing.T) {
	const total = 20_000
	near, far := stamped(t)
	var senders, wg sync.WaitGroup
	senders.Go(func() {
		for range total {
			if _, err := far.Write([]byte("x")); err != nil {
				t.Error(err)
				return
			}
		}
	})
	got := make([]int, 2)
	for i := range got {
		wg.Go(func() {
			buf := make([]byte, 7)
			for {
				n, err := near.Read(buf)
				got[i] += n
				for _, b := range buf[:n] {
					if b != 'x' {
						t.Errorf("read %q", b)
					}
				}
				if err != nil {
					return
				}
			}
		})
	}
	wg.Go(func() {
		var last rxtime.Stamp
		for {
			s, reads := near.Last()
			if s.At.Before(last.At) || s.Previous.After(s.At) || s.At.After(s.Returned) {
				t.Errorf("from %+v to %+v", last, s)
				return
			}
			last = s
			if reads > 100 {
				return
			}
		}
	})
	senders.Wait()
	_ = far.CloseWrite()
	wg.Wait()
	if got[0]+got[1] != total {
		t.Errorf("%d bytes of %d", got[0]+got[1], total)
	}
}

func TestNotTCP(t *testing.T) {
	path := t.TempDir() + "/socket"
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	near := rxtime.Wrap(c)
	defer func() { _, _ = near.Close(), far.Close() }()
	send(t, far, "x")
	if s := receive(t, near, make([]byte, 1)); near.Kernel() || s.Kernel || !s.At.Equal(s.Returned) {
		t.Errorf("%v, %+v", near.Kernel(), s)
	}
}

func TestNoAllocationsOnASocket(t *testing.T) {
	near, far := stamped(t)
	buf, text := make([]byte, 64), []byte("hello")
	if n := testing.AllocsPerRun(500, func() {
		_, _ = far.Write(text)
		_, _ = near.Read(buf)
		_, _ = near.Last()
	}); n != 0 {
		t.Errorf("%v allocations a read", n)
	}
}

func BenchmarkSocketRead(b *testing.B) {
	for _, bb := range []struct {
		name string
		wrap func(net.Conn) net.Conn
	}{
		{"conn=net", func(c net.Conn) net.Conn { return c }},
		{"conn=rxtime", func(c net.Conn) net.Conn { return rxtime.Wrap(c) }},
	} {
		b.Run(bb.name, func(b *testing.B) {
			near, far := plainPair(b)
			c := bb.wrap(near)
			// What is read has arrived before, so that no wait is measured.
			chunk, buf := make([]byte, 64<<10), make([]byte, 64)
			left := 0
			b.ReportAllocs()
			for b.Loop() {
				if left == 0 {
					b.StopTimer()
					if _, err := far.Write(chunk); err != nil {
						b.Fatal(err)
					}
					left = len(chunk)
					b.StartTimer()
				}
				n, err := c.Read(buf)
				if err != nil {
					b.Fatal(err)
				}
				left -= n
			}
		})
	}
}

// Under a hold, connections that come one by one have stamps from their first
// byte.
func TestHold(t *testing.T) {
	release := rxtime.Hold()
	defer release()
	_, _ = stamped(t) // until stamps have set in
	for i := range 100 {
		near, far := pair(t, rxtime.Wrap)
		send(t, far, "x")
		if s := receive(t, near, make([]byte, 1)); !s.Kernel {
			t.Errorf("connection %d: no stamp", i)
		}
		_, _ = near.Close(), far.Close()
		time.Sleep(time.Millisecond)
	}
	release() // a second time does no harm
}
