package relay

import (
	"fmt"
	"testing"

	"github.com/gorilla/websocket"
)

// BenchmarkFanout is one message of 256 bytes to 100 receivers, framed, queued
// and taken from each queue, without sockets.
func BenchmarkFanout(b *testing.B) {
	for _, receivers := range []int{1, 100} {
		b.Run(fmt.Sprint("receivers=", receivers), func(b *testing.B) {
			h := newWorker(b, Options{})
			sender := join(b, h, "r")
			defer sender.Leave()
			peers := make([]*Peer, receivers)
			for i := range peers {
				peers[i] = join(b, h, "r")
				defer peers[i].Leave()
			}
			payload := make([]byte, 256)
			b.ReportAllocs()
			for b.Loop() {
				if err := sender.Publish(websocket.BinaryMessage, payload); err != nil {
					b.Fatal(err)
				}
				for _, p := range peers {
					if m := pop(p); m == nil {
						b.Fatal("a queue is empty")
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*receivers), "ns/delivery")
		})
	}
}

// BenchmarkFanoutParallel is 10 rooms of 100 whose senders publish at once to
// peers that take nothing: every queue is full and every push drops one.
func BenchmarkFanoutParallel(b *testing.B) {
	const rooms, receivers = 10, 100
	h := newWorker(b, Options{Slow: SlowDropOldest})
	senders := make(chan *Peer, rooms)
	for r := range rooms {
		room := fmt.Sprint("room ", r)
		for range receivers {
			p := join(b, h, room)
			defer p.Leave()
		}
		p := join(b, h, room)
		defer p.Leave()
		senders <- p
	}
	payload := make([]byte, 256)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		sender := <-senders
		defer func() { senders <- sender }()
		for pb.Next() {
			if err := sender.Publish(websocket.BinaryMessage, payload); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*receivers), "ns/delivery")
}
