package rxtime_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edgeload/edgeload/internal/loadgen/rxtime"
)

// detached is a stamped pair whose near end is out of the poller's hands.
func detached(tb testing.TB) (conn *rxtime.Conn, near *rxtime.Socket, far *net.TCPConn) {
	tb.Helper()
	conn, far = stamped(tb)
	near, err := conn.Detach()
	if err != nil {
		tb.Fatal(err)
	}
	return conn, near, far
}

// await waits until the socket is ready as told.
func await(tb testing.TB, s *rxtime.Socket, what int16) {
	tb.Helper()
	fds := []unix.PollFd{{Fd: int32(s.FD()), Events: what}}
	for {
		n, err := unix.Poll(fds, 5000)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n != 1 {
			tb.Fatalf("%d ready, %v", n, err)
		}
		s.Ready(fds[0].Revents&unix.POLLERR != 0)
		return
	}
}

func TestSocketIsStampedAtTheKernel(t *testing.T) {
	conn, s, far := detached(t)
	if n, err := conn.Read(make([]byte, 8)); n != 0 || !errors.Is(err, rxtime.ErrWait) {
		t.Fatalf("%d bytes, %v of an empty socket", n, err)
	}
	_, reads := s.Last()
	begun := time.Now()
	send(t, far, "hello")
	sent := time.Now()
	time.Sleep(50 * time.Millisecond)
	await(t, s, unix.POLLIN)
	buf := make([]byte, 8)
	if n, err := s.Read(buf); string(buf[:n]) != "hello" || err != nil {
		t.Fatalf("%q, %v", buf[:n], err)
	}
	stamp, now := conn.Last()
	if !stamp.Kernel || now != reads+1 || stamp.At.Before(begun.Add(-time.Microsecond)) || stamp.At.After(sent.Add(5*time.Millisecond)) {
		t.Errorf("kernel %v, read %d after %d, %v after the write began", stamp.Kernel, now, reads, stamp.At.Sub(begun))
	}
	if stamp.Returned.Sub(stamp.At) < 45*time.Millisecond {
		t.Errorf("delay %v of a reader 50 ms late", stamp.Returned.Sub(stamp.At))
	}
	// A read that left nothing behind is followed by one that asks nobody.
	send(t, far, "x")
	if _, err := s.Read(buf); !errors.Is(err, rxtime.ErrWait) {
		t.Errorf("%v without Ready", err)
	}
	await(t, s, unix.POLLIN)
	if n, err := s.Read(buf); n != 1 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if err := far.Close(); err != nil {
		t.Fatal(err)
	}
	await(t, s, unix.POLLIN)
	if _, err := s.Read(buf); !errors.Is(err, io.EOF) {
		t.Errorf("%v at the end", err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if err := conn.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v of a second close", err)
	}
}

func TestSocketStampsWrites(t *testing.T) {
	conn, far := pair(t, func(c net.Conn) *rxtime.Conn {
		rx := rxtime.Wrap(c)
		if !rx.StampWrites() {
			t.Fatal("no transmit stamps")
		}
		return rx
	})
	send(t, conn, "before")
	s, err := conn.Detach()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(far, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	_, writes := s.LastSent()
	kernel := 0 // on a busy machine a stamp may come after the write has returned
	for i := range 100 {
		begun := time.Now()
		if n, err := conn.Write([]byte("hello")); n != 5 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		stamp, count := conn.LastSent()
		if stamp.At.Before(begun.Add(-time.Microsecond)) || stamp.At.After(time.Now()) || count != writes+uint64(i)+1 {
			t.Fatalf("write %d: kernel %v, %v after it began, number %d", i, stamp.Kernel, stamp.At.Sub(begun), count)
		}
		if stamp.Kernel {
			kernel++
		}
		// A peer that does not read acknowledges late, and what waits for that has not left.
		if _, err := io.ReadFull(far, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
	}
	if kernel < 90 {
		t.Errorf("%d of 100 writes have a stamp", kernel)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
}

// What the socket does not take is kept, in order, and goes with Flush.
func TestSocketKeepsWhatItCannotSend(t *testing.T) {
	const total = 32 << 20
	conn, s, far := detached(t)
	data := make([]byte, total)
	for i := range data {
		data[i] = byte(i / 1000)
	}
	for begin := 0; begin < total; begin += total / 2 {
		if n, err := s.Write(data[begin : begin+total/2]); n != total/2 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	if done, err := s.Flush(); done || err != nil {
		t.Fatalf("done %v, %v: 32 MiB fit into a socket that nobody reads", done, err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		got := make([]byte, total)
		if _, err := io.ReadFull(far, got); err != nil || string(got) != string(data) {
			t.Errorf("what came is not what was written: %v", err)
		}
	})
	for done := false; !done; {
		await(t, s, unix.POLLOUT)
		var err error
		if done, err = s.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	if stamp, _ := s.LastSent(); stamp.Kernel {
		t.Error("a write in pieces has a stamp")
	}
	_ = far.Close()
	await(t, s, unix.POLLIN)
	for range 2 { // the first finds out
		if _, err := s.Write([]byte("x")); err != nil {
			var op *net.OpError
			if !errors.As(err, &op) || op.Op != "write" || op.Addr == nil {
				t.Errorf("%v", err)
			}
		}
	}
	_ = conn.Close()
}

// A record that comes in pieces is taken up where it was left.
func TestSocketUnderTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	config := server.TLS.Clone()
	server.Close()

	near, far := pair(t, rxtime.Wrap)
	through, relay := plainPair(t)
	peer := tls.Server(relay, config)
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(through, far) })
	wg.Go(func() { // one byte at a time
		one := make([]byte, 1)
		for {
			if _, err := through.Read(one); err != nil {
				return
			}
			if _, err := far.Write(one); err != nil {
				return
			}
		}
	})
	wg.Go(func() {
		if err := peer.Handshake(); err != nil {
			t.Error(err)
			return
		}
		if _, err := peer.Write([]byte("hello, a byte at a time")); err != nil {
			t.Error(err)
		}
	})
	client := tls.Client(near, &tls.Config{InsecureSkipVerify: true})
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	s, err := near.Detach()
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	for buf := make([]byte, 64); string(got) != "hello, a byte at a time"; {
		n, err := client.Read(buf)
		got = append(got, buf[:n]...)
		if errors.Is(err, rxtime.ErrWait) {
			await(t, s, unix.POLLIN)
		} else if err != nil {
			t.Fatalf("%v after %q", err, got)
		}
	}
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	_ = through.Close()
	_ = far.Close()
	_ = relay.Close()
	wg.Wait()
}

func TestDetachOfNoTCPConnection(t *testing.T) {
	a, b := net.Pipe()
	defer func() { _, _ = a.Close(), b.Close() }()
	if _, err := rxtime.Wrap(a).Detach(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("%v of a pipe", err)
	}
}

func TestSocketReadAllocatesNothing(t *testing.T) {
	conn, s, far := detached(t)
	defer func() { _ = conn.Close() }()
	buf, text := make([]byte, 64), []byte("hello")
	if n := testing.AllocsPerRun(200, func() {
		if _, err := far.Write(text); err != nil {
			t.Fatal(err)
		}
		s.Ready(false)
		for {
			n, err := s.Read(buf)
			if n > 0 {
				s.Last()
				return
			}
			if !errors.Is(err, rxtime.ErrWait) {
				t.Fatal(err)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations a read", n)
	}
}
