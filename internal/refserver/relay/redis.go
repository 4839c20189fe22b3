package relay

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"

	"github.com/redis/rueidis"
	"golang.org/x/sync/errgroup"
)

// redis is the broker that reaches every member in every process that names the
// same server.
type redis struct {
	options  Options
	connect  rueidis.ClientOption
	process  uint64 // random
	lastStay atomic.Uint64
	outbox   *outbox
	wake     chan struct{} // holds a token when there is something in changed
	kick     chan struct{} // holds a token when the publisher should try again at once
	sharded  atomic.Bool   // as found on the last connection
	roll     *stay         // in no room: its channel is every process's

	mu      sync.RWMutex        // last in the order of locks (shard)
	stays   map[string]*stay    // by channel
	changed map[string]struct{} // channels whose stay has begun or ended
	down    chan struct{}       // closed while there is no subscribing connection
	joined  bool                // there is one

	received, invalid, gapMessages, gapDeliveries, reconnects atomic.Uint64
	subscriptions                                             atomic.Int64
}

// newRedis returns a broker that is not connected yet.
func newRedis(o Options) (*redis, error) {
	connect, err := clientOptions(o)
	if err != nil {
		return nil, err
	}
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	b := &redis{
		options: o,
		connect: connect,
		process: binary.BigEndian.Uint64(id[:]),
		wake:    make(chan struct{}, 1),
		kick:    make(chan struct{}, 1),
		stays:   make(map[string]*stay),
		changed: make(map[string]struct{}),
		down:    make(chan struct{}),
	}
	b.outbox = newOutbox(&b.options.Redis)
	b.roll = b.stay("roll")
	b.stays[b.roll.name] = b.roll
	return b, nil
}

// clientOptions reads the broker's URL. Its errors do not repeat it: it may hold a
// password.
func clientOptions(o Options) (rueidis.ClientOption, error) {
	u, err := url.Parse(o.Broker)
	if err != nil {
		var parse *url.Error
		if errors.As(err, &parse) {
			err = parse.Err
		}
		return rueidis.ClientOption{}, fmt.Errorf("broker: read the URL: %w", err)
	}
	if u.Scheme != "redis" && u.Scheme != "rediss" {
		return rueidis.ClientOption{}, fmt.Errorf("broker: scheme %q: want memory, redis://… or rediss://…", u.Scheme)
	}
	c, err := rueidis.ParseURL(o.Broker)
	if err != nil {
		return rueidis.ClientOption{}, fmt.Errorf("broker: %w", err)
	}
	if c.Sentinel.MasterSet != "" || len(c.InitAddress) != 1 {
		return rueidis.ClientOption{}, errors.New("broker: want one server; sentinels and lists of servers are not supported")
	}
	c.ForceSingleClient = true
	c.DisableRetry = true     // what is lost in a gap is lost, and counted
	c.DisableCache = true     // nothing is read
	c.AlwaysPipelining = true // a connection that breaks is noticed while nothing is sent
	c.PipelineMultiplex = -1  // one connection, for one order
	c.ClientName = "edgeload-relay"
	c.Dialer.Timeout = o.Redis.Timeout
	c.ConnWriteTimeout = o.Redis.Timeout
	return c, nil
}

// open begins a stay in a room.
func (b *redis) open(r *room) channel {
	s := b.stay("room:" + r.name)
	s.room = r
	s.heard.ledger.open(s.origin) // what it says itself is owed from the first
	b.mu.Lock()
	s.heard.ledger.late = b.isDown()
	b.stays[s.name] = s
	b.changed[s.name] = struct{}{}
	b.mu.Unlock()
	signal(b.wake)
	return s
}

// stay returns a new stay on a channel.
func (b *redis) stay(channel string) *stay {
	return &stay{
		redis:     b,
		name:      b.options.Redis.Prefix + channel,
		origin:    origin{b.process, b.lastStay.Add(1)},
		confirmed: make(chan struct{}),
	}
}

// leave ends a stay. The room may have another one already.
func (b *redis) leave(s *stay) {
	b.mu.Lock()
	if b.stays[s.name] == s {
		delete(b.stays, s.name)
	}
	b.changed[s.name] = struct{}{}
	b.mu.Unlock()
	b.outbox.depart(s)
	signal(b.wake)
}

// run connects, and connects again, until ctx ends. Then it publishes what is
// queued, if that can be done at once.
func (b *redis) run(ctx context.Context) error {
	client, err := rueidis.NewClient(b.connect) // dials: an error is that of the first try
	if client == nil {
		return fmt.Errorf("broker: %w", err)
	}
	defer client.Close()
	var loops errgroup.Group
	loops.Go(func() error { b.publishing(ctx, client); return nil })
	loops.Go(func() error { b.subscribing(ctx, client); return nil })
	return loops.Wait()
}

// isDown reports whether there is no subscribing connection, and that is known. The
// caller holds b.mu.
func (b *redis) isDown() bool {
	select {
	case <-b.down:
		return true
	default:
		return false
	}
}

// outage returns a channel that is closed while there is no subscribing connection,
// and not while the first one is being made.
func (b *redis) outage() <-chan struct{} {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.down
}

// stats fills in the counters.
func (b *redis) stats(st *BrokerStats) {
	published, failed, up := b.outbox.counts()
	b.mu.RLock()
	joined := b.joined
	b.mu.RUnlock()
	*st = BrokerStats{
		Connected:     up && joined,
		Subscriptions: int(max(0, b.subscriptions.Load()-1)), // but for the roll
		Published:     published,
		PublishFailed: failed,
		Received:      b.received.Load(),
		Invalid:       b.invalid.Load(),
		GapMessages:   b.gapMessages.Load(),
		GapDeliveries: b.gapDeliveries.Load(),
		Reconnects:    b.reconnects.Load(),
	}
}

// look finds out which kind of pub/sub the server has. Sharded pub/sub in a cluster
// would need a connection for each of its nodes, while plain messages go to all.
func (b *redis) look(ctx context.Context, client rueidis.CoreClient) error {
	if err := client.Do(ctx, client.B().Ping().Build()).Error(); err != nil {
		return err
	}
	sharded := false
	if !b.options.Redis.Plain {
		// Servers that do not know the questions, or a user that may not ask them, have
		// an error for an answer: then it is plain.
		commands, err := client.Do(ctx, client.B().Arbitrary("COMMAND", "INFO", "SPUBLISH", "SSUBSCRIBE").Build()).ToArray()
		sharded = err == nil && len(commands) == 2 && !commands[0].IsNil() && !commands[1].IsNil()
		hello, err := client.Do(ctx, client.B().Arbitrary("HELLO").Build()).AsMap()
		mode := hello["mode"]
		if text, notText := mode.ToString(); err != nil || notText != nil || text == "cluster" {
			sharded = false
		}
	}
	b.sharded.Store(sharded)
	return nil
}

// signal puts a token into a channel that holds one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
