package llm

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// statusOverloaded is Anthropic's own status for overloaded_error.
const statusOverloaded = 529

// apiError is an answer that is not a message: a status and what to say.
type apiError struct {
	status     int
	message    string
	param      string        // the parameter at fault, OpenAI only; empty: none
	retryAfter time.Duration // 0: no Retry-After
}

func invalid(format string, args ...any) *apiError {
	return &apiError{status: http.StatusBadRequest, message: fmt.Sprintf(format, args...)}
}

// at names the parameter at fault.
func (e *apiError) at(param string) *apiError {
	e.param = param
	return e
}

// askedStatus reads the header that asks for an error; nil when it is absent.
func askedStatus(name, text string) (status int, fault *apiError) {
	if text == "" {
		return 0, nil
	}
	status, err := parseStatus(text)
	if err != nil {
		return 0, invalid("header %s: %v", name, err)
	}
	return status, nil
}

// parseStatus reads the status of an error.
func parseStatus(text string) (int, error) {
	status, err := strconv.Atoi(text)
	if err != nil || status < 400 || status > 599 {
		return 0, fmt.Errorf("status %q: want a number from 400 to 599", text)
	}
	return status, nil
}

// write answers with the API's error body. Retry-After counts whole seconds, so a
// part of one is told in Retry-After-Ms, which the official clients prefer.
func (e *apiError) write(w http.ResponseWriter, d dialect, requestID string) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	if e.retryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((e.retryAfter+time.Second-1)/time.Second), 10))
		if e.retryAfter%time.Second != 0 {
			h.Set("Retry-After-Ms", strconv.FormatFloat(float64(e.retryAfter)/float64(time.Millisecond), 'f', -1, 64))
		}
	}
	w.WriteHeader(e.status)
	_, _ = w.Write(d.errorBody(e, requestID)) // the client has left: nobody to tell
}

// failureMessage is what an error event says beside its type.
func failureMessage(kind string) string {
	if kind == "overloaded_error" {
		return "Overloaded"
	}
	return "asked for by a fault: " + kind
}

// marshal encodes what cannot fail to encode: strings, numbers and structs of them.
func marshal(v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		return []byte("null")
	}
	return body
}
