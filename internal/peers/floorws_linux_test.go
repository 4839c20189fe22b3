package peers_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func floorWS(o order) (report, error) {
	f, err := newFloor(o.Addr)
	if err != nil {
		return report{}, err
	}
	fds := make([]int32, o.N)
	rest := make([][]byte, o.N) // of a frame that a read cut in two, which is rare
	var lag tally
	var r report
	start := time.Now()
	opened, turn := 0, int64(0)
	for time.Since(start) < o.writing()+settle {
		wait := 100 * time.Millisecond
		if opened < o.N {
			wait = time.Duration(opened)*time.Second/time.Duration(o.OpenRate) - time.Since(start)
			if wait <= 0 {
				fd, err := f.join(o, opened/o.RoomSize)
				if err != nil {
					return r, err
				}
				if err := f.watch(fd, opened); err != nil {
					return r, err
				}
				fds[opened] = int32(fd)
				opened++
			}
		}
		room, at := o.turn(turn)
		if left := at - time.Since(start); left > 0 {
			wait = min(wait, left)
		} else {
			turn++
			wait = 0
			if opened >= (room+1)*o.RoomSize && at <= o.writing() {
				payload := roomMessage(time.Now())
				frame := append([]byte{0x81, 0x80 | 126, 0, messageSize, 0, 0, 0, 0}, payload...) // a mask of zeros changes nothing
				if _, err := unix.Write(int(fds[room*o.RoomSize]), frame); err != nil {
					return r, fmt.Errorf("publish: %w", err)
				}
				r.Published++
			}
		}
		events, err := f.wait(max(min(wait, 100*time.Millisecond), 0))
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
				return r, errors.New("the server closed a socket")
			}
			if rest[ev.Pad] != nil {
				data = append(rest[ev.Pad], data...)
				rest[ev.Pad] = nil
			}
			now := time.Now().UnixNano()
			for {
				payload, n := frame(data)
				if n == 0 {
					break
				}
				if sent := messageSent(payload); sent != 0 {
					lag.add(now - sent)
					r.Events++
				}
				data = data[n:]
			}
			if len(data) > 0 {
				rest[ev.Pad] = bytes.Clone(data)
			}
		}
	}
	r.Complete, r.Elapsed, r.Lag = opened, int64(time.Since(start)), lag.pair()
	return r, nil
}

// join opens one socket and upgrades it.
func (f *floor) join(o order, room int) (fd int, err error) {
	fd, err = f.dial(fmt.Appendf(nil, "GET %s?room=%d HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", o.Path, room, o.Addr))
	if err != nil {
		return 0, err
	}
	for answer := []byte(nil); !bytes.HasSuffix(answer, []byte("\r\n\r\n")); {
		n, err := unix.Read(fd, f.buf)
		if err != nil || n == 0 {
			return 0, fmt.Errorf("upgrade: %d bytes, %w", n, err)
		}
		answer = append(answer, f.buf[:n]...)
	}
	return fd, nil
}

// frame returns the payload of the server's frame at the beginning of b and the
// length of the whole frame, 0 where b does not hold all of it. Frames of 64
// KiB and more are not sent here.
func frame(b []byte) (payload []byte, n int) {
	if len(b) < 2 {
		return nil, 0
	}
	head, size := 2, int(b[1])
	if size == 126 {
		if len(b) < 4 {
			return nil, 0
		}
		head, size = 4, int(binary.BigEndian.Uint16(b[2:]))
	}
	if len(b) < head+size {
		return nil, 0
	}
	return b[head : head+size], head + size
}

func TestFrame(t *testing.T) {
	short := append([]byte{0x81, 3}, "abc"...)
	long := append([]byte{0x81, 126, 0, messageSize}, roomMessage(time.Now())...)
	for _, whole := range [][]byte{short, long} {
		for cut := range whole {
			if _, n := frame(whole[:cut]); n != 0 {
				t.Errorf("%d of %d bytes are taken for a frame of %d", cut, len(whole), n)
			}
		}
		payload, n := frame(append(bytes.Clone(whole), short...))
		if n != len(whole) || !bytes.HasSuffix(whole, payload) || len(payload) < 3 {
			t.Errorf("payload %q, length %d, want %d", payload, n, len(whole))
		}
	}
}
