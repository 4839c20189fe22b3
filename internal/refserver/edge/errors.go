package edge

import (
	"encoding/json"
	"net/http"
)

// Codes of the platform's error answers.
const (
	CodeNotFound      = "NOT_FOUND"           // 404: no such function
	CodeWorkerError   = "WORKER_ERROR"        // 500: the function panicked
	CodeFunctionError = "EDGE_FUNCTION_ERROR" // the function's own 5xx
)

// HeaderErrorCode carries the code of an error answer.
const HeaderErrorCode = "Sb-Error-Code"

// WriteError answers with a status and {"code":…,"message":…}, the code also in
// HeaderErrorCode. Where the platform has no code for the status, code is empty
// and neither appears.
func WriteError(w http.ResponseWriter, status int, code, message string) {
	body, err := json.Marshal(struct {
		Code    string `json:"code,omitempty"`
		Message string `json:"message"`
	}{code, message})
	if err != nil { // strings alone cannot fail to encode
		body = nil
	}
	if code != "" {
		w.Header().Set(HeaderErrorCode, code)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Del("Content-Length")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client has left: nobody to tell
}
