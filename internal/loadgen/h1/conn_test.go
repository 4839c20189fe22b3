package h1

import (
	"net/http"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/rxtime"
)

// A counter is a handler that wants more and counts.
type counter struct{ heads, pieces, bytes int }

func (*counter) Opened(bool, time.Time) {}
func (*counter) Sent(rxtime.Stamp)      {}
func (h *counter) Head(*http.Response, time.Time, rxtime.Stamp, uint64) Next {
	h.heads++
	return More
}

func (h *counter) Body(p []byte, _ rxtime.Stamp, _ uint64) Next {
	h.pieces++
	h.bytes += len(p)
	return More
}
func (*counter) End(error) {}

// What comes of a body reaches the handler without an allocation.
func TestBodyAllocatesNothing(t *testing.T) {
	h := new(counter)
	c := &conn{
		client: &Client{}, loop: &loop{heads: newHeadReader()},
		x: &exchange{client: &Client{}, handler: h, req: &http.Request{Method: http.MethodGet}},
	}
	stamp := rxtime.Stamp{At: time.Now()}
	head := []byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	if over, err := c.take(head, stamp, 1); over || err != nil || h.heads != 1 {
		t.Fatalf("over %v, %v, %d heads", over, err, h.heads)
	}
	chunk := []byte("5\r\nhello\r\n")
	const runs = 100
	if n := testing.AllocsPerRun(runs, func() {
		if over, err := c.take(chunk, stamp, 2); over || err != nil {
			t.Fatal(over, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a chunk", n)
	}
	if h.pieces != runs+1 || h.bytes != 5*(runs+1) {
		t.Errorf("%d pieces of %d bytes, want %d of 5 each", h.pieces, h.bytes, runs+1)
	}
}
