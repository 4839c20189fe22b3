package peers_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

// floorClients are the least that can be done: one thread on epoll, one buffer
// for all, requests and frames made by hand, no parser, and one shared tally.
// Nothing that keeps statistics can be expected to cost less.
func floorClients() map[string]func(order) (report, error) {
	return map[string]func(order) (report, error){"floor-sse": floorSSE, "floor-ws": floorWS, "floor-http": floorHTTP}
}

// A floor is the one thread's epoll instance and buffer.
type floor struct {
	ep   int
	addr unix.SockaddrInet4
	buf  []byte
	evs  []unix.EpollEvent
}

func newFloor(addr string) (*floor, error) {
	runtime.LockOSThread()
	debug.SetGCPercent(-1) // next to nothing is allocated
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	return &floor{
		ep: ep, buf: make([]byte, 64<<10), evs: make([]unix.EpollEvent, 256),
		addr: unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()},
	}, nil
}

// dial connects, which takes no time worth mentioning on loopback, and writes
// the request.
func (f *floor) dial(request []byte) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("socket: %w", err)
	}
	if err := unix.Connect(fd, &f.addr); err != nil {
		return 0, fmt.Errorf("connect: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return 0, err
	}
	if _, err := unix.Write(fd, request); err != nil {
		return 0, fmt.Errorf("write the request: %w", err)
	}
	return fd, nil
}

// watch has wait report fd together with id from now on.
func (f *floor) watch(fd, id int) error {
	if err := unix.SetNonblock(fd, true); err != nil {
		return err
	}
	return unix.EpollCtl(f.ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd), Pad: int32(id)})
}

// wait returns the sockets that can be read, at the latest after d, rounded up
// to a millisecond.
func (f *floor) wait(d time.Duration) ([]unix.EpollEvent, error) {
	ms := max(int((d+time.Millisecond-1)/time.Millisecond), 0)
	n, err := unix.EpollWait(f.ep, f.evs, ms)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return nil, fmt.Errorf("epoll_wait: %w", err)
	}
	return f.evs[:max(n, 0)], nil
}

// read returns what fd has, up to 64 KiB: nothing at the stream's end.
func (f *floor) read(fd int) ([]byte, error) {
	n, err := unix.Read(fd, f.buf)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return nil, errNothing
	}
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	return f.buf[:n], nil
}

var errNothing = errors.New("nothing to read")

// horizon bounds every floor client.
const horizon = 2 * time.Minute

func floorSSE(o order) (report, error) {
	f, err := newFloor(o.Addr)
	if err != nil {
		return report{}, err
	}
	request := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s",
		o.Path, o.Addr, len(promptBody), promptBody)
	began := make([]int64, o.N) // Unix nanoseconds; 0 once the first token is there
	var ttft, truth, lag tally
	var r report
	start := time.Now()
	opened := 0
	for r.Complete < o.N && time.Since(start) < horizon {
		wait := 100 * time.Millisecond
		if opened < o.N {
			wait = time.Duration(opened)*time.Second/time.Duration(o.OpenRate) - time.Since(start)
			if wait <= 0 {
				began[opened] = time.Now().UnixNano()
				fd, err := f.dial(request)
				if err != nil {
					return r, err
				}
				if err := f.watch(fd, opened); err != nil {
					return r, err
				}
				opened++
				wait = 0
			}
		}
		events, err := f.wait(wait)
		if err != nil {
			return r, err
		}
		for _, ev := range events {
			data, err := f.read(int(ev.Fd))
			if errors.Is(err, errNothing) {
				continue
			}
			if err != nil {
				return r, err
			}
			if len(data) == 0 {
				r.Complete++
				if err := unix.Close(int(ev.Fd)); err != nil {
					return r, err
				}
				continue
			}
			now := time.Now().UnixNano()
			for {
				at := bytes.Index(data, []byte("sent="))
				if at < 0 || len(data) < at+5+messageDigits {
					break
				}
				var sent int64
				for _, c := range data[at+5:][:messageDigits] {
					sent = sent*10 + int64(c-'0')
				}
				data = data[at+5+messageDigits:]
				r.Events++
				if !bytes.HasPrefix(data, []byte("\n"+eventPrefix+tokenEvent)) {
					continue
				}
				lag.add(now - sent)
				if b := began[ev.Pad]; b != 0 {
					began[ev.Pad] = 0
					ttft.add(now - b)
					truth.add(sent - b)
				}
			}
		}
	}
	r.Elapsed, r.TTFT, r.Truth, r.Lag = int64(time.Since(start)), ttft.pair(), truth.pair(), lag.pair()
	return r, nil
}

func floorHTTP(o order) (report, error) {
	f, err := newFloor(o.Addr)
	if err != nil {
		return report{}, err
	}
	request := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", o.Path, o.Addr)
	sent := make([]time.Time, o.N)
	var latency tally
	var r report
	start := time.Now()
	for i := range o.N {
		sent[i] = time.Now()
		fd, err := f.dial(request)
		if err != nil {
			return r, err
		}
		if err := f.watch(fd, i); err != nil {
			return r, err
		}
	}
	for time.Since(start) < time.Duration(o.Hold) {
		events, err := f.wait(100 * time.Millisecond)
		if err != nil {
			return r, err
		}
		for _, ev := range events {
			data, err := f.read(int(ev.Fd))
			if errors.Is(err, errNothing) {
				continue
			}
			if err != nil {
				return r, err
			}
			if !bytes.HasPrefix(data, []byte("HTTP/1.1 200")) { // the small answer comes in one piece
				return r, fmt.Errorf("answer %q", data)
			}
			now := time.Now()
			latency.add(int64(now.Sub(sent[ev.Pad])))
			r.Requests++
			sent[ev.Pad] = now
			if _, err := unix.Write(int(ev.Fd), request); err != nil {
				return r, fmt.Errorf("write: %w", err)
			}
		}
	}
	r.Elapsed, r.Latency = int64(time.Since(start)), latency.triple()
	return r, nil
}
