//go:build !linux

package llm

import "context"

// Run waits for ctx to end: without timerfd there is nothing to ring.
func (a *Alarm) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
