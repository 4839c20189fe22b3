package functions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/edgeload/edgeload/internal/refserver/edge"
	"github.com/edgeload/edgeload/internal/refserver/truth"
	"github.com/edgeload/edgeload/internal/wire"
)

// Events of a call to morning-digest in ground truth, of kind truth.Cron.
const (
	eventReceived = "received" // Due: the instant for which the run was scheduled
	eventAnswered = "answered" // Detail: the status, or cut
)

const maxDigestRequest = 64 << 10 // bytes of a request's body

// Users counts those whom a digest goes to. Package store has it.
type Users interface {
	Users(ctx context.Context) (int64, error)
}

// MorningDigest is the function that the guide's cron job calls. By POST it takes
// nothing, or {}, and answers {"sent": n}, n being the users that have metrics. Who
// calls and for which instant is read from the headers X-Cron-Job, X-Cron-Run and
// X-Cron-Scheduled-At, and ground truth has when the call came and was answered.
// Where the server verifies tokens, the service role alone is believed: of others the
// headers are not read, as of a call by hand. The name and the run are UTF-8 of at
// most truth.MaxText bytes, the instant is one of the years 0 to 9999 in UTC.
//
// Runs that overlap or fail can be had on purpose: the body may have "sleep", such as
// "90s", before the answer, and "status", from 200 to 599, to be answered.
//
// Someone else may watch the runs: the body may have "callback_url", which gets {job,
// run, scheduled_at, received_at} and the same headers by a POST of outbound, as soon as
// the call has come. It is tried once, for PostTimeout; what comes of it stands in
// ground truth, and has no bearing on the answer.
func MorningDigest(users Users, outbound *Outbound, ledger *truth.Ledger, log *slog.Logger) http.Handler {
	return &morningDigest{users: users, outbound: outbound, ledger: ledger, log: log}
}

type morningDigest struct {
	users    Users
	outbound *Outbound
	ledger   *truth.Ledger
	log      *slog.Logger
}

// digestRequest is a request's body.
type digestRequest struct {
	Sleep       duration `json:"sleep"`
	Status      int      `json:"status"`
	CallbackURL string   `json:"callback_url"`
}

// ServeHTTP sends one digest.
func (d *morningDigest) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !edge.AllowMethod(w, r, http.MethodPost) {
		return
	}
	call := truth.Record{Kind: truth.Cron, Name: NameMorningDigest, Event: eventReceived, At: time.Now()} // called by hand
	req, err := readDigest(w, r)
	callback, callbackErr := d.readCallback(req.CallbackURL)
	err = errors.Join(err, callbackErr)
	if role := edge.InvocationOf(r.Context()).Role(); err == nil && (role == "" || role == edge.RoleService) {
		err = readCaller(r.Header, &call)
	}
	if err != nil {
		edge.WriteError(w, http.StatusBadRequest, "", err.Error())
		return
	}
	d.ledger.Add(call)
	if callback != nil {
		d.callback(r.Context(), callback, call)
	}
	call.At = time.Time{} // the ledger's
	call.Event, call.Detail = eventAnswered, d.answer(w, r, req)
	d.ledger.Add(call)
}

// answer answers, and returns the status, or "cut" where the caller has gone or the
// worker has died, which answers for itself.
func (d *morningDigest) answer(w http.ResponseWriter, r *http.Request, req digestRequest) string {
	if !sleep(r.Context(), time.Duration(req.Sleep)) {
		return "cut"
	}
	status := max(req.Status, http.StatusOK)
	if req.Status >= http.StatusBadRequest {
		code := ""
		if req.Status >= http.StatusInternalServerError {
			code = edge.CodeFunctionError
		}
		edge.WriteError(w, status, code, "the digest failed as it was asked to")
		return fmt.Sprint(status)
	}
	n, err := d.users.Users(r.Context())
	if err != nil {
		d.log.Error("count users", "function", NameMorningDigest, "error", err)
		edge.WriteError(w, http.StatusInternalServerError, edge.CodeFunctionError, "the users could not be counted")
		return fmt.Sprint(http.StatusInternalServerError)
	}
	writeJSON(w, status, struct {
		Sent int64 `json:"sent"`
	}{n})
	return fmt.Sprint(status)
}

// readCaller reads which run of which cron job calls, if one does.
func readCaller(h http.Header, call *truth.Record) error {
	for _, text := range []struct {
		header string
		to     *string
	}{{wire.HeaderCronJob, &call.Name}, {wire.HeaderCronRun, &call.ID}} {
		value := h.Get(text.header)
		if len(value) > truth.MaxText || !utf8.ValidString(value) {
			return fmt.Errorf("header %s: want at most %d bytes of UTF-8", text.header, truth.MaxText)
		}
		if value != "" {
			*text.to = value
		}
	}
	value := h.Get(wire.HeaderCronScheduled)
	if value == "" {
		return nil
	}
	due, err := time.Parse(time.RFC3339Nano, value)
	if year := due.UTC().Year(); err != nil || year < 0 || year > 9999 {
		return fmt.Errorf("header %s: want an instant such as 2026-01-31T09:00:00Z", wire.HeaderCronScheduled)
	}
	call.Due = due
	return nil
}

// readDigest reads the request's body, which may be empty.
func readDigest(w http.ResponseWriter, r *http.Request) (digestRequest, error) {
	var req digestRequest
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxDigestRequest))
	if err != nil {
		return req, fmt.Errorf("read the request body: %w", err)
	}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &req); err != nil {
			return req, fmt.Errorf("read the request body as JSON: %w", err)
		}
	}
	if req.Sleep < 0 || time.Duration(req.Sleep) > maxWorkSleep {
		return req, fmt.Errorf("sleep: want at most %s", maxWorkSleep)
	}
	if req.Status != 0 && (req.Status < 200 || req.Status > 599 || req.Status == http.StatusNoContent || req.Status == http.StatusNotModified) {
		return req, fmt.Errorf("status %d: want one from 200 to 599 that has a body", req.Status)
	}
	return req, nil
}

// sleep reports whether d passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
