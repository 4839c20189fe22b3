package engine

import (
	"sync"
	"testing"
	"time"
)

func TestSamplePathDoesNotAllocate(t *testing.T) {
	rec := NewRecorder(fakeMetrics(), time.Second)
	n := testing.AllocsPerRun(1000, func() {
		rec.At(2*time.Second).Record(latency, 123_456)
		rec.At(0).Record(latency, 123_456)
		rec.Whole().Add(bytesIn, 17)
	})
	if n != 0 {
		t.Fatalf("%v allocations a sample, want 0", n)
	}
}

func TestWarmupIsDiscarded(t *testing.T) {
	rec := NewRecorder(fakeMetrics(), time.Second)
	warm := rec.At(999 * time.Millisecond)
	warm.Record(latency, 1)
	warm.Add(bytesIn, 1)
	warm.Error("refused", "in the warm-up")
	warm.At(time.Second).Record(latency, 5000)
	warm.Whole().Add(bytesIn, 7)
	metrics, errs, _ := rec.Collect()
	if got := metrics[latency].Distribution.Count; got != 1 {
		t.Errorf("%d samples, want the 1 of the measured part", got)
	}
	if metrics[bytesIn].Value != 7 || len(errs) != 0 {
		t.Errorf("bytes %v, errors %v; want 7 and none", metrics[bytesIn].Value, errs)
	}
}

func TestErrorsKeepTheFirstExample(t *testing.T) {
	rec := NewRecorder(nil, 0)
	var wg sync.WaitGroup
	rec.Error("reset", "first")
	for range 4 {
		wg.Go(func() {
			for range 100 {
				rec.Error("reset", "later")
				rec.Error("timeout", "slow")
			}
		})
	}
	wg.Wait()
	_, errs, _ := rec.Collect()
	if len(errs) != 2 || errs[0].Class != "reset" || errs[0].Count != 401 || errs[0].Example != "first" || errs[1].Count != 400 {
		t.Errorf("errors %+v", errs)
	}
}

func BenchmarkRecord(b *testing.B) {
	rec := NewRecorder(fakeMetrics(), time.Second)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for v := int64(0); pb.Next(); v += 997 {
			rec.At(2*time.Second).Record(latency, v&0xfffffff)
		}
	})
}
