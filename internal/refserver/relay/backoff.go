package relay

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff is how long to wait before the next try: between half of and the whole of
// a time that doubles from 50 ms to 2 s. Its zero value is that of the first try.
type backoff struct{ last time.Duration }

// next returns the next wait.
func (b *backoff) next() time.Duration {
	b.last = min(max(2*b.last, 50*time.Millisecond), 2*time.Second)
	return b.last/2 + rand.N(b.last/2)
}

// wait waits, no longer than until there is a token in early or ctx ends.
func (b *backoff) wait(ctx context.Context, early <-chan struct{}) {
	timer := time.NewTimer(b.next())
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-early:
	case <-ctx.Done():
	}
}
