package functions

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/edgeload/edgeload/internal/refserver/retry"
	"github.com/edgeload/edgeload/internal/refserver/truth"
)

// Events of a logical request in ground truth, of kind truth.Retry. Its last event is
// a retry.Stop. So the upstream's load is attempt + retry, and the load that was
// offered to it is attempt alone.
const (
	eventAttempt = "attempt" // the first
	eventRetry   = "retry"   // each further one; Due is the instant that the policy set
)

// Retrier makes calls by retry policies, says so to ground truth, and shares its
// budgets among all of them. Outbound must be set; it may be used concurrently.
type Retrier struct {
	Outbound *Outbound
	Budgets  *retry.Budgets // nil: no policy has one
	Ledger   *truth.Ledger
}

// tried is what came of a logical request.
type tried struct {
	retry.Result
	reply Reply // of the last attempt; zero where that ended in an error
}

// do makes a call by a policy, as what function name does under id.
func (r *Retrier) do(ctx context.Context, name, id string, policy retry.Policy, call Call) tried {
	var budget retry.Budget
	if r.Budgets != nil {
		budget = r.Budgets.Of(policy)
	}
	var t tried
	t.Result = retry.Do(ctx, policy, budget, func(ctx context.Context, a retry.Attempt) retry.Outcome {
		event := eventAttempt
		if a.N > 1 {
			event = eventRetry
		}
		r.Ledger.Add(truth.Record{Kind: truth.Retry, Name: name, ID: id, Event: event, At: a.Began, Due: a.Due, Detail: call.URL.Host})
		var err error
		t.reply, err = r.Outbound.Do(ctx, call)
		return outcome(t.reply, err)
	})
	r.Ledger.Add(truth.Record{Kind: truth.Retry, Name: name, ID: id, Event: string(t.Stop), Detail: t.summary()})
	return t
}

// outcome is a reply or an error as a policy sees it.
func outcome(reply Reply, err error) retry.Outcome {
	if err != nil {
		return retry.Outcome{Err: err, Final: errors.Is(err, ErrNotAllowed)}
	}
	o := retry.Outcome{Status: reply.Status}
	o.RetryAfter, o.Asked = retry.ParseRetryAfter(reply.Header.Get("Retry-After-Ms"), reply.Header.Get("Retry-After"), time.Now())
	return o
}

// summary says what came of it in a few words.
func (t tried) summary() string {
	last := t.Last()
	switch {
	case len(t.Attempts) == 0:
		return "no attempt"
	case last.Err != nil:
		return fmt.Sprintf("%s after %d attempts", errorClass(last.Err), len(t.Attempts))
	}
	return fmt.Sprintf("%d after %d attempts", last.Status, len(t.Attempts))
}

// ok reports whether it ended in a status of 2xx.
func (t tried) ok() bool {
	last := t.Last()
	return last.Err == nil && last.Status/100 == 2
}

// classOther is the class of an error that is none of the known kinds.
const classOther = "other"

// errorClass names the kind of error in which a call ended.
func errorClass(err error) string {
	var (
		dns     *net.DNSError
		timeout net.Error
		cert    *tls.CertificateVerificationError
		record  tls.RecordHeaderError
	)
	switch {
	case errors.Is(err, ErrNotAllowed):
		return "not_allowed"
	case errors.Is(err, retry.ErrAttemptTimeout):
		return "attempt_timeout"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "canceled"
	case errors.As(err, &dns):
		return "dns"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "cut"
	case errors.As(err, &cert), errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return "tls"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	}
	return classOther
}
