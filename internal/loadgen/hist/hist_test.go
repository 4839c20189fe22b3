package hist

import (
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"
	"pgregory.net/rapid"
)

// drained is everything a counter holds, as a histogram.
func drained(c *Counter, r Range) *Histogram {
	h := New(r)
	h.AddOutOfRange(c.Drain(h.Record))
	return h
}

// The counter keeps HdrHistogram's own layout, so draining it must give what
// the library records of the same values, count for count.
func TestCounterAgreesWithLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rapid.SampledFrom([]Range{
			Durations, Counts,
			{Lowest: 1, Highest: 10, Digits: 1},
			{Lowest: 7, Highest: 1 << 40, Digits: 2},
			{Lowest: 1000, Highest: math.MaxInt64 / 4, Digits: 2},
		}).Draw(t, "range")
		c := NewCounter(r)
		lib := hdrhistogram.New(r.Lowest, r.Highest, r.Digits)
		for _, v := range rapid.SliceOf(rapid.OneOf(rapid.Int64Range(0, r.Highest), rapid.Int64Range(0, min(r.Highest, 1<<14)))).Draw(t, "values") {
			c.Record(v)
			if err := lib.RecordValue(v); err != nil {
				t.Fatal(err)
			}
		}
		got := drained(c, r)
		if !slices.Equal(lib.Export().Counts, got.h.Export().Counts) {
			t.Fatalf("counter holds %v, library %v", got.Bars(), lib.Distribution())
		}
		if again := drained(c, r); again.Count() != 0 {
			t.Fatalf("second drain found %d samples", again.Count())
		}
	})
}

func TestOutOfRangeIsCounted(t *testing.T) {
	c, h := NewCounter(Durations), New(Durations)
	for _, v := range []int64{-1, Durations.Highest + 1, math.MaxInt64, math.MinInt64, 5} {
		c.Record(v)
		h.Record(v, 1)
	}
	for name, got := range map[string]*Histogram{"counter": drained(c, Durations), "histogram": h} {
		if got.Count() != 1 || got.OutOfRange() != 4 {
			t.Errorf("%s: count %d, out of range %d; want 1 and 4", name, got.Count(), got.OutOfRange())
		}
	}
}

// Every sample must be in exactly one drain while recorders go on.
func TestDrainWhileRecording(t *testing.T) {
	const goroutines, each = 4, 50_000
	c := NewCounter(Durations)
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := range each {
				c.Record(int64(i*goroutines+g) * 100)
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	total := New(Durations)
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		c.Drain(total.Record)
	}
	if total.Count() != goroutines*each {
		t.Fatalf("drained %d samples, recorded %d", total.Count(), goroutines*each)
	}
}

func TestRecordDoesNotAllocate(t *testing.T) {
	c := NewCounter(Durations)
	if n := testing.AllocsPerRun(1000, func() { c.Record(123_456_789) }); n != 0 {
		t.Fatalf("%v allocations a sample, want 0", n)
	}
}

func TestEncodeDecode(t *testing.T) {
	h := New(Durations)
	for i := range int64(10_000) {
		h.Record(i*i*37, 1)
	}
	s, err := h.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := Decode(s, Durations, h.OutOfRange())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(h.h.Export().Counts, back.h.Export().Counts) {
		t.Fatal("decoded counts differ from the encoded ones")
	}
	if _, err := Decode(s, Counts, 0); err == nil {
		t.Error("decoding into another range succeeded")
	}
	if _, err := Decode("no histogram", Durations, 0); err == nil {
		t.Error("decoding garbage succeeded")
	}
}

func TestQuantiles(t *testing.T) {
	h := New(Durations)
	if h.Quantile(0.5) != 0 || h.Min() != 0 || h.Max() != 0 || h.Mean() != 0 {
		t.Error("an empty distribution must answer 0 everywhere")
	}
	for ms := int64(1); ms <= 1000; ms++ {
		h.Record(ms*1e6, 1)
	}
	for _, tc := range []struct{ q, wantMS float64 }{{0, 1}, {0.5, 500}, {0.99, 990}, {1, 1000}, {-1, 1}, {2, 1000}} {
		if got := float64(h.Quantile(tc.q)) / 1e6; math.Abs(got-tc.wantMS) > 0.001*tc.wantMS+0.001 {
			t.Errorf("quantile %v = %v ms, want %v", tc.q, got, tc.wantMS)
		}
	}
	if err := h.Merge(New(Counts)); err == nil {
		t.Error("merging different ranges succeeded")
	}
	other := New(Durations)
	other.Record(2e9, 3)
	other.Record(-1, 2)
	if err := h.Merge(other); err != nil || h.Count() != 1003 || h.OutOfRange() != 2 {
		t.Errorf("after merge: %v, count %d, out of range %d", err, h.Count(), h.OutOfRange())
	}
	var n int64
	for _, b := range h.Bars() {
		n += b.Count
	}
	if n != h.Count() {
		t.Errorf("bars hold %d samples of %d", n, h.Count())
	}
}

func FuzzDecode(f *testing.F) {
	h := New(Durations)
	h.Record(1e6, 10)
	s, err := h.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s)
	f.Add("")
	f.Add("HISTFAAAAB")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := Decode(s, Durations, 0)
		if err != nil {
			return
		}
		if h.Quantile(0.5) > h.Max() {
			t.Errorf("median %d above maximum %d", h.Quantile(0.5), h.Max())
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	b.Run("one goroutine", func(b *testing.B) {
		c := NewCounter(Durations)
		for i := range b.N {
			c.Record(int64(i&0xffff) * 1000)
		}
	})
	b.Run("contended", func(b *testing.B) {
		c := NewCounter(Durations)
		b.RunParallel(func(pb *testing.PB) {
			for i := int64(0); pb.Next(); i++ {
				c.Record((i & 0xffff) * 1000)
			}
		})
	})
}

// The counter is as long as HdrHistogram's own array of the same range.
func TestCounterIsAsLongAsHdrHistogram(t *testing.T) {
	for _, r := range []Range{
		{1, 1000, 1}, {1, 2047, 3}, {1, 2048, 3}, {1, 1 << 40, 3}, {1000, 60e9, 3}, {1000, 3600e9, 3}, {1024, 1 << 30, 2}, {7, 12345, 4}, {1, 2, 5},
	} {
		if got, want := len(NewCounter(r).counts), len(hdrhistogram.New(r.Lowest, r.Highest, r.Digits).Export().Counts); got != want {
			t.Errorf("%+v: %d counts, want %d", r, got, want)
		}
	}
}
