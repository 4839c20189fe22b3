package functions

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/refserver/edge"
)

// BenchmarkTrackEvent queues jobs over loopback and waits for the last to be
// counted, with SQLite and the ledger on disk.
func BenchmarkTrackEvent(b *testing.B) {
	dir := b.TempDir()
	st, ledger, _, err := openTracked(b.Context(), dir)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _, _ = st.Close(), ledger.Close() }()
	fn := NewTrackEvent(TrackEventOptions{Metrics: st, Retrier: &Retrier{Outbound: newTestOutbound(b, OutboundOptions{})}, Ledger: ledger, MaxPending: b.N + 1})
	server := edge.New(edge.Options{Functions: []edge.Function{edge.Shared(NameTrackEvent, fn)}, MaxTasks: b.N + 1})
	defer func() { _ = server.Close() }()
	listener := httptest.NewServer(server)
	defer listener.Close()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	b.ReportAllocs()
	b.SetParallelism(16)
	b.ResetTimer()
	begin := time.Now()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			resp, err := client.Post(listener.URL+edge.PathFunctions+NameTrackEvent, "application/json", strings.NewReader(ada+`}`))
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				b.Errorf("status %d", resp.StatusCode)
			}
		}
	})
	for fn.Pending() > 0 {
		time.Sleep(100 * time.Microsecond)
	}
	b.ReportMetric(float64(b.N)/time.Since(begin).Seconds(), "jobs/s")
	if n, err := countRows(b.Context(), dir); err != nil || n < int64(b.N) {
		b.Errorf("%d of %d jobs are counted, %v", n, b.N, err)
	}
}
