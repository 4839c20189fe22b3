package functions

import (
	"net/http"

	"github.com/edgeload/edgeload/internal/refserver/edge"
)

// upstreamAnswer is the client's answer as an upstream writes it. The upstream has
// a header of its own; what the client sees of it is decided when the status comes.
type upstreamAnswer struct {
	client http.ResponseWriter
	rc     flusher // the client's
	header http.Header
	status int  // 0 until the header is written
	done   bool // the upstream returned
}

func newUpstreamAnswer(client http.ResponseWriter) *upstreamAnswer {
	a := &upstreamAnswer{client: client, header: make(http.Header)}
	if f, ok := client.(flusher); ok {
		a.rc = f
	} else {
		a.rc = controller{http.NewResponseController(client)}
	}
	return a
}

// flusher is what response writers that can say so flush by.
type flusher interface{ FlushError() error }

// controller flushes any other.
type controller struct{ *http.ResponseController }

func (c controller) FlushError() error { return c.Flush() }

// Header is the upstream's header.
func (a *upstreamAnswer) Header() http.Header { return a.header }

// WriteHeader begins the client's answer: with the guide's header where the
// upstream has a stream, else with what the upstream says.
func (a *upstreamAnswer) WriteHeader(status int) {
	if a.status != 0 {
		return
	}
	a.status = status
	h := a.client.Header()
	copyHeaders(h, a.header, answeredHeaders...)
	if status == http.StatusOK {
		h.Set("Content-Type", "text/event-stream")
		h.Set("Cache-Control", "no-cache")
		h.Set("Connection", "keep-alive")
		h.Set("Access-Control-Allow-Origin", "*")
	} else if status >= http.StatusInternalServerError {
		h.Set(edge.HeaderErrorCode, edge.CodeFunctionError)
	}
	a.client.WriteHeader(status)
}

// Write writes to the client.
func (a *upstreamAnswer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	return a.client.Write(b)
}

// FlushError flushes to the client.
func (a *upstreamAnswer) FlushError() error {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	return a.rc.FlushError()
}
