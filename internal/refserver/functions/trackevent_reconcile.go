package functions

import (
	"cmp"
	"context"
	"fmt"
	"maps"
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
// not posted. Call it before the first request, with the ledger that was opened on
// the earlier process's file; it stops at the first error of either.
func ReconcileJobs(ctx context.Context, ledger *truth.Ledger, has func(ctx context.Context, jobID string) (bool, error)) (Reconciled, error) {
	type open struct {
		first   uint64 // Seq of the first record
		times   int    // an id may have been queued twice
		webhook bool
	}
	unfinished := make(map[string]*open)
	for r, err := range ledger.Records(truth.Job) {
		if err != nil {
			return Reconciled{}, fmt.Errorf("reconcile jobs: %w", err)
		}
		if r.Name != NameTrackEvent {
			continue
		}
		o := unfinished[r.ID]
		if o == nil {
			if r.Event != eventQueued {
				continue // after its end, as a callback is
			}
			o = &open{first: r.Seq}
			unfinished[r.ID] = o
		}
		switch r.Event {
		case eventQueued:
			o.times++
			o.webhook = slices.Contains(strings.Fields(r.Detail), stepWebhook)
		case eventWebhookSent:
			o.webhook = false
		case eventCompleted, eventFailed, eventLost:
			if o.times--; o.times <= 0 {
				delete(unfinished, r.ID) // a ledger may tell of millions
			}
		}
	}
	ids := slices.SortedFunc(maps.Keys(unfinished), func(a, b string) int { return cmp.Compare(unfinished[a].first, unfinished[b].first) })
	var done Reconciled
	for _, id := range ids {
		o := unfinished[id]
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
