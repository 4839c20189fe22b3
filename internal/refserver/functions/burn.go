package functions

import (
	"context"
	"time"

	"github.com/edgeload/edgeload/internal/refserver/edge"
)

// burn uses up CPU time, as the invocation counts it, for no longer than ctx lasts.
func burn(ctx context.Context, inv *edge.Invocation, want time.Duration) (used time.Duration, err error) {
	const rounds = 200_000 // well below a millisecond
	before := inv.CPU()
	x := uint64(want)
	err = inv.Compute(func() bool {
		for range rounds {
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
		}
		return x != 0 && inv.CPU()-before < want && ctx.Err() == nil
	})
	if err == nil {
		err = context.Cause(ctx)
	}
	return inv.CPU() - before, err
}
