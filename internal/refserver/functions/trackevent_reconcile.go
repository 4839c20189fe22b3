package functions

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/edgeload/edgeload/internal/refserver/truth"
)

// Reconciled is how many jobs of an earlier process ended without a word, by what
// became of them.
type Reconciled struct {
	Completed int // all they had to do was done
	Lost      int
}

// ReconcileJobs gives the jobs of track-event that an earlier process has queued and
// never finished, because it was killed, their end in ground truth: completed where
// has, which is the store's HasJob, knows of them and they had no webhook left to
// post, else lost. A webhook that was posted right before the kill may so count as
// not posted. records are those of the earlier process, in their order; the ends go
// to ledger. It stops at the first error of has.
func ReconcileJobs(ctx context.Context, ledger *truth.Ledger, records []truth.Record, has func(ctx context.Context, jobID string) (bool, error)) (Reconciled, error) {
	type open struct {
		times   int // an id may have been queued twice
		webhook bool
	}
	var order []string
	unfinished := make(map[string]*open)
	for _, r := range records {
		if r.Kind != truth.Job || r.Name != NameTrackEvent {
			continue
		}
		o := unfinished[r.ID]
		if o == nil {
			o = new(open)
			unfinished[r.ID] = o
			order = append(order, r.ID)
		}
		switch r.Event {
		case eventQueued:
			o.times++
			o.webhook = slices.Contains(strings.Fields(r.Detail), stepWebhook)
		case eventWebhookSent:
			o.webhook = false
		case eventCompleted, eventFailed, eventLost:
			o.times--
		}
	}
	var done Reconciled
	for _, id := range order {
		o := unfinished[id]
		if o.times <= 0 {
			continue
		}
		counted, err := has(ctx, id)
		if err != nil {
			return done, fmt.Errorf("reconcile job %s: %w", id, err)
		}
		event, detail := eventLost, "the process ended before the metrics were written"
		switch {
		case counted && o.webhook:
			detail = "the process ended after the metrics were written and before the webhook was known to be posted"
		case counted:
			event, detail = eventCompleted, "the process ended before it could say so"
		}
		for range o.times {
			ledger.Add(truth.Record{Kind: truth.Job, Name: NameTrackEvent, ID: id, Event: event, Detail: detail})
		}
		if event == eventCompleted {
			done.Completed += o.times
		} else {
			done.Lost += o.times
		}
	}
	return done, nil
}
