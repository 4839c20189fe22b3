package functions

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/edgeload/edgeload/internal/refserver/retry"
	"github.com/edgeload/edgeload/internal/wire"
)

// PostTimeout is how long one attempt of a webhook or a callback may take where its
// policy does not say. Without a wall clock nothing else would end a job whose
// listener never answers.
const PostTimeout = 10 * time.Second

// PostPolicy is the policy of webhooks and callbacks. It has retry.Policy's text
// form, but an attempt_timeout that is not given is PostTimeout, of the kinds guide
// and none too: for none at all the text says attempt_timeout=0s.
type PostPolicy retry.Policy

// DefaultPostPolicy is full jitter.
func DefaultPostPolicy() PostPolicy {
	p := retry.Default(retry.Full)
	p.AttemptTimeout = PostTimeout
	return PostPolicy(p)
}

// keyTimeout stands in a policy's text where it says attempt_timeout: no other key
// ends so, and no value has an equals sign.
const keyTimeout = "attempt_timeout="

// UnmarshalText reads a policy.
func (p *PostPolicy) UnmarshalText(text []byte) error {
	var read retry.Policy
	if err := read.UnmarshalText(text); err != nil {
		return err
	}
	if !bytes.Contains(text, []byte(keyTimeout)) {
		read.AttemptTimeout = PostTimeout
	}
	*p = PostPolicy(read)
	return nil
}

// MarshalText writes what UnmarshalText reads, attempt_timeout always.
func (p PostPolicy) MarshalText() ([]byte, error) {
	text, err := retry.Policy(p).MarshalText()
	if err != nil || p.AttemptTimeout != 0 {
		return text, err
	}
	if bytes.ContainsRune(text, ':') {
		return append(text, ","+keyTimeout+"0s"...), nil
	}
	return append(text, ":"+keyTimeout+"0s"...), nil
}

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
