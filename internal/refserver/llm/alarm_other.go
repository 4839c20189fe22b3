//go:build !linux

package llm

import (
	"context"
	"time"
)

// timer stands in where there is no timerfd.
type timer struct{}

func (timer) set(time.Duration) {}

// Run waits for ctx to end: without timerfd there is nothing to ring.
func (a *Alarm) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
