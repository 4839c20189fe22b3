package edge

import (
	"encoding/json"
	"net/http"
	"strings"
)

// StatusLimit is the platform's status for a request whose worker was killed by a
// limit before it had answered.
const StatusLimit = 546

// Codes of the platform's error answers.
const (
	CodeNotFound      = "NOT_FOUND"           // 404: no such function
	CodeWorkerError   = "WORKER_ERROR"        // 500: the function panicked
	CodeFunctionError = "EDGE_FUNCTION_ERROR" // the function's own 5xx
	CodeBootError     = "BOOT_ERROR"          // 503: no worker started, or none became free in time
	CodeIdleTimeout   = "IDLE_TIMEOUT"        // 504: nothing was sent in time

	// The platform documents its two codes of 546 in one breath. Here the first
	// tells of what a worker uses up, CPU time and memory, the second of the other
	// two limits: the wall clock, and the size of a response.
	CodeResourceLimit = "WORKER_RESOURCE_LIMIT"
	CodeWorkerLimit   = "WORKER_LIMIT"
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

// limitAnswer is the answer to a request that a limit ended before it had begun to
// answer.
func limitAnswer(reason Reason) (status int, code, message string) {
	switch reason {
	case ReasonCPU:
		return StatusLimit, CodeResourceLimit, "the worker was killed: its CPU time was used up"
	case ReasonMemory:
		return StatusLimit, CodeResourceLimit, "the worker was killed: its memory was used up"
	default:
		return StatusLimit, CodeWorkerLimit, "the worker was killed: its wall clock ran out"
	}
}

// forget drops what a function had put into the header of an answer that is not to
// be; what is the server's own stays.
func forget(h http.Header) {
	for name := range h {
		if name != "Vary" && !strings.HasPrefix(name, "Access-Control-") {
			delete(h, name)
		}
	}
}
