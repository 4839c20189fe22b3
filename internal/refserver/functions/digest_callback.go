package functions

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/edgeload/edgeload/internal/refserver/truth"
	"github.com/edgeload/edgeload/internal/wire"
)

// digestReport is the body of a digest's callback.
type digestReport struct {
	Job         string    `json:"job"`
	Run         string    `json:"run,omitempty"`
	ScheduledAt time.Time `json:"scheduled_at,omitzero"`
	ReceivedAt  time.Time `json:"received_at"`
}

// callback tells to that a call has come, with the headers that say for which instant
// it was scheduled. In ground truth its instant is when it was begun.
func (d *morningDigest) callback(ctx context.Context, to *url.URL, call truth.Record) {
	ctx, cancel := context.WithTimeout(ctx, PostTimeout)
	defer cancel()
	sent := call
	sent.At, sent.Event, sent.Detail = time.Now(), eventCallbackSent, ""
	status, err := d.post(ctx, to, call)
	switch {
	case err != nil:
		sent.Event, sent.Detail = eventCallbackFailed, err.Error()
	case status/100 != 2:
		sent.Event, sent.Detail = eventCallbackFailed, fmt.Sprint(status)
	default:
		sent.Detail = fmt.Sprint(status)
	}
	d.ledger.Add(sent)
}

func (d *morningDigest) post(ctx context.Context, to *url.URL, call truth.Record) (status int, err error) {
	body, err := json.Marshal(digestReport{Job: call.Name, Run: call.ID, ScheduledAt: call.Due, ReceivedAt: call.At.UTC()})
	if err != nil {
		return 0, fmt.Errorf("encode the callback: %w", err)
	}
	header := http.Header{"Content-Type": {"application/json"}, wire.HeaderCronJob: {headerValue(call.Name)}}
	if call.ID != "" {
		header.Set(wire.HeaderCronRun, headerValue(call.ID))
	}
	if !call.Due.IsZero() {
		header.Set(wire.HeaderCronScheduled, call.Due.UTC().Format(time.RFC3339Nano))
	}
	reply, err := d.outbound.Do(ctx, Call{Method: http.MethodPost, URL: to, Header: header, Body: body})
	return reply.Status, err
}

// readCallback reads a digest's callback_url, which the allow-list must let pass.
func (d *morningDigest) readCallback(text string) (*url.URL, error) {
	if text == "" {
		return nil, nil
	}
	u, err := ParseCallURL(text)
	if err == nil {
		err = d.outbound.check(u)
	}
	if err != nil {
		return nil, fmt.Errorf("callback_url: %w", err)
	}
	return u, nil
}
