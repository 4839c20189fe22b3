package peers_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/wire"
)

// The clients of this package must count right before anything is divided by
// what they count.
func TestClientsCount(t *testing.T) {
	was := *cores
	*cores = ""
	t.Cleanup(func() { *cores = was })
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+wire.PathMessages, func(w http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err != nil || string(body) != promptBody {
			http.Error(w, "what is this?", http.StatusBadRequest)
			return
		}
		flush := http.NewResponseController(w)
		for _, name := range []string{"message_start", tokenEvent, tokenEvent, "message_stop"} {
			// The client counts what came.
			_, _ = w.Write(fmt.Appendf(wire.AppendStamp(nil, time.Now()), "event: %s\ndata: {}\n\n", name))
			_ = flush.Flush()
			<-time.After(20 * time.Millisecond)
		}
	})
	mux.HandleFunc("GET "+wire.PathHealth, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	server := httptest.NewServer(mux)
	defer server.Close()
	addr := strings.TrimPrefix(server.URL, "http://")
	for name := range clients() {
		switch {
		case strings.HasSuffix(name, "-sse"):
			r, c, err := runClient(t.Context(), name, order{Addr: addr, N: 10, OpenRate: 1000, Path: wire.PathMessages})
			if err != nil {
				t.Fatal(err)
			}
			if r.Complete != 10 || r.Events != 40 {
				t.Errorf("%s: %d streams and %d events, want 10 and 40", name, r.Complete, r.Events)
			}
			if r.Truth[0] < int64(15*time.Millisecond) || r.TTFT[0] < r.Truth[0]*511/512 || r.Lag[0] > int64(time.Second) {
				t.Errorf("%s: TTFT %v, true %v, delivery %v ns: the first token left after 20 ms", name, r.TTFT, r.Truth, r.Lag)
			}
			if c.CPU <= 0 || c.Took < 60*time.Millisecond {
				t.Errorf("%s: %v of CPU in %v", name, c.CPU, c.Took)
			}
		case strings.HasSuffix(name, "-http"):
			r, _, err := runClient(t.Context(), name, order{Addr: addr, N: 2, Path: wire.PathHealth, Hold: int64(100 * time.Millisecond)})
			if err != nil {
				t.Fatal(err)
			}
			if r.Requests < 10 || r.Failed > 0 || r.Latency[0] <= 0 {
				t.Errorf("%s: %d requests, %d failed, p50 %d ns", name, r.Requests, r.Failed, r.Latency[0])
			}
		}
	}
}

func TestRoomMessage(t *testing.T) {
	sent := time.Unix(1795464349, 105313431)
	m := roomMessage(sent)
	if len(m) != messageSize || messageSent(m) != sent.UnixNano() {
		t.Errorf("%d bytes, sent %d, want %d and %d", len(m), messageSent(m), messageSize, sent.UnixNano())
	}
	if got := messageSent([]byte(`{"sent":17954643491053134xx`)); got != 0 {
		t.Errorf("no stamp reads as %d", got)
	}
}
