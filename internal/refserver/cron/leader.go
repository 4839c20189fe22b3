package cron

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/edgeload/edgeload/internal/refserver/store"
)

// What Takeover is made of: a leader that is killed is noticed at the next poll, one
// that stands still at the next poll after its lease is over.
const (
	leaseTTL = 3 * time.Second
	poll     = 500 * time.Millisecond
	patience = 2 * time.Second // with the database in one statement of a leader, ticks included
)

// newHolder is a name for this Scheduler that no other has.
func newHolder() string {
	host, err := os.Hostname()
	if err != nil {
		host = "?"
	}
	return fmt.Sprintf("%s:%d:%s", host, os.Getpid(), rand.Text()[:8])
}

// campaign waits for the lead; nil is the end of ctx.
func (s *Scheduler) campaign(ctx context.Context) *store.Lease {
	timer := time.NewTimer(0)
	defer timer.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		if ctx.Err() != nil { // both were
			return nil
		}
		attempt, cancel := context.WithTimeout(ctx, leaseTTL)
		lease, err := s.o.Store.Lead(attempt, s.holder, leaseTTL)
		cancel()
		if err == nil {
			return lease
		}
		if !errors.Is(err, store.ErrLed) && ctx.Err() == nil && err.Error() != said {
			said = err.Error() // once for each reason, not at each poll
			s.o.Log.Warn("cron: cannot try to lead", "error", err)
		}
		timer.Reset(poll)
	}
}

// release gives up what is left of a lease, so that another can lead at once.
func release(ctx context.Context, lease *store.Lease) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	_ = lease.Release(ctx) // it is over one way or the other: what cannot be given up expires
}
