package relay

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Options sets up a Relay. Its zero value is a working relay; a field
// left at zero takes the default that stands beside it.
type Options struct {
	// Broker is what carries messages between workers and processes: BrokerMemory,
	// nothing does; or the URL of a Redis server,
	// redis://[user:password@]host[:port][/db], rediss:// over TLS. Default
	// BrokerMemory.
	Broker string

	// Redis sets the limits of a Redis broker.
	Redis RedisOptions

	// QueueMessages bounds the messages that wait for one peer. Default 256.
	QueueMessages int

	// QueueBytes bounds the payload bytes that wait for one peer. An empty queue
	// takes one message of any size that MaxMessage admits. Default 4 MiB.
	QueueBytes int

	// Slow says what happens to a peer whose queue is full. Default SlowClose.
	Slow SlowRule

	// MaxMessage is the largest payload, in bytes, a peer may send; a larger
	// one closes its sender with 1009. Default 1 MiB.
	MaxMessage int

	// PingInterval is the time between two pings to a peer. It must be shorter
	// than IdleTimeout. Default 20 s.
	PingInterval time.Duration

	// IdleTimeout is how long a peer may stay silent, pongs included, before it
	// is closed with 1008. Default 60 s.
	IdleTimeout time.Duration

	// WriteTimeout bounds each write to a peer; a peer that takes longer is cut
	// off without a Close frame, for a frame may be half written. Default 10 s.
	WriteTimeout time.Duration

	// CloseTimeout bounds the wait for a peer's answer to a Close frame.
	// Default 2 s.
	CloseTimeout time.Duration

	// Logger receives one warning for each slow or stalled peer that is closed,
	// with its room and id, and one line for each time the broker comes or goes.
	// Default: nothing is logged.
	Logger *slog.Logger
}

// BrokerMemory is the broker that goes no further than a worker.
const BrokerMemory = "memory"

// RedisOptions sets the limits of a Redis broker. Its zero value works.
type RedisOptions struct {
	// Prefix begins the names of all channels. Default "edgeload:relay:".
	Prefix string

	// Plain keeps to plain pub/sub where the server has sharded pub/sub too. All
	// processes of a room must have the same.
	Plain bool

	// QueueMessages bounds the messages that wait to be published. Default 8192.
	QueueMessages int

	// QueueBytes bounds their bytes. An empty queue takes one message of any size.
	// Default 16 MiB.
	QueueBytes int

	// PublishWait is how long the reader of a socket waits for a place in a full
	// queue while Redis is there; then its message is lost. Default 1 s.
	PublishWait time.Duration

	// Timeout bounds the making of a connection, and the wait for an answer, after
	// which Redis counts as away. Default 3 s.
	Timeout time.Duration
}

// withDefaults returns o with every zero field replaced, or all that is wrong
// with it.
func (o Options) withDefaults() (Options, error) {
	var errs []error
	count := func(field string, v *int, def int) {
		if *v < 0 {
			errs = append(errs, fmt.Errorf("%s is %d: must not be negative", field, *v))
		}
		if *v == 0 {
			*v = def
		}
	}
	span := func(field string, v *time.Duration, def time.Duration) {
		if *v < 0 {
			errs = append(errs, fmt.Errorf("%s is %v: must not be negative", field, *v))
		}
		if *v == 0 {
			*v = def
		}
	}
	count("QueueMessages", &o.QueueMessages, 256)
	count("QueueBytes", &o.QueueBytes, 4<<20)
	count("MaxMessage", &o.MaxMessage, 1<<20)
	span("PingInterval", &o.PingInterval, 20*time.Second)
	span("IdleTimeout", &o.IdleTimeout, 60*time.Second)
	span("WriteTimeout", &o.WriteTimeout, 10*time.Second)
	span("CloseTimeout", &o.CloseTimeout, 2*time.Second)
	count("Redis.QueueMessages", &o.Redis.QueueMessages, 8192)
	count("Redis.QueueBytes", &o.Redis.QueueBytes, 16<<20)
	span("Redis.PublishWait", &o.Redis.PublishWait, time.Second)
	span("Redis.Timeout", &o.Redis.Timeout, 3*time.Second)
	if o.Broker == "" {
		o.Broker = BrokerMemory
	}
	if o.Redis.Prefix == "" {
		o.Redis.Prefix = "edgeload:relay:"
	}
	if o.Broker != BrokerMemory {
		if _, err := clientOptions(o); err != nil {
			errs = append(errs, err)
		}
	}
	if o.Slow != SlowClose && o.Slow != SlowDropOldest {
		errs = append(errs, fmt.Errorf("no slow-consumer rule %d in Slow", int(o.Slow)))
	}
	if o.PingInterval >= o.IdleTimeout {
		errs = append(errs, fmt.Errorf("PingInterval %v is not shorter than IdleTimeout %v", o.PingInterval, o.IdleTimeout))
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if len(errs) > 0 {
		return Options{}, fmt.Errorf("relay options: %w", errors.Join(errs...))
	}
	return o, nil
}

// SlowRule says what happens to a peer that does not read as fast as its room
// speaks. Its text forms are "close" and "drop-oldest".
type SlowRule int

const (
	// SlowClose closes the peer with 1013 (try again later) when its queue
	// overflows. What waited for it is dropped and counted.
	SlowClose SlowRule = iota

	// SlowDropOldest keeps the peer and drops the oldest messages that wait for
	// it, as many as the new one needs.
	SlowDropOldest
)

// String returns the text form of the rule.
func (r SlowRule) String() string {
	switch r {
	case SlowClose:
		return "close"
	case SlowDropOldest:
		return "drop-oldest"
	}
	return fmt.Sprintf("SlowRule(%d)", int(r))
}

// MarshalText writes the text form of the rule.
func (r SlowRule) MarshalText() ([]byte, error) {
	if r != SlowClose && r != SlowDropOldest {
		return nil, fmt.Errorf("slow-consumer rule %d: no such rule", int(r))
	}
	return []byte(r.String()), nil
}

// UnmarshalText reads the text form of a rule, as a flag or a file gives it.
func (r *SlowRule) UnmarshalText(text []byte) error {
	switch string(text) {
	case "close":
		*r = SlowClose
	case "drop-oldest":
		*r = SlowDropOldest
	default:
		return fmt.Errorf("slow-consumer rule %q: want close or drop-oldest", text)
	}
	return nil
}
