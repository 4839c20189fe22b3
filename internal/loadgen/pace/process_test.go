package pace

import (
	"math"
	"slices"
	"testing"
	"time"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

func gaps(at []time.Duration) []float64 {
	out := make([]float64, len(at)-1)
	for i := range out {
		out[i] = (at[i+1] - at[i]).Seconds()
	}
	return out
}

// ks is Kolmogorov's statistic √n·D of samples against a distribution. Its
// critical value at 1 % is 1.628 for a distribution known in advance; where the
// mean is fitted, as the normalisation does, the true one is lower.
func ks(samples []float64, cdf func(float64) float64) float64 {
	slices.Sort(samples)
	n := float64(len(samples))
	var d float64
	for i, x := range samples {
		f := cdf(x)
		d = max(d, f-float64(i)/n, float64(i+1)/n-f)
	}
	return d * math.Sqrt(n)
}

const ksCritical = 1.628

func TestGapsOfRandomProcesses(t *testing.T) {
	const rate, duration = 1000, 20 * time.Second
	for _, c := range []struct {
		name      string
		load      scenario.Load
		cv, slack float64
		cdf       func(float64) float64
	}{
		{"poisson", scenario.Load{Arrivals: scenario.ArrivalsPoisson}, 1, 0.02, distuv.Exponential{Rate: rate}.CDF},
		{"gamma 0.3", scenario.Load{Arrivals: scenario.ArrivalsGamma, CV: 0.3}, 0.3, 0.01, distuv.Gamma{Alpha: 1 / .09, Beta: rate / .09}.CDF},
		{"gamma 1", scenario.Load{Arrivals: scenario.ArrivalsGamma, CV: 1}, 1, 0.02, distuv.Exponential{Rate: rate}.CDF},
		{"gamma 1.1", scenario.Load{Arrivals: scenario.ArrivalsGamma, CV: 1.1}, 1.1, 0.03, distuv.Gamma{Alpha: 1 / 1.21, Beta: rate / 1.21}.CDF},
		// Almost all gaps of CV 6 are below the nanosecond that starts are
		// rounded to, so only the moments are compared.
		{"gamma 6", scenario.Load{Arrivals: scenario.ArrivalsGamma, CV: 6}, 6, 0.6, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.load.Rate = rate
			for seed := range uint64(3) {
				s := mustNew(t, c.load, 0, duration, seed)
				g := gaps(drain(t, s))
				mean, sd := stat.MeanStdDev(g, nil)
				if cv := sd / mean; math.Abs(cv-c.cv) > c.slack {
					t.Errorf("seed %d: CV of %d gaps is %v, want %v ± %v", seed, len(g), cv, c.cv, c.slack)
				}
				if c.cdf == nil {
					continue
				}
				if d := ks(g, c.cdf); d > ksCritical {
					t.Errorf("seed %d: √n·D of gaps is %v, above %v", seed, d, ksCritical)
				}
			}
		})
	}
}

// Workloads get neighbouring seeds; their arrivals must not go together.
func TestNeighbouringSeedsAreUnrelated(t *testing.T) {
	const n = 10_000
	draw := func(seed uint64) []float64 {
		p, err := newProcess(scenario.Load{Arrivals: scenario.ArrivalsPoisson}, seed)
		if err != nil {
			t.Fatal(err)
		}
		p.rewind()
		out := make([]float64, n)
		for i := range out {
			out[i] = p.gap()
		}
		return out
	}
	for seed := range uint64(10) {
		for lag := range 3 {
			a, b := draw(seed), draw(seed+1)
			// Correlation of independent samples has a standard deviation of 1/√n.
			if r := stat.Correlation(a[:n-lag], b[lag:], nil); math.Abs(r) > 4/math.Sqrt(n) {
				t.Errorf("seeds %d and %d at lag %d: correlation %v", seed, seed+1, lag, r)
			}
		}
	}
}

// Conditioned on its count, a Poisson process is uniform over Λ, whatever the
// profile, and its counts in equal parts of Λ are spread as a multinomial's.
func TestPoissonIsUniformOverTheProfile(t *testing.T) {
	mean, duration := 400.0, 30*time.Second
	load := scenario.Load{
		Arrivals: scenario.ArrivalsPoisson,
		Sine:     &scenario.Sine{Mean: scenario.Rate(mean), Amplitude: 300, Period: scenario.Duration(7 * time.Second)},
	}
	lambda := func(s float64) float64 { return mean*s + 300*7/(2*math.Pi)*(1-math.Cos(2*math.Pi*s/7)) }
	total := lambda(duration.Seconds())
	for seed := range uint64(5) {
		var u []float64
		counts := make([]float64, 200)
		for _, at := range drain(t, mustNew(t, load, 0, duration, seed)) {
			x := lambda(at.Seconds()) / total
			u = append(u, x)
			counts[min(int(x*200), 199)]++
		}
		if d := ks(u, func(x float64) float64 { return x }); d > ksCritical {
			t.Errorf("seed %d: √n·D against uniform is %v, above %v", seed, d, ksCritical)
		}
		// Index of dispersion: χ² with 199 degrees over 199, 1 ± 4·√(2/199).
		m, v := stat.MeanVariance(counts, nil)
		if i := v / m; math.Abs(i-1) > 0.4 {
			t.Errorf("seed %d: variance ÷ mean of counts is %v, want about 1", seed, i)
		}
	}
}

func TestNormalisedCountIsExact(t *testing.T) {
	for _, rate := range []scenario.Rate{0.3, 1, 7.7, 250} {
		for _, load := range []scenario.Load{
			{Arrivals: scenario.ArrivalsPoisson},
			{Arrivals: scenario.ArrivalsGamma, CV: 0.1},
			{Arrivals: scenario.ArrivalsGamma, CV: 6},
			{Arrivals: scenario.ArrivalsGamma, CV: maxCV},
		} {
			load.Rate = rate
			for seed := range uint64(20) {
				want := int(math.Round(float64(rate) * 6))
				if got := len(drain(t, mustNew(t, load, time.Second, 5*time.Second, seed))); got != want {
					t.Errorf("%v/s %s seed %d: %d arrivals, want %d", rate, load.Arrivals, seed, got, want)
				}
			}
		}
	}
}

// The next arrival after the last would fall on the end: the same gaps, scaled.
func TestNormalisationScalesTheGaps(t *testing.T) {
	s := mustNew(t, scenario.Load{Rate: 100, Arrivals: scenario.ArrivalsPoisson}, 0, 10*time.Second, 5)
	at := drain(t, s)
	raw := s.process.clone()
	var sum float64
	for i := range at {
		sum += raw.gap()
		if want := sum * s.scale / 100; math.Abs(at[i].Seconds()-want) > 1e-9 {
			t.Fatalf("arrival %d at %v, want %vs", i, at[i], want)
		}
	}
	if end := (sum + raw.gap()) * s.scale / 100; math.Abs(end-10) > 1e-9 {
		t.Errorf("arrival %d would be at %vs, want 10s", len(at), end)
	}
}

func TestAboveMaxNormalisedTheCountIsLeftToChance(t *testing.T) {
	load := scenario.Load{Rate: 1e9, Arrivals: scenario.ArrivalsPoisson}
	s := mustNew(t, load, 0, 11*time.Millisecond, 1)
	expected, exact := s.Count()
	if expected != 11_000_000 || exact {
		t.Errorf("count %d, exact %t", expected, exact)
	}
	p := s.Pacer()
	if _, stop := p.Pace(0, 12_000_000); !stop {
		t.Error("no stop after the last arrival")
	}
	if d := math.Abs(float64(p.drawn) - 11e6); d == 0 || d > 5*math.Sqrt(11e6) {
		t.Errorf("%d arrivals, expected 11,000,000 ± 5 standard deviations", p.drawn)
	}
	if again, exact := p.schedule.Count(); again != expected || exact {
		t.Errorf("after the last: count %d, exact %t", again, exact)
	}
	if _, exact := mustNew(t, load, 0, time.Millisecond, 1).Count(); !exact {
		t.Error("a million arrivals are not normalised")
	}
}

var profiles = map[string]scenario.Load{
	"constant":       {Rate: 1e5},
	"poisson":        {Rate: 1e5, Arrivals: scenario.ArrivalsPoisson},
	"bursty":         {Rate: 1e5, Arrivals: scenario.ArrivalsBursty},
	"gamma":          {Rate: 1e5, Arrivals: scenario.ArrivalsGamma, CV: 1.1},
	"stages":         {Stages: []scenario.Stage{stage(time.Minute, 1e5, false)}},
	"sine":           {Sine: &scenario.Sine{Mean: 1e5, Amplitude: 1e5, Period: scenario.Duration(time.Second)}},
	"poisson stages": {Stages: []scenario.Stage{stage(time.Minute, 1e5, false)}, Arrivals: scenario.ArrivalsPoisson},
}

func TestNextDoesNotAllocate(t *testing.T) {
	for name, load := range profiles {
		s := mustNew(t, load, 0, time.Second, 1)
		if n := testing.AllocsPerRun(1000, func() { s.Next() }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkNext(b *testing.B) {
	for name, load := range profiles {
		b.Run(name, func(b *testing.B) {
			s := mustNew(b, load, 0, time.Minute, 1)
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := s.Next(); !ok {
					s.rewind()
				}
			}
		})
	}
}
