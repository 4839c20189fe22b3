package driver

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
)

func TestLoops(t *testing.T) {
	transport := func(t *testing.T, clock engine.Clock) transport {
		d := newDialer(patience, tlsConfig(true))
		t.Cleanup(d.close)
		onLoops, err := newLoops(clock, d.open1, destination{keep: 1000, gather: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		return onLoops
	}
	t.Run("plain", func(t *testing.T) { testTransport(t, openTransport{make: transport}) })
	t.Run("tls", func(t *testing.T) { testTransport(t, openTransport{make: transport, tls: certified(t)}) })
}

// An answer of many buffers arrives whole, in turns with others.
func TestLargeAnswers(t *testing.T) {
	const size, n = 16 << 20, 3
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		piece := make([]byte, 64<<10)
		for range size / len(piece) {
			if _, err := w.Write(piece); err != nil {
				t.Error(err)
			}
		}
	})
	plain := httptest.NewServer(h)
	t.Cleanup(plain.Close)
	secure := httptest.NewTLSServer(h) // of HTTP/1.1
	t.Cleanup(secure.Close)
	for _, s := range []*httptest.Server{plain, secure} {
		r := get(s.URL, "/")
		r.n, r.InsecureSkipVerify = n, true
		r.do(t).counts(map[string]float64{"requests": n, "succeeded": n, "bytes_in": n * size, "connections": 1})
	}
}
