package engine

import (
	"fmt"

	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// beginSide begins what goes on beside the workloads.
func (r *run) beginSide(id string) error {
	if r.plan.Side == nil {
		return nil
	}
	err := r.plan.Side.Begin(Run{
		ID: id, Seed: r.plan.Scenario.Seed, Clock: r.clock,
		Warmup: r.warmup, End: r.end, Stopping: r.stopping, alarm: r.alarm,
	})
	if err != nil {
		return fmt.Errorf("beside the workloads: %w", err)
	}
	return nil
}

// endSide ends it; res is nil where the run came to nothing.
func (r *run) endSide(res *result.Result) {
	if r.plan.Side != nil {
		r.plan.Side.End(res)
	}
}
