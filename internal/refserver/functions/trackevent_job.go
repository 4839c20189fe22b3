package functions

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/edgeload/edgeload/internal/refserver/edge"
	"github.com/edgeload/edgeload/internal/refserver/truth"
)

// Events of a job in ground truth. Each queued is followed by exactly one of
// completed, failed and lost.
const (
	eventRefused        = "refused" // it was never queued
	eventQueued         = "queued"  // Detail: the steps it has to do
	eventStarted        = "started"
	eventMetricsUpdated = "metrics_updated"
	eventWebhookSent    = "webhook_sent"
	eventCompleted      = "completed"
	eventFailed         = "failed"
	eventLost           = "lost"
	eventCallbackSent   = "callback_sent"
	eventCallbackFailed = "callback_failed"
)

// stepWebhook stands in the Detail of eventQueued where there is one to post.
const stepWebhook = "webhook"

// updateGrace is how long an update that has begun may go on after its worker's end,
// and the question whether it was written after that.
const updateGrace = 2 * time.Second

// job is one job of track-event.
type job struct {
	id, userID, event string
	cpu, sleep        time.Duration
	webhook, callback *url.URL // nil: none

	queuedAt, startedAt time.Time
}

// steps are what the job has to do.
func (j *job) steps() []string {
	steps := []string{"metrics"}
	if j.webhook != nil {
		steps = append(steps, stepWebhook)
	}
	if j.callback != nil {
		steps = append(steps, "callback")
	}
	return steps
}

// errWorkerEnded marks the error of a job that the end of its worker overtook.
var errWorkerEnded = errors.New("the worker ended")

// run does a job. Its error goes to ground truth and to the callback: nobody else
// waits for it.
func (t *TrackEvent) run(ctx context.Context, j *job) {
	j.startedAt = time.Now()
	t.record(j, eventStarted, "")
	err := t.pipeline(ctx, j)
	report := jobReport{
		ID: j.id, QueuedAt: j.queuedAt.UTC(), StartedAt: j.startedAt.UTC(), CompletedAt: time.Now().UTC(), Status: eventCompleted,
	}
	switch {
	case err == nil:
		t.record(j, eventCompleted, "")
	case ctx.Err() != nil || errors.Is(err, errWorkerEnded):
		t.record(j, eventLost, err.Error())
		return // with its worker: nobody is left to call back
	default:
		report.Status, report.Error = eventFailed, err.Error()
		t.record(j, eventFailed, err.Error())
		t.log.Warn("background job failed", "function", NameTrackEvent, "job", j.id, "error", err)
	}
	if j.callback == nil {
		return
	}
	if done, err := t.poster.callback(ctx, j.callback, report); err != nil {
		t.record(j, eventCallbackFailed, err.Error())
	} else {
		t.record(j, eventCallbackSent, done.summary())
	}
}

// pipeline is the guide's runAnalyticsPipeline.
func (t *TrackEvent) pipeline(ctx context.Context, j *job) error {
	if err := work(ctx, j.cpu, j.sleep); err != nil {
		return err
	}
	if err := t.update(ctx, j); err != nil {
		return err
	}
	t.record(j, eventMetricsUpdated, "")
	if j.webhook == nil {
		return nil
	}
	done, err := t.poster.slack(ctx, j.id, j.webhook, fmt.Sprintf("User %s triggered %s", j.userID, j.event))
	if err != nil {
		return err
	}
	t.record(j, eventWebhookSent, done.summary())
	return nil
}

// update counts the event. What has been sent to the database is the database's to
// finish, as on the platform: the end of the worker does not take it back, so that
// a job is not called lost whose row appears later.
func (t *TrackEvent) update(ctx context.Context, j *job) error {
	longer, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() {
		time.AfterFunc(t.grace, func() { cancel(context.Cause(ctx)) })
	})()
	err := t.metrics.UpdateUserMetrics(longer, j.userID, j.event, j.id)
	if err == nil || t.counted(ctx, j) {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w before the metrics were written: %w", errWorkerEnded, err)
	}
	return fmt.Errorf("update the metrics: %w", err)
}

// counted asks whether an update was written though its answer did not come. A
// database that cannot say so has not shown that it was.
func (t *TrackEvent) counted(ctx context.Context, j *job) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.grace)
	defer cancel()
	has, err := t.metrics.HasJob(ctx, j.id)
	if err != nil {
		t.log.Warn("cannot tell whether a job was counted", "function", NameTrackEvent, "job", j.id, "error", err)
	}
	return has && err == nil
}

// record puts an event of a job into ground truth.
func (t *TrackEvent) record(j *job, event, detail string) {
	r := truth.Record{Kind: truth.Job, Name: NameTrackEvent, ID: j.id, Event: event, Detail: detail}
	if event == eventQueued {
		r.At = j.queuedAt
	}
	t.ledger.Add(r)
}

// work uses so much CPU time, then waits.
func work(ctx context.Context, cpu, rest time.Duration) error {
	if cpu > 0 {
		if _, err := burn(ctx, edge.InvocationOf(ctx), cpu); err != nil {
			return fmt.Errorf("%w: %w", errWorkerEnded, err)
		}
	}
	if sleep(ctx, rest); ctx.Err() != nil {
		return fmt.Errorf("%w before the metrics were written: %w", errWorkerEnded, context.Cause(ctx))
	}
	return nil
}
