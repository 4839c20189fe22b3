// Package relay passes messages between the peers of a room: everyone in the
// room but the sender gets each message, text or binary, unchanged and in the
// order its sender sent it.
//
// It knows rooms, peers, the bounded queue of each peer, the slow-consumer
// rule and the life of one WebSocket connection. It does not know HTTP: who
// may come in, how the handshake is answered and how counters are published
// is the caller's affair.
//
// A peer is a member of its room from Join to Leave. The caller joins before
// it answers the handshake and hands the connection to Peer.Serve afterwards,
// so that a client that has seen its 101 misses nothing.
//
// A message is framed once, when it is published, and the same bytes are
// written to every receiver. Framing costs a fixed scratch buffer of about
// 4 KiB of garbage beside the frame itself, whatever the number of receivers;
// a frame lives until its last receiver has taken or dropped it.
//
// Publishing holds no lock of the room: it walks a snapshot of the members and
// takes only the lock of each receiver's queue, for the time of one append.
// The snapshot is made by the first publish after a change, so that a thousand
// joins in a row copy nothing.
//
// What waits for a peer is bounded by Options.QueueMessages and
// Options.QueueBytes, plus the one message being written; what the kernel
// holds for its socket is bounded by the system (net.ipv4.tcp_wmem). Nothing is
// lost silently: see Stats.
package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// ErrClosed is what Join returns once Shutdown has begun.
var ErrClosed = errors.New("relay is shutting down")

// shardCount spreads joins, leaves and counters over this many locks.
const shardCount = 64

// Hub holds all rooms. Its methods may be called concurrently.
type Hub struct {
	options Options
	seed    maphash.Seed
	lastID  atomic.Uint64
	closed  atomic.Bool
	members sync.WaitGroup // one for each peer between Join and Leave
	shards  [shardCount]shard
	buffers sync.Pool // of *bytes.Buffer, for the payload being read
}

// NewHub returns an empty Hub, or an error that names every option at fault.
func NewHub(o Options) (*Hub, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	h := &Hub{options: o, seed: maphash.MakeSeed()}
	h.buffers.New = func() any { return new(bytes.Buffer) }
	for i := range h.shards {
		h.shards[i].rooms = make(map[string]*room)
	}
	return h, nil
}

// Join makes a new peer a member of the named room, which comes into being
// with its first peer. From here on its queue takes what the others send. The
// caller must call Leave, whatever happens. The error is ErrClosed or nil.
func (h *Hub) Join(name string) (*Peer, error) { return h.join(name, false) }

// JoinStamped is Join for a peer that is told of each message when it was written
// to it: before the payload stands a stamp line (wire.AppendStamp) whose instant
// is taken right before the write. Its messages are framed one by one, where
// the others share a frame.
func (h *Hub) JoinStamped(name string) (*Peer, error) { return h.join(name, true) }

func (h *Hub) join(name string, stamped bool) (*Peer, error) {
	s := &h.shards[maphash.String(h.seed, name)%shardCount]
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.closed.Load() {
		return nil, ErrClosed
	}
	p := &Peer{hub: h, shard: s, id: h.lastID.Add(1), stamped: stamped, wake: make(chan struct{}, 1)}
	h.members.Add(1)
	s.add(name, p)
	return p, nil
}

// Shutdown lets no new peer in and closes every one with 1001 (going away)
// once its queue is written. Where ctx has a deadline, half the time to it is
// for draining: a queue that is not empty then is dropped and counted. At the
// end of ctx the connections that are left are cut off, and the error wraps
// that of ctx. Shutdown returns when every peer has left.
func (h *Hub) Shutdown(ctx context.Context) error {
	h.closed.Store(true)
	// A Join that still saw the hub open is over once its shard has been visited.
	h.each(func(p *Peer) { p.finish(endShutdown()) })

	left := make(chan struct{})
	go func() {
		h.members.Wait()
		close(left)
	}()

	drain := ctx
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		drain, cancel = context.WithTimeout(ctx, time.Until(deadline)/2)
		defer cancel()
	}
	select {
	case <-left:
		return nil
	case <-drain.Done():
		h.each((*Peer).discard)
	}
	select {
	case <-left:
		return nil
	case <-ctx.Done():
		cut := 0
		h.each(func(p *Peer) { cut++; p.abort() })
		<-left
		if cut == 0 {
			return nil // the last one left by itself
		}
		return fmt.Errorf("close %d peers of the relay: %w", cut, context.Cause(ctx))
	}
}

// Stats returns the counters as they are now.
func (h *Hub) Stats() Stats {
	var st Stats
	for i := range h.shards {
		s := &h.shards[i]
		s.mu.Lock()
		st.Rooms += len(s.rooms)
		st.Peers += s.peers
		s.mu.Unlock()
		s.counters.addTo(&st)
	}
	return st
}

// each calls f for every peer, with no lock held.
func (h *Hub) each(f func(*Peer)) {
	for i := range h.shards {
		for _, p := range h.shards[i].all() {
			f(p)
		}
	}
}
