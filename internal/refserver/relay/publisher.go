package relay

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/rueidis"
)

const (
	// batch is how many messages are sent before their answers are waited for.
	batch = 256

	// lastWords bounds the publishing of what is queued at the end.
	lastWords = time.Second
)

// publishing publishes what is queued until ctx ends. Whenever the server refuses a
// message or cannot be reached it counts as away, from which it comes back when it
// answers.
func (b *redis) publishing(ctx context.Context, client rueidis.Client) {
	var tries backoff
	for first, up := true, false; ; first = false {
		if !up {
			if err := b.look(ctx, client); err != nil {
				b.outbox.away()
				if ctx.Err() != nil {
					return
				}
				if first {
					b.options.Logger.Warn("broker is away", "publishing", err)
				}
				tries.wait(ctx, b.kick)
				continue
			}
			up = true
			b.outbox.back()
		}
		select {
		case <-b.outbox.wake:
		case <-ctx.Done():
			b.finish(ctx, client)
			return
		}
		taken, err := b.send(ctx, client, b.outbox.take())
		if taken > 0 {
			tries = backoff{}
		}
		if err == nil {
			b.outbox.speak()
			continue
		}
		up = false
		b.outbox.away()
		if ctx.Err() == nil {
			b.options.Logger.Warn("broker is away", "publishing", err)
			tries.wait(ctx, b.kick)
		}
	}
}

// finish publishes what is queued and lets nothing more in.
func (b *redis) finish(ctx context.Context, client rueidis.Client) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	if _, err := b.send(ctx, client, b.outbox.take()); err != nil {
		b.options.Logger.Warn("last messages to the broker", "error", err)
	}
	b.outbox.away()
}

// send publishes items in their order and returns how many the server took, and why
// it did not take one of the others, which are lost.
func (b *redis) send(ctx context.Context, client rueidis.Client, items []item) (taken int, err error) {
	commands := make([]rueidis.Completed, 0, min(batch, len(items)))
	for len(items) > 0 {
		now := items[:min(batch, len(items))]
		items = items[len(now):]
		if err != nil {
			for i := range now {
				b.outbox.lost(&now[i])
			}
			continue
		}
		commands = commands[:0]
		for i := range now {
			commands = append(commands, b.command(client.B(), &now[i]))
		}
		for i, answer := range client.DoMulti(ctx, commands...) {
			if e := answer.Error(); e != nil {
				b.outbox.lost(&now[i])
				err = fmt.Errorf("publish: %w", e)
				continue
			}
			b.outbox.accepted(&now[i])
			taken++
		}
	}
	return taken, err
}

// command publishes one item.
func (b *redis) command(builder rueidis.Builder, it *item) rueidis.Completed {
	message := rueidis.BinaryString(it.envelope)
	if b.sharded.Load() {
		return builder.Spublish().Channel(it.stay.name).Message(message).Build()
	}
	return builder.Publish().Channel(it.stay.name).Message(message).Build()
}
