package pace

import (
	"math"
	"testing"
	"time"

	"gonum.org/v1/gonum/stat"
	"pgregory.net/rapid"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

func bursty(rate float64) scenario.Load {
	return scenario.Load{Rate: scenario.Rate(rate), Arrivals: scenario.ArrivalsBursty}
}

// The count is exactly the rate times the time, whatever the process.
func TestMeanRateOfBurstyIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := float64(rapid.IntRange(1, 500).Draw(t, "rate"))
		seconds := rapid.IntRange(1, 20).Draw(t, "seconds")
		s, err := New(bursty(rate), 0, time.Duration(seconds)*time.Second, rapid.Uint64().Draw(t, "seed"))
		if err != nil {
			t.Fatal(err)
		}
		n, last := 0, time.Duration(0)
		for at, ok := s.Next(); ok; at, ok = s.Next() {
			if at < last || at >= time.Duration(seconds)*time.Second {
				t.Fatalf("arrival %d at %v after %v", n, at, last)
			}
			n, last = n+1, at
		}
		if want := int(rate) * seconds; n != want {
			t.Errorf("%d arrivals at %v/s over %d s, want %d", n, rate, seconds, want)
		}
	})
}

// dispersion is the variance of the counts in windows of the given length divided by
// their mean.
func dispersion(at []time.Duration, window, end time.Duration) float64 {
	counts := make([]float64, end/window)
	for _, t := range at {
		if i := int(t / window); i < len(counts) {
			counts[i]++
		}
	}
	mean, variance := stat.MeanVariance(counts, nil)
	return variance / mean
}

func TestBurstyComesInBursts(t *testing.T) {
	const rate, end, window = 200, 2000 * time.Second, 20 * time.Second
	for seed := range uint64(3) {
		at := drain(t, mustNew(t, bursty(rate), 0, end, seed))
		mean, sd := stat.MeanStdDev(gaps(at), nil)
		if cv := sd / mean; cv < 1.5 || cv > 4 {
			t.Errorf("seed %d: CV of gaps %v, want 1.5 to 4: above poisson's, below one client's", seed, cv)
		}
		// Clients of the lowest rates send too seldom for the limit of CV² = 16 within
		// 20 s, and the normalised count takes some away.
		if d := dispersion(at, window, end); d < 8 || d > 20 {
			t.Errorf("seed %d: dispersion of counts %v, want 8 to 20", seed, d)
		}
		poisson := drain(t, mustNew(t, scenario.Load{Rate: rate, Arrivals: scenario.ArrivalsPoisson}, 0, end, seed))
		if d := dispersion(poisson, window, end); d > 2 {
			t.Errorf("seed %d: dispersion of poisson's counts %v", seed, d)
		}
	}
}

// A crowd does not begin with a burst: the first second is like any other.
func TestBurstyBeginsInTheMiddle(t *testing.T) {
	const rate, runs = 100, 400
	first := 0
	for seed := range uint64(runs) {
		for _, at := range drain(t, mustNew(t, bursty(rate), 0, 20*time.Second, seed)) {
			if at < time.Second {
				first++
			}
		}
	}
	if mean := float64(first) / runs; math.Abs(mean-rate) > 0.15*rate {
		t.Errorf("%v arrivals in the first second on average, want %d ± 15 %%", mean, rate)
	}
}

func TestBurstyPacerDrawsTheSame(t *testing.T) {
	s := mustNew(t, bursty(50), 0, 5*time.Second, 9)
	p := s.Pacer()
	for hits := uint64(0); ; hits++ {
		at, ok := s.Next()
		wait, stop := p.Pace(0, hits)
		if stop == ok {
			t.Fatalf("hit %d: the pacer stops %v, the schedule goes on %v", hits, stop, ok)
		}
		if !ok {
			return
		}
		if wait != at {
			t.Fatalf("hit %d: wait %v, want %v", hits, wait, at)
		}
	}
}

func TestPeak(t *testing.T) {
	second := scenario.Duration(time.Second)
	for _, c := range []struct {
		load scenario.Load
		want float64
	}{
		{scenario.Load{Rate: 7}, 7},
		{scenario.Load{Sine: &scenario.Sine{Mean: 10, Amplitude: 4, Period: second}}, 14},
		{scenario.Load{Stages: []scenario.Stage{{Duration: second, Rate: 20}, {Duration: second, Rate: 5}}}, 20},
	} {
		if got := mustNew(t, c.load, 0, 2*time.Second, 1).Peak(); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%+v: peak %v, want %v", c.load, got, c.want)
		}
	}
}
