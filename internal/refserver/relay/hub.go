package relay

import (
	"context"
	"hash/maphash"
	"sync/atomic"
)

// Hub is the part of a Relay that lies in one worker's memory. Its methods may be
// called concurrently.
type Hub struct {
	relay *Relay
	dead  atomic.Bool
}

// NewHub returns the Hub of a worker that lives until ctx ends: then every socket
// of the Hub is cut without a Close frame, and nobody can join it any more.
func (r *Relay) NewHub(ctx context.Context) *Hub {
	h := &Hub{relay: r}
	context.AfterFunc(ctx, h.cut)
	return h
}

// cut ends the Hub.
func (h *Hub) cut() {
	h.dead.Store(true)
	// A Join that still saw the hub alive is over once its shard has been visited.
	h.relay.each(func(p *Peer) {
		if p.part.hub == h {
			p.abort()
		}
	})
}

// Join makes a new peer a member of the named room, which comes into being
// with its first peer. From here on its queue takes what the others send. The
// caller must call Start or Leave, whatever happens. With a broker, Join waits for
// the room's subscription where there is a connection to the broker. The error is
// ErrClosed or that of ctx.
func (h *Hub) Join(ctx context.Context, name string) (*Peer, error) { return h.join(ctx, name, false) }

// JoinStamped is Join for a peer that is told of each message when it was written
// to it: before the payload stands a stamp line (wire.AppendStamp) whose instant
// is taken right before the write. Its messages are framed one by one, where
// the others share a frame.
func (h *Hub) JoinStamped(ctx context.Context, name string) (*Peer, error) {
	return h.join(ctx, name, true)
}

func (h *Hub) join(ctx context.Context, name string, stamped bool) (*Peer, error) {
	p, err := h.add(name, stamped)
	if err != nil {
		return nil, err
	}
	if err := p.part.room.channel.joined(ctx); err != nil {
		p.Leave()
		return nil, err
	}
	return p, nil
}

// add makes a new member.
func (h *Hub) add(name string, stamped bool) (*Peer, error) {
	r := h.relay
	s := &r.shards[maphash.String(r.seed, name)%shardCount]
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.closed.Load() || h.dead.Load() {
		return nil, ErrClosed
	}
	p := &Peer{id: r.lastID.Add(1), stamped: stamped}
	r.members.Add(1)
	s.add(h, name, p)
	return p, nil
}
