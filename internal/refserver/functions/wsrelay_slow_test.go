package functions

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edgeload/edgeload/internal/refserver/relay"
)

// syncBuffer is a buffer that several goroutines may write.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// Whatever a peer that never reads is sent, memory stays bounded, the others
// get everything, and the loss is counted and named.
func TestRelaySlowConsumer(t *testing.T) {
	for _, rule := range []relay.SlowRule{relay.SlowClose, relay.SlowDropOldest} {
		t.Run(rule.String(), func(t *testing.T) {
			const (
				messages   = 600
				size       = 64 << 10
				queueBytes = 1 << 20
				bound      = 8 << 20 // of what the run may add to the heap; the messages are 37 MiB
			)
			var log syncBuffer
			s := newRelay(t, relay.Options{QueueBytes: queueBytes, Slow: rule, WriteTimeout: 30 * time.Second,
				Logger: slog.New(slog.NewTextHandler(&log, nil))})
			speaker, reader, deaf := s.dial(t, "r"), s.dial(t, "r"), s.dial(t, "r")
			if tcp, ok := deaf.NetConn().(*net.TCPConn); ok {
				_ = tcp.SetReadBuffer(64 << 10) // the kernel's share fills sooner
			}
			var before, now runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			payload := bytes.Repeat([]byte{1}, size)
			buf := make([]byte, size)
			peak := uint64(0)
			for i := range messages {
				payload[0] = byte(i)
				send(t, speaker, websocket.BinaryMessage, payload)
				_, r, err := reader.NextReader()
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(r, buf); err != nil || buf[0] != byte(i) {
					t.Fatalf("message %d: first byte %d, %v", i, buf[0], err)
				}
				if i%50 == 49 {
					runtime.GC()
					runtime.ReadMemStats(&now)
					if grown := int64(now.HeapAlloc) - int64(before.HeapAlloc); grown > 0 {
						peak = max(peak, uint64(grown))
					}
				}
			}
			t.Logf("heap grew by at most %d KiB over %d MiB relayed", peak>>10, messages*size>>20)
			if peak > bound {
				t.Errorf("heap grew by %d bytes", peak)
			}
			// What the deaf one's queue holds and the message being written to it may stay
			// pending; the reader's last delivery is counted a moment after it has come.
			const most = queueBytes/size + 1
			await(t, fmt.Sprint(most, " deliveries pending at most"), func() bool { return s.Stats().Pending <= most })
			st := s.Stats()
			if st.Offered != 2*messages || st.Offered != st.Written+st.DroppedOldest+st.DroppedSlow+st.DroppedLeft+st.Pending {
				t.Errorf("deliveries do not add up: %+v", st)
			}
			switch rule {
			case relay.SlowClose:
				if st.SlowClosed != 1 || st.DroppedSlow == 0 || st.DroppedOldest != 0 {
					t.Errorf("%+v", st)
				}
				if text := log.String(); strings.Count(text, "slow consumer closed") != 1 || !strings.Contains(text, "room=r peer=3") {
					t.Errorf("log: %s", text)
				}
			case relay.SlowDropOldest:
				if st.SlowClosed != 0 || st.DroppedSlow != 0 || st.DroppedOldest == 0 || st.Peers != 3 {
					t.Errorf("%+v", st)
				}
				if st.Pending < 1 {
					t.Error("nothing waits for one who never reads")
				}
			}
			if rule == relay.SlowClose {
				// It reads after all: what the kernel held, then the reason.
				_ = deaf.SetReadDeadline(time.Now().Add(patience))
				expectClose(t, deaf, websocket.CloseTryAgainLater)
			}
		})
	}
}
