package llm

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// apiError is an answer that is not a message: a status and what to say.
type apiError struct {
	status  int
	message string
}

func invalid(format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// statusOverloaded is the real API's own status for overloaded_error.
const statusOverloaded = 529

// errorType names the error as the Messages API does for that status.
func errorType(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "authentication_error"
	case http.StatusForbidden:
		return "permission_error"
	case http.StatusNotFound:
		return "not_found_error"
	case http.StatusRequestEntityTooLarge:
		return "request_too_large"
	case http.StatusTooManyRequests:
		return "rate_limit_error"
	case http.StatusGatewayTimeout:
		return "timeout_error"
	case statusOverloaded:
		return "overloaded_error"
	}
	if status >= 500 {
		return "api_error"
	}
	return "invalid_request_error"
}

// askedStatus reads the header that asks for an error; nil when it is absent.
func askedStatus(name, text string) *apiError {
	if text == "" {
		return nil
	}
	status, err := strconv.Atoi(text)
	if err != nil || status < 400 || status > 599 {
		return invalid("header %s: status %q: want a number from 400 to 599", name, text)
	}
	return &apiError{status, "asked for by header " + name}
}

// write answers with the Messages API's error body.
func (e *apiError) write(w http.ResponseWriter, requestID string) {
	type inner struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	}
	body, err := json.Marshal(struct {
		Type      string `json:"type"`
		Error     inner  `json:"error"`
		RequestID string `json:"request_id"`
	}{"error", inner{errorType(e.status), e.message}, requestID})
	if err != nil { // strings alone cannot fail to encode
		body = nil
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.status)
	_, _ = w.Write(body) // the client has left: nobody to tell
}
