package functions

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/edgeload/edgeload/internal/refserver/retry"
	"github.com/edgeload/edgeload/internal/wire"
)

// jobReport is the body of a callback.
type jobReport struct {
	ID          string    `json:"id"`
	QueuedAt    time.Time `json:"queued_at"`
	StartedAt   time.Time `json:"started_at"`
	CompletedAt time.Time `json:"completed_at"` // when it ended, well or not
	Status      string    `json:"status"`       // completed or failed
	Error       string    `json:"error,omitempty"`
}

// poster posts JSON for background jobs.
type poster struct {
	retrier *Retrier
	policy  retry.Policy
}

// slack posts a message as Slack's incoming webhooks take it.
func (p poster) slack(ctx context.Context, job string, to *url.URL, text string) (tried, error) {
	return p.post(ctx, "webhook", job, to, struct {
		Text string `json:"text"`
	}{text})
}

// callback reports the end of a job.
func (p poster) callback(ctx context.Context, to *url.URL, report jobReport) (tried, error) {
	return p.post(ctx, "callback", report.ID, to, report)
}

// post makes a call that is well if it is answered 2xx. In ground truth its id is
// that of the job, a slash and what it is.
func (p poster) post(ctx context.Context, what, job string, to *url.URL, v any) (tried, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return tried{}, fmt.Errorf("encode the %s: %w", what, err)
	}
	t := p.retrier.do(ctx, NameTrackEvent, job+"/"+what, p.policy, Call{
		Method: http.MethodPost, URL: to, Body: body,
		Header: http.Header{"Content-Type": {"application/json"}, wire.HeaderJobID: {job}},
	})
	switch last := t.Last(); {
	case t.ok():
		return t, nil
	case last.Err != nil:
		return t, fmt.Errorf("post the %s: %w", what, last.Err)
	case len(t.Attempts) == 0:
		return t, fmt.Errorf("post the %s: %w", what, context.Cause(ctx))
	}
	return t, fmt.Errorf("post the %s: %s answered %s", what, to.Host, t.summary())
}
