package functions

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"github.com/edgeload/edgeload/internal/refserver/edge"
	"github.com/edgeload/edgeload/internal/refserver/retry"
)

// Bounds of what a request may ask for.
const (
	maxFetchRequest     = 1 << 20 // bytes of a request's body
	maxFetchMethod      = 32      // bytes
	maxFetchHeaders     = 100
	maxFetchHeaderBytes = 64 << 10 // of all names and values
)

// FetchWithRetry is the guide's fetchWithRetry as a function of its own: by POST it
// takes what to call and the policy,
//
//	{"url": "http://…", "method": "POST", "headers": {"name": "value"}, "body": "…" or any JSON,
//	 "policy": "full:base=100ms,attempts=5" or {"kind": "full", "base": "100ms", "attempts": 5}}
//
// of which url alone is needed: the method is then GET and the policy the guide's.
// It answers with what came of it, and of every attempt: its number, the wait before
// it, the instants at which it was due and began, how long it took, and its status
// or error. The answer is 200 where the upstream's last answer is one that the
// policy does not retry, whatever its status; 502 EDGE_FUNCTION_ERROR, with the same
// body, where fetchWithRetry would have thrown; 403 for an upstream that is not on
// the allow-list; and 400 for a request that cannot be read.
//
// Redirects are followed as fetch does, each held against the allow-list. Other than
// the guide's, whose unread bodies keep connections from being used again, it reads
// every answer. As the guide's, it waits for an answer as long as the request lives:
// an attempt has no timeout unless the policy says attempt_timeout.
func FetchWithRetry(retrier *Retrier) http.Handler {
	return &fetchWithRetry{retrier: retrier}
}

type fetchWithRetry struct {
	retrier *Retrier
}

// fetchRequest is a request's body.
type fetchRequest struct {
	URL     string            `json:"url"`
	Method  string            `json:"method"`
	Headers map[string]string `json:"headers"`
	Body    json.RawMessage   `json:"body"`
	Policy  *policyField      `json:"policy"`
}

// fetchAnswer is an answer's body. Code and Message are those of an error answer.
type fetchAnswer struct {
	Code          string         `json:"code,omitempty"`
	Message       string         `json:"message,omitempty"`
	ID            string         `json:"id"` // of the logical request, in ground truth
	Policy        string         `json:"policy"`
	Stop          retry.Stop     `json:"stop"`
	Status        int            `json:"status,omitempty"` // of the last attempt; none where it had no answer
	Body          string         `json:"body,omitempty"`
	BodyBase64    []byte         `json:"body_base64,omitempty"` // where the body is no UTF-8
	BodyTruncated bool           `json:"body_truncated,omitempty"`
	Attempts      []fetchAttempt `json:"attempts"`
}

// fetchAttempt is one attempt in an answer.
type fetchAttempt struct {
	N          int       `json:"n"`
	WaitMs     float64   `json:"wait_ms"` // that the policy set between the attempt before and this one
	Due        time.Time `json:"due,omitzero"`
	Began      time.Time `json:"began"`
	TookMs     float64   `json:"took_ms"`
	Status     int       `json:"status,omitempty"`
	Error      string    `json:"error,omitempty"`
	ErrorClass string    `json:"error_class,omitempty"`
}

// ServeHTTP makes one call.
func (f *fetchWithRetry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !edge.AllowMethod(w, r, http.MethodPost) {
		return
	}
	call, policy, err := f.read(w, r)
	if err == nil {
		err = f.retrier.Outbound.check(call.URL)
	}
	if err != nil {
		status := http.StatusBadRequest
		if errors.Is(err, ErrNotAllowed) {
			status = http.StatusForbidden
		}
		edge.WriteError(w, status, "", err.Error())
		return
	}
	id := rand.Text()
	t := f.retrier.do(r.Context(), NameFetchWithRetry, id, policy, call)
	held := int64(len(t.reply.Body))
	if err := edge.InvocationOf(r.Context()).Hold(held); err != nil {
		return // the worker is gone, and answers for the function
	}
	defer edge.InvocationOf(r.Context()).Release(held)
	answerFetch(w, id, policy, call.URL, t)
}

// read reads the request. The error says what is wrong with it.
func (f *fetchWithRetry) read(w http.ResponseWriter, r *http.Request) (Call, retry.Policy, error) {
	var req fetchRequest
	if err := readJSON(w, r, maxFetchRequest, &req); err != nil {
		return Call{}, retry.Policy{}, err
	}
	if req.URL == "" {
		return Call{}, retry.Policy{}, errors.New(`the request body has no url: want {"url": "http://…"}`)
	}
	u, err := ParseCallURL(req.URL)
	if err != nil {
		return Call{}, retry.Policy{}, err
	}
	call := Call{Method: req.Method, URL: u, Header: make(http.Header), Body: req.Body, Redirects: fetchRedirects}
	if call.Method == "" {
		call.Method = http.MethodGet
	}
	if len(call.Method) > maxFetchMethod {
		return Call{}, retry.Policy{}, fmt.Errorf("method of %d bytes: want at most %d", len(call.Method), maxFetchMethod)
	}
	if !httpguts.ValidHeaderFieldName(call.Method) { // both are tokens
		return Call{}, retry.Policy{}, fmt.Errorf("method %q: want a token", call.Method)
	}
	size := 0
	for name, value := range req.Headers {
		size += len(name) + len(value)
	}
	if len(req.Headers) > maxFetchHeaders || size > maxFetchHeaderBytes {
		return Call{}, retry.Policy{}, fmt.Errorf("%d headers of %d bytes: want at most %d of %d bytes together",
			len(req.Headers), size, maxFetchHeaders, maxFetchHeaderBytes)
	}
	for name, value := range req.Headers {
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return Call{}, retry.Policy{}, fmt.Errorf("header %q: its name or value cannot stand in a request", name)
		}
		call.Header.Add(name, value)
	}
	var text string
	if json.Unmarshal(req.Body, &text) == nil { // null too, which leaves it empty
		call.Body = []byte(text)
	} else if len(req.Body) > 0 && call.Header.Get("Content-Type") == "" {
		call.Header.Set("Content-Type", "application/json")
	}
	policy := retry.Default(retry.Guide)
	if req.Policy != nil {
		policy = req.Policy.Policy
	}
	return call, policy, nil
}

// answerFetch answers with what came of the call.
func answerFetch(w http.ResponseWriter, id string, policy retry.Policy, u *url.URL, t tried) {
	status, body := http.StatusOK, fetchAnswer{
		ID: id, Policy: policy.String(), Stop: t.Stop, Status: t.Last().Status,
		BodyTruncated: t.reply.Truncated, Attempts: make([]fetchAttempt, len(t.Attempts)),
	}
	if utf8.Valid(t.reply.Body) {
		body.Body = string(t.reply.Body)
	} else {
		body.BodyBase64 = t.reply.Body
	}
	for i, a := range t.Attempts {
		body.Attempts[i] = fetchAttempt{
			N: a.N, WaitMs: milliseconds(a.Wait), Due: a.Due.UTC(), Began: a.Began.UTC(), TookMs: milliseconds(a.Took), Status: a.Outcome.Status,
		}
		if err := a.Outcome.Err; err != nil {
			body.Attempts[i].Error, body.Attempts[i].ErrorClass = err.Error(), errorClass(err)
		}
	}
	if t.Stop != retry.StopAnswered {
		status, body.Code, body.Message = http.StatusBadGateway, edge.CodeFunctionError, thrown(policy, u, t)
		if errors.Is(t.Last().Err, ErrNotAllowed) {
			status, body.Code = http.StatusForbidden, ""
		}
	}
	if body.Code != "" {
		w.Header().Set(edge.HeaderErrorCode, body.Code)
	}
	writeJSON(w, status, body)
}

// thrown is the message of the error in which the function ends: after the guide's
// last attempt no more than the guide says, which has lost what the error was.
func thrown(policy retry.Policy, u *url.URL, t tried) string {
	switch {
	case policy.Kind == retry.Guide && t.Stop == retry.StopExhausted:
		return fmt.Sprintf("All %d attempts failed for %s", len(t.Attempts), u.Host)
	case t.Last().Err != nil:
		return t.Last().Err.Error()
	}
	return fmt.Sprintf("call %s: %s (%s)", u.Host, t.summary(), t.Stop)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
