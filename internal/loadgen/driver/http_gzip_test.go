package driver

import (
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// zipped answers text by gzip where that is asked for; cut leaves out the end.
func zipped(t *testing.T, text string, cut bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "gzip" {
			_, _ = io.WriteString(w, text)
			return
		}
		var b strings.Builder
		z := gzip.NewWriter(&b)
		if _, err := io.WriteString(z, text); err != nil {
			t.Error(err)
		}
		if err := z.Close(); err != nil {
			t.Error(err)
		}
		body := b.String()
		if cut {
			body = body[:len(body)/2]
		}
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = io.WriteString(w, body)
	}
}

// A compressed answer is counted as it comes and checked as what it holds.
func TestCompression(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("all work and no play ", 1000) + "{}"
	r := httpRun{target: serve(t, zipped(t, text, false)), n: 3}
	r.Request = &scenario.Request{Path: "/"}
	r.Compression = true
	r.Checks = []scenario.Check{{Body: &scenario.BodyCheck{Contains: "no play {}"}}}
	f := r.do(t)
	in, decoded := f.metrics["bytes_in"].Value, f.metrics["bytes_decoded"].Value
	if f.metrics["succeeded"].Value != 3 || decoded != float64(3*len(text)) || in <= 0 || in > decoded/10 {
		t.Errorf("succeeded %v, %v bytes in, %v decoded; errors %+v", f.metrics["succeeded"].Value, in, decoded, f.errors)
	}
}

func TestBrokenCompression(t *testing.T) {
	t.Parallel()
	r := httpRun{target: serve(t, zipped(t, "some text", true))}
	r.Request = &scenario.Request{Path: "/"}
	r.Compression = true
	f := r.do(t)
	if f.metrics["check_failed"].Value != 1 {
		t.Errorf("check_failed is %v", f.metrics["check_failed"].Value)
	}
	f.failed(classEncoding, "decompress")
}

// What decompresses to more than is looked at is refused, and not held.
func TestCompressionBomb(t *testing.T) {
	t.Parallel()
	r := httpRun{target: serve(t, zipped(t, strings.Repeat("\x00", maxDecoded+1), false))}
	r.Request = &scenario.Request{Path: "/"}
	r.Compression = true
	r.do(t).failed(classEncoding, "more than")
}

// Without keepalive each request has a connection of its own.
func TestNoKeepAlive(t *testing.T) {
	t.Parallel()
	for _, keep := range []bool{true, false} {
		var closes atomic.Int64
		r := httpRun{n: 5, target: serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.Close {
				closes.Add(1)
			}
		}))}
		r.Request = &scenario.Request{Path: "/"}
		r.KeepAlive = &keep
		f := r.do(t)
		want := 1.0
		if !keep {
			want = 5
		}
		if f.metrics["connections"].Value != want || f.metrics["succeeded"].Value != 5 || keep == (closes.Load() > 0) {
			t.Errorf("keepalive %v: %v connections, %d closed", keep, f.metrics["connections"].Value, closes.Load())
		}
	}
}
