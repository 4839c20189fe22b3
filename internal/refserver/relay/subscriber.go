package relay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"unsafe"

	"github.com/redis/rueidis"
)

// mostChannels is how many channels one command subscribes to.
const mostChannels = 512

// errDisconnected is why a subscribing connection ended that gave no reason.
var errDisconnected = errors.New("connection closed")

// subscribing keeps a connection on which every stay's channel is subscribed to,
// until ctx ends.
func (b *redis) subscribing(ctx context.Context, client rueidis.Client) {
	var tries backoff
	for connected := false; ; {
		err := b.subscription(ctx, client, func() {
			tries = backoff{}
			if connected {
				b.reconnects.Add(1)
			}
			connected = true
			b.options.Logger.Info("broker is there", "sharded", b.sharded.Load())
		})
		b.subscriptions.Store(0)
		if b.disconnected() && ctx.Err() == nil {
			b.options.Logger.Warn("broker is away", "subscribing", err)
		}
		if ctx.Err() != nil {
			return
		}
		tries.wait(ctx, nil)
	}
}

// subscription makes a connection, subscribes and calls ready; then it keeps the
// channels those of the stays until ctx ends or the connection fails, and returns
// why.
func (b *redis) subscription(ctx context.Context, client rueidis.Client, ready func()) error {
	conn, release := client.Dedicate()
	defer release()
	defer conn.Close()
	lost := conn.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: b.receive})
	if err := b.look(ctx, conn); err != nil {
		return err
	}
	channels := &subscribed{conn: conn, sharded: b.sharded.Load(), names: make(map[string]struct{})}
	if err := b.settle(ctx, channels, b.all()); err != nil {
		return err
	}
	b.connected()
	ready()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-lost:
			if err == nil {
				err = errDisconnected
			}
			return err
		case <-b.wake:
			if err := b.settle(ctx, channels, b.changes()); err != nil {
				return err
			}
		}
	}
}

// subscribed is the channels of one connection. It is used by one goroutine.
type subscribed struct {
	conn    rueidis.DedicatedClient
	sharded bool
	names   map[string]struct{}
}

// settle subscribes to those of the named channels that have a stay, and gives up
// those that have none.
func (b *redis) settle(ctx context.Context, c *subscribed, names []string) error {
	var more, fewer []string
	for _, name := range names {
		_, have := c.names[name]
		s := b.on(name)
		switch {
		case s == nil && have:
			fewer = append(fewer, name)
		case s != nil && have:
			s.confirm() // of a room that was left and entered again meanwhile
		case s != nil:
			more = append(more, name)
		}
	}
	for group := range slices.Chunk(more, mostChannels) {
		if err := c.subscribe(ctx, group); err != nil {
			return fmt.Errorf("subscribe to %d channels: %w", len(group), err)
		}
		for _, name := range group {
			c.names[name] = struct{}{}
			if s := b.on(name); s != nil {
				s.confirm()
			}
		}
	}
	for group := range slices.Chunk(fewer, mostChannels) {
		if err := c.unsubscribe(ctx, group); err != nil {
			return fmt.Errorf("unsubscribe from %d channels: %w", len(group), err)
		}
		for _, name := range group {
			delete(c.names, name)
		}
	}
	b.subscriptions.Store(int64(len(c.names)))
	return nil
}

func (c *subscribed) subscribe(ctx context.Context, names []string) error {
	if c.sharded {
		return c.conn.Do(ctx, c.conn.B().Ssubscribe().Channel(names...).Build()).Error()
	}
	return c.conn.Do(ctx, c.conn.B().Subscribe().Channel(names...).Build()).Error()
}

func (c *subscribed) unsubscribe(ctx context.Context, names []string) error {
	if c.sharded {
		return c.conn.Do(ctx, c.conn.B().Sunsubscribe().Channel(names...).Build()).Error()
	}
	return c.conn.Do(ctx, c.conn.B().Unsubscribe().Channel(names...).Build()).Error()
}

// receive takes a message off a channel. It does not block.
func (b *redis) receive(m rueidis.PubSubMessage) {
	s := b.on(m.Channel)
	if s == nil {
		return // the last member has just left
	}
	// The bytes are read and copied, never written.
	e, err := parseEnvelope(unsafe.Slice(unsafe.StringData(m.Message), len(m.Message)))
	if err != nil {
		if b.invalid.Add(1) == 1 {
			b.options.Logger.Warn("foreign message on a channel of the relay", "channel", m.Channel, "error", err)
		}
		return
	}
	if s == b.roll {
		if e.ask && e.origin != s.origin {
			b.outbox.recall()
		}
		return
	}
	s.hear(&e)
}

// on returns the stay on a channel, or nil.
func (b *redis) on(name string) *stay {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.stays[name]
}

// all returns the channels of all stays, and forgets what has changed before. After
// an outage all are late.
func (b *redis) all() []string {
	b.mu.Lock()
	clear(b.changed)
	down := b.isDown()
	stays := slices.Collect(maps.Values(b.stays))
	b.mu.Unlock()
	names := make([]string, 0, len(stays))
	for _, s := range stays {
		if down {
			s.late() // takes a lock that comes before b.mu
		}
		names = append(names, s.name)
	}
	return names
}

// changes returns the channels whose stay has begun or ended since the last call.
func (b *redis) changes() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	names := make([]string, 0, len(b.changed))
	for name := range b.changed {
		names = append(names, name)
	}
	clear(b.changed)
	return names
}

// connected notes that what is published arrives.
func (b *redis) connected() {
	b.mu.Lock()
	b.joined = true
	if b.isDown() {
		b.down = make(chan struct{})
	}
	b.mu.Unlock()
	signal(b.kick)
}

// disconnected notes that it does not. It reports whether that is new.
func (b *redis) disconnected() (news bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.joined = false
	if b.isDown() {
		return false
	}
	close(b.down)
	return true
}
