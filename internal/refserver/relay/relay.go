// Package relay passes messages between the peers of a room: everyone in the
// room but the sender gets each message, text or binary, unchanged and in the
// order its sender sent it.
//
// It knows rooms, peers, the bounded queue of each peer, the slow-consumer
// rule, the life of one WebSocket connection, and the broker that carries
// messages beyond one worker. It does not know HTTP: who may come in, how the
// handshake is answered and how counters are published is the caller's affair.
//
// # Workers
//
// A Relay is one function in one process. Its members sit in workers, each of
// which has its Hub; a room may have a part in every one of them. How far a
// message goes is the broker's affair:
//
//   - memory: it reaches the members in its sender's own worker, as a map in an
//     isolate's memory does. The Relay knows how many members the room has in
//     all workers of the process, and counts what each message would have been
//     owed to the whole room and what the split has cost (Stats.Split).
//   - Redis: it goes through the room's channel and reaches all members in all
//     workers of all processes, those in the sender's own worker too. See Redis
//     below.
//
// Counters belong to the Relay and outlive workers. When a worker dies its
// sockets are cut without a Close frame, as the platform does it.
//
// # Peers
//
// A peer is a member of its room from Join to the end of its connection. The
// caller joins before it answers the handshake and hands the connection to
// Peer.Start afterwards, so that a client that has seen its 101 misses nothing.
//
// A message is framed once in a process, and the same bytes are written to
// every receiver. Framing costs a fixed scratch buffer of about 4 KiB of garbage
// beside the frame itself, whatever the number of receivers; a frame lives until
// its last receiver has taken or dropped it.
//
// Publishing to memory holds no lock of the room: it walks a snapshot of the
// members and takes only the lock of each receiver's queue, for the time of one
// append. The snapshot is made by the first publish after a change, so that a
// thousand joins in a row copy nothing.
//
// A peer has one goroutine that reads; another one is there only while there is
// something to write.
//
// What waits for a peer is bounded by Options.QueueMessages and
// Options.QueueBytes, plus the one message being written; what the kernel
// holds for its socket is bounded by the system (net.ipv4.tcp_wmem). Nothing is
// lost silently: see Stats.
//
// # Redis
//
// A room has one channel, Options.Redis.Prefix, "room:" and the room's name, and each
// process subscribes to it once, from its first local member to its last: sharded
// pub/sub (SSUBSCRIBE, SPUBLISH) where the server has it and is no cluster, else
// plain; a cluster passes plain messages to all its nodes, so any one may be named.
// A join is answered when the subscription is confirmed, or at once while there
// is no connection.
//
// Publishing puts a message into one bounded queue. Where it is full, the reader
// of the sending socket waits up to Options.Redis.PublishWait, then the message is
// lost. While Redis is away nothing is kept: what is published in the gap is lost,
// as on the platform. Both are counted as PublishFailed.
//
// What the members have missed is counted where they are, exactly: each process
// numbers what it publishes in a room, lost or not, and the others see the jump.
// So that the end of a gap shows too, a process announces its numbers in a room
// when it enters it, after every loss, and when another asks for them, which
// each does whenever it has subscribed. A number is either delivered once or
// counted once in GapMessages: what comes late is not delivered any more. A process
// that starts anew, or comes back to a room it had left, counts as another one.
// GapDeliveries is the gap times the local members (but the sender) at the moment
// it is noticed, so it is exact where none came or went during the gap. A process that
// has left a room is asked too, on a channel that all are subscribed to, for a minute
// after the others could know of it.
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

// ErrClosed is what Join returns once Shutdown has begun or the worker is dead.
var ErrClosed = errors.New("relay is shutting down")

// shardCount spreads joins, leaves and counters over this many locks.
const shardCount = 64

// Relay holds all rooms of one function in one process. Its methods may be called
// concurrently.
type Relay struct {
	options Options
	broker  broker
	seed    maphash.Seed
	lastID  atomic.Uint64
	closed  atomic.Bool
	members sync.WaitGroup // one for each peer between Join and Leave
	shards  [shardCount]shard
	buffers sync.Pool // of *bytes.Buffer, for the payload being read
}

// New returns a Relay without workers, or an error that names every option at
// fault.
func New(o Options) (*Relay, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	r := &Relay{options: o, seed: maphash.MakeSeed(), broker: memory{}}
	if o.Broker != BrokerMemory {
		if r.broker, err = newRedis(o); err != nil {
			return nil, fmt.Errorf("relay broker: %w", err)
		}
	}
	r.buffers.New = func() any { return new(bytes.Buffer) }
	for i := range r.shards {
		r.shards[i].rooms = make(map[string]*room)
	}
	return r, nil
}

// Run keeps the broker's connections until ctx ends, which must be after Shutdown:
// the last messages go out through them. It is called once; with the memory broker
// it has nothing to do but wait. A broker that is away is no error: it is
// connected to when it comes back.
func (r *Relay) Run(ctx context.Context) error { return r.broker.run(ctx) }

// Shutdown lets no new peer in and closes every one with 1001 (going away)
// once its queue is written. Where ctx has a deadline, half the time to it is
// for draining: a queue that is not empty then is dropped and counted. At the
// end of ctx the connections that are left are cut off, and the error wraps
// that of ctx. Shutdown returns when every peer has left.
func (r *Relay) Shutdown(ctx context.Context) error {
	r.closed.Store(true)
	// A Join that still saw the relay open is over once its shard has been visited.
	r.each(func(p *Peer) { p.finish(endShutdown()) })

	left := make(chan struct{})
	go func() {
		r.members.Wait()
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
		r.each((*Peer).discard)
	}
	select {
	case <-left:
		return nil
	case <-ctx.Done():
		cut := 0
		r.each(func(p *Peer) { cut++; p.abort() })
		<-left
		if cut == 0 {
			return nil // the last one left by itself
		}
		return fmt.Errorf("close %d peers of the relay: %w", cut, context.Cause(ctx))
	}
}

// Stats returns the counters as they are now.
func (r *Relay) Stats() Stats {
	var st Stats
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		st.Rooms += len(s.rooms)
		st.Peers += s.peers
		s.mu.Unlock()
		s.counters.addTo(&st)
	}
	r.broker.stats(&st.Broker)
	st.RoomOwed = st.Offered + st.Split + st.Broker.GapDeliveries
	return st
}

// each calls f for every peer, with no lock held.
func (r *Relay) each(f func(*Peer)) {
	for i := range r.shards {
		for _, p := range r.shards[i].all() {
			f(p)
		}
	}
}
