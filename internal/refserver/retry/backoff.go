package retry

import (
	"math/rand/v2"
	"time"
)

// The guide's own numbers.
const (
	guideUnit   = time.Second
	guideJitter = time.Second
)

// backoff draws the waits of one logical request. It is not safe for concurrent
// use.
type backoff struct {
	policy Policy
	draw   *rand.Rand
	n      int           // retries so far
	before time.Duration // the last wait, for decorrelated
}

func newBackoff(p Policy) *backoff {
	seed := p.Seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	return &backoff{policy: p, draw: rand.New(rand.NewPCG(seed, 0)), before: p.Base}
}

// next is the wait before the next retry.
func (b *backoff) next() time.Duration {
	n, p := b.n, b.policy
	b.n++
	switch p.Kind {
	case Guide:
		return doubled(guideUnit, n, MaxWait<<MaxAttempts) + b.uniform(0, guideJitter)
	case Full:
		return b.uniform(0, doubled(p.Base, n, p.Cap))
	case Equal:
		half := doubled(p.Base, n, p.Cap) / 2
		return half + b.uniform(0, half)
	case Decorrelated:
		b.before = min(p.Cap, b.uniform(p.Base, 3*b.before))
		return b.before
	}
	return 0
}

// uniform draws from [low, high), and is low where that is empty.
func (b *backoff) uniform(low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	return low + time.Duration(b.draw.Int64N(int64(high-low)))
}

// doubled is min(limit, d·2ⁿ), without overflow.
func doubled(d time.Duration, n int, limit time.Duration) time.Duration {
	for range n {
		if d >= limit {
			break
		}
		d *= 2
	}
	return min(d, limit)
}
