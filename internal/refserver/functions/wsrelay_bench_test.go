package functions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgeload/edgeload/internal/refserver/relay"
)

// BenchmarkRelay is 10 rooms of 100 on loopback sockets, one message of 256
// bytes to each room at a time. One op is a message to every room: 990
// deliveries. CPU is that of both ends, user and system.
func BenchmarkRelay(b *testing.B) {
	const rooms, members, size = 10, 100, 256
	s := newRelay(b, relay.Options{})
	speakers := make([]*websocket.Conn, rooms)
	var arrived, readers sync.WaitGroup
	for r := range rooms {
		for m := range members {
			conn := s.dial(b, fmt.Sprint("room", r))
			_ = conn.SetReadDeadline(time.Time{})
			if m == 0 {
				speakers[r] = conn
				continue
			}
			readers.Go(func() {
				raw, frame := conn.NetConn(), make([]byte, 4+size)
				for {
					if _, err := io.ReadFull(raw, frame); err != nil || frame[0] != 0x82 {
						return
					}
					arrived.Done()
				}
			})
		}
	}
	payload := make([]byte, size)
	start := cpuTime(b)
	b.ReportAllocs()
	for b.Loop() {
		arrived.Add(rooms * (members - 1))
		for _, speaker := range speakers {
			send(b, speaker, websocket.BinaryMessage, payload)
		}
		arrived.Wait()
	}
	deliveries := float64(b.N * rooms * (members - 1))
	b.ReportMetric(float64((cpuTime(b)-start).Nanoseconds())/deliveries, "cpu-ns/delivery")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/deliveries, "ns/delivery")
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		b.Error(err)
	}
	readers.Wait()
}

// cpuTime is what this process has used.
func cpuTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
