package store

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"
)

// One event of one of a thousand users, from 64 goroutines; and from one, which
// waits for each commit.
func BenchmarkUpdateUserMetrics(b *testing.B) {
	for _, db := range databases(b) {
		for _, writers := range []int{1, 64} {
			b.Run(db.name+"/"+strconv.Itoa(writers), func(b *testing.B) {
				s := open(b, db.dsn(b))
				var job atomic.Int64
				done := make(chan error, writers)
				b.ResetTimer()
				for range writers {
					go func() {
						for {
							n := job.Add(1)
							if n > int64(b.N) {
								done <- nil
								return
							}
							err := s.UpdateUserMetrics(context.Background(), "user-"+strconv.FormatInt(n%1000, 10), "click", strconv.FormatInt(n, 10))
							if err != nil {
								done <- err
								return
							}
						}
					}()
				}
				for range writers {
					if err := <-done; err != nil {
						b.Error(err)
					}
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
				if stats := s.WriteStats(); stats.Batches > 0 {
					b.ReportMetric(float64(stats.Writes)/float64(stats.Batches), "events/commit")
				}
			})
		}
	}
}
