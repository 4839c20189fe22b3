package functions

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/edgeload/edgeload/internal/refserver/edge"
	"github.com/edgeload/edgeload/internal/refserver/retry"
	"github.com/edgeload/edgeload/internal/refserver/truth"
	"github.com/edgeload/edgeload/internal/wire"
)

// Bounds of track-event.
const (
	maxTrackRequest   = 64 << 10 // bytes of a request's body
	maxTrackText      = 1024     // bytes of user_id and event_type
	maxTrackURL       = 2048     // bytes of webhook_url and callback_url, which wait with the job
	maxJobID          = 128
	maxWorkCPU        = time.Minute
	maxWorkSleep      = time.Hour
	defaultMaxPending = 10_000
)

// Metrics is where track-event counts events. Package store has it.
type Metrics interface {
	// UpdateUserMetrics counts an event once for each job, whole or not at all.
	UpdateUserMetrics(ctx context.Context, userID, event, jobID string) error
	// HasJob says whether it has counted that of a job.
	HasJob(ctx context.Context, jobID string) (bool, error)
}

// TrackEventOptions sets up a TrackEvent. Metrics and Retrier must be set.
type TrackEventOptions struct {
	Metrics    Metrics
	Retrier    *Retrier      // of webhooks and callbacks
	Policy     *retry.Policy // by which they are tried; nil: DefaultPostPolicy
	Webhook    *url.URL      // posted to where a request names no webhook_url; nil: none
	MaxPending int           // jobs that may be pending in the process; 0: 10,000
	Ledger     *truth.Ledger
	Log        *slog.Logger // nil: discard
}

// TrackEvent is the guide's background job. By POST it takes
//
//	{"user_id": "…", "event_type": "…"}
//
// answers {"queued": true} at once, and does the rest behind the answer, as the
// runtime's waitUntil allows: it counts the event in the metrics of the user, and
// posts "User … triggered …" to a webhook in Slack's form. A request may also have
//
//	"id"            of the job, letters, digits and ._:- only; else one is made. It is in the header X-Job-Id
//	"webhook_url"   in place of the configured one
//	"callback_url"  gets {id, queued_at, started_at, completed_at, status, error} when the job has ended
//	"work"          {"cpu": "20ms", "sleep": "1s"}: the aggregation before the metrics, simulated
//
// Ground truth has every step of a job (kind truth.Job). It is queued there before
// the answer is written, so that whoever was promised a job can look it up, whatever
// happens to the process. Every job that was queued ends in exactly one of
// completed, failed and lost; lost ones are those that the end of the worker
// overtook. A job whose metrics cannot be written fails, and posts no webhook: the
// guide would post it, because supabase-js reports errors without throwing them.
//
// Pending jobs are bounded, for each worker by the runtime and for the process by
// MaxPending: beyond, the answer is 503, and the refusal is counted.
type TrackEvent struct {
	metrics    Metrics
	poster     poster
	webhook    *url.URL
	maxPending int64
	ledger     *truth.Ledger
	log        *slog.Logger
	grace      time.Duration // updateGrace
	pending    atomic.Int64
}

// NewTrackEvent returns the function.
func NewTrackEvent(o TrackEventOptions) *TrackEvent {
	t := &TrackEvent{
		metrics: o.Metrics, webhook: o.Webhook, maxPending: int64(o.MaxPending), ledger: o.Ledger, log: o.Log, grace: updateGrace,
		poster: poster{retrier: o.Retrier, policy: retry.Policy(DefaultPostPolicy())},
	}
	if o.Policy != nil {
		t.poster.policy = *o.Policy
	}
	if t.maxPending == 0 {
		t.maxPending = defaultMaxPending
	}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	return t
}

// Pending is how many jobs are pending.
func (t *TrackEvent) Pending() int { return int(t.pending.Load()) }

// trackRequest is a request's body.
type trackRequest struct {
	UserID      string `json:"user_id"`
	EventType   string `json:"event_type"`
	ID          string `json:"id"`
	WebhookURL  string `json:"webhook_url"`
	CallbackURL string `json:"callback_url"`
	Work        struct {
		CPU   duration `json:"cpu"`
		Sleep duration `json:"sleep"`
	} `json:"work"`
}

// ServeHTTP queues one job.
func (t *TrackEvent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !edge.AllowMethod(w, r, http.MethodPost) {
		return
	}
	j, err := t.read(w, r)
	if err != nil {
		status := http.StatusBadRequest
		if errors.Is(err, ErrNotAllowed) {
			status = http.StatusForbidden
		}
		edge.WriteError(w, status, "", err.Error())
		return
	}
	if err := t.queue(r.Context(), j); err != nil {
		t.record(j, eventRefused, err.Error())
		w.Header().Set("Retry-After", "1")
		edge.WriteError(w, http.StatusServiceUnavailable, edge.CodeFunctionError, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set(wire.HeaderJobID, j.id)
	_, _ = io.WriteString(w, `{"queued":true}`) // the client has left: its job goes on
}

// queue starts the job behind the answer. When it returns nil, ground truth has it.
func (t *TrackEvent) queue(ctx context.Context, j *job) error {
	if t.pending.Add(1) > t.maxPending {
		t.pending.Add(-1)
		return edge.ErrTooManyTasks
	}
	queued := make(chan struct{})
	err := edge.InvocationOf(ctx).WaitUntil(func(ctx context.Context) {
		defer t.pending.Add(-1)
		<-queued
		t.run(ctx, j)
	})
	if err != nil {
		t.pending.Add(-1)
		return err
	}
	j.queuedAt = time.Now()
	t.record(j, eventQueued, strings.Join(j.steps(), " "))
	close(queued)
	return nil
}

// read reads the request. The error says what is wrong with it.
func (t *TrackEvent) read(w http.ResponseWriter, r *http.Request) (*job, error) {
	var req trackRequest
	if err := readJSON(w, r, maxTrackRequest, &req); err != nil {
		return nil, err
	}
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for name, value := range map[string]string{"user_id": req.UserID, "event_type": req.EventType} {
		if value == "" || len(value) > maxTrackText || strings.Contains(value, "\x00") { // which no text of PostgreSQL holds
			bad("%s: want a string of 1 to %d bytes, none of them zero", name, maxTrackText)
		}
	}
	if req.ID == "" {
		req.ID = rand.Text()
	} else if !isJobID(req.ID) {
		bad("id: want 1 to %d letters, digits and ._:-", maxJobID)
	}
	if req.Work.CPU < 0 || time.Duration(req.Work.CPU) > maxWorkCPU {
		bad("work.cpu: want at most %s", maxWorkCPU)
	}
	if req.Work.Sleep < 0 || time.Duration(req.Work.Sleep) > maxWorkSleep {
		bad("work.sleep: want at most %s", maxWorkSleep)
	}
	j := &job{
		id: req.ID, userID: req.UserID, event: req.EventType,
		cpu: time.Duration(req.Work.CPU), sleep: time.Duration(req.Work.Sleep), webhook: t.webhook,
	}
	for _, field := range []struct {
		name, text string
		to         **url.URL
	}{{"webhook_url", req.WebhookURL, &j.webhook}, {"callback_url", req.CallbackURL, &j.callback}} {
		if field.text == "" {
			continue
		}
		if len(field.text) > maxTrackURL {
			bad("%s: want at most %d bytes", field.name, maxTrackURL)
			continue
		}
		u, err := ParseCallURL(field.text)
		if err == nil {
			err = t.poster.retrier.Outbound.check(u)
		}
		if err != nil {
			bad("%s: %w", field.name, err)
		}
		*field.to = u
	}
	return j, errors.Join(errs...)
}

// isJobID reports whether a caller may name a job so.
func isJobID(id string) bool {
	return id != "" && len(id) <= maxJobID && !strings.ContainsFunc(id, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._:-", r)
	})
}
