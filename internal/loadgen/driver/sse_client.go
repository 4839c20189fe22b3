package driver

import (
	"context"
	"errors"
	"hash/fnv"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// slowBuffer is the receive buffer of a connection that is read slowly, in bytes.
const slowBuffer = 4 << 10

// clients say how the clients of an sse workload behave. The zero value is clients
// that read all there is to their stream's end.
type clients struct {
	seed   uint64
	slow   *scenario.SlowRead
	leave  *scenario.Leave
	resume *scenario.Resume
	idle   time.Duration
}

func newClients(of opening) clients {
	w := of.workload
	h := fnv.New64a()
	_, _ = h.Write([]byte("clients " + of.name)) // a hash takes everything
	return clients{seed: of.scenario.Seed ^ h.Sum64(), slow: w.Slow, leave: w.Leave, resume: w.Resume, idle: time.Duration(w.IdleTimeout)}
}

// A client is one arrival's.
type client struct {
	slow   bool
	leave  time.Duration // after its actual start; 0: it stays
	chunks int64         // that it leaves with; 0: it stays
	idle   time.Duration // 0: as long as its timeout
}

// draw returns the client of a, the same for the same seed, workload and sequence
// number.
func (c *clients) draw(a engine.Arrival) client {
	drawn := client{idle: c.idle}
	if c.slow == nil && c.leave == nil {
		return drawn
	}
	rng := rand.New(rand.NewPCG(c.seed, a.Seq))
	slow, leave := rng.Float64(), rng.Float64()
	drawn.slow = c.slow != nil && slow < float64(c.slow.Share)
	if c.leave != nil && leave < float64(c.leave.Share) {
		if c.leave.After != nil {
			drawn.leave = max(1, c.leave.After.Draw(rng))
		} else {
			drawn.chunks = int64(c.leave.Chunks.Draw(rng))
		}
	}
	return drawn
}

// slowReaders is the transport of streams that are read slowly: connections of their
// own, whose small buffers leave with the target what is not read.
type slowReaders struct {
	rate      int
	dialer    *dialer
	transport *netHTTP
}

func newSlowReaders(w *scenario.Workload, timeout time.Duration) *slowReaders {
	s := &slowReaders{rate: int(w.Slow.Rate), dialer: dialerFor(w, timeout, "http/1.1")}
	s.dialer.receive = slowBuffer
	return s
}

func (s *slowReaders) begin(clock engine.Clock, to destination) {
	s.transport = newNetHTTP(clock, newTransport(s.dialer, false, to.keep))
	s.transport.http.Protocols.SetHTTP2(false) // whose window is the whole connection's
	s.transport.rate = s.rate
}

func (s *slowReaders) close() {
	s.transport.close()
	s.dialer.close()
}

// An idleWatch cuts a stream that brings nothing for some time. A nil one does not.
type idleWatch struct {
	limit time.Duration
	timer *time.Timer
	over  atomic.Bool
	end   context.CancelCauseFunc
}

var errIdle = errors.New("no byte came for too long")

// watchIdle returns a context that ends when nothing was heard for the limit.
func watchIdle(ctx context.Context, limit time.Duration) (context.Context, *idleWatch) {
	w := &idleWatch{limit: limit}
	ctx, w.end = context.WithCancelCause(ctx)
	w.timer = time.AfterFunc(limit, func() {
		w.over.Store(true)
		w.end(errIdle)
	})
	return ctx, w
}

// heard is told of bytes.
func (w *idleWatch) heard() {
	if w != nil && w.timer.Stop() {
		w.timer.Reset(w.limit)
	}
}

// expired reports whether the watch has cut the stream.
func (w *idleWatch) expired() bool { return w != nil && w.over.Load() }

// stop ends the watch.
func (w *idleWatch) stop() {
	if w != nil {
		w.timer.Stop()
		w.end(nil)
	}
}
