package pace

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// What the engine asks of a schedule.
var _ interface {
	Next() (intended time.Duration, ok bool)
} = (*Schedule)(nil)

func mustNew(t testing.TB, load scenario.Load, warmup, duration time.Duration, seed uint64) *Schedule {
	t.Helper()
	s, err := New(load, warmup, duration, seed)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// drain draws every arrival; a schedule of more than a million fails the test.
func drain(t testing.TB, s *Schedule) []time.Duration {
	t.Helper()
	var all []time.Duration
	for {
		at, ok := s.Next()
		if !ok {
			break
		}
		if all = append(all, at); len(all) > 1_000_000 {
			t.Fatal("schedule does not end")
		}
	}
	if at, ok := s.Next(); ok {
		t.Fatalf("arrival at %v after the last", at)
	}
	return all
}

func seconds(s ...float64) []time.Duration {
	out := make([]time.Duration, len(s))
	for i, v := range s {
		out[i] = time.Duration(math.Round(v * 1e9))
	}
	return out
}

func stage(d time.Duration, rate scenario.Rate, step bool) scenario.Stage {
	return scenario.Stage{Duration: scenario.Duration(d), Rate: rate, Step: step}
}

func TestConstantProcessByHand(t *testing.T) {
	const s = time.Second
	for name, c := range map[string]struct {
		load             scenario.Load
		warmup, duration time.Duration
		want             []time.Duration
	}{
		"rate":                {scenario.Load{Rate: 2}, 0, 2 * s, seconds(0, 0.5, 1, 1.5)},
		"rate with warm-up":   {scenario.Load{Rate: 1}, 2 * s, 2 * s, seconds(0, 1, 2, 3)},
		"thirds":              {scenario.Load{Rate: 3}, 0, s, seconds(0, 1./3, 2./3)},
		"ten an hour":         {scenario.Load{Rate: 10. / 3600}, 0, time.Hour, seconds(0, 360, 720, 1080, 1440, 1800, 2160, 2520, 2880, 3240)},
		"slower than the run": {scenario.Load{Rate: 1e-9}, 0, 30 * s, seconds(0)},
		"nothing long":        {scenario.Load{Rate: 5}, 0, 0, nil},
		// Λ(t) = t²/2·4 = 2t², so arrival n at √(n/2).
		"ramp from nothing": {scenario.Load{Stages: []scenario.Stage{stage(2*s, 8, false)}}, 0, 2 * s,
			seconds(0, math.Sqrt(.5), 1, math.Sqrt(1.5), math.Sqrt2, math.Sqrt(2.5), math.Sqrt(3), math.Sqrt(3.5))},
		"ramp after a silent warm-up": {scenario.Load{Stages: []scenario.Stage{stage(2*s, 2, false)}}, 5 * s, 2 * s,
			seconds(5, 5+math.Sqrt2)},
		"step holds in the warm-up": {scenario.Load{Stages: []scenario.Stage{stage(2*s, 1, true)}}, 2 * s, 2 * s, seconds(0, 1, 2, 3)},
		"zero-length stage is a step": {scenario.Load{Stages: []scenario.Stage{stage(0, 1, false), stage(2*s, 1, false)}}, 1 * s, 2 * s,
			seconds(0, 1, 2)},
		"only zero-length stages": {scenario.Load{Stages: []scenario.Stage{stage(0, 7, false), stage(0, 1, false)}}, 1 * s, 2 * s,
			seconds(0, 1, 2)},
		"pause between steps": {scenario.Load{Stages: []scenario.Stage{stage(s, 2, true), stage(3*s, 0, true), stage(s, 2, true)}}, 0, 5 * s,
			seconds(0, .5, 4, 4.5)},
		"last rate is kept":  {scenario.Load{Stages: []scenario.Stage{stage(s, 2, true)}}, 0, 2 * s, seconds(0, .5, 1, 1.5)},
		"stages are cut":     {scenario.Load{Stages: []scenario.Stage{stage(10*s, 2, true)}}, 0, s, seconds(0, .5)},
		"stages of silence":  {scenario.Load{Stages: []scenario.Stage{stage(s, 0, true), stage(s, 0, false)}}, s, 2 * s, nil},
		"ramp down to zero":  {scenario.Load{Stages: []scenario.Stage{stage(0, 4, true), stage(s, 0, false)}}, 0, 3 * s, seconds(0, 1-math.Sqrt(.5))},
		"sine of whole rate": {scenario.Load{Sine: &scenario.Sine{Mean: 2, Period: scenario.Duration(s)}}, s, s, seconds(0, .5, 1, 1.5)},
	} {
		t.Run(name, func(t *testing.T) {
			got := drain(t, mustNew(t, c.load, c.warmup, c.duration, 1))
			if !slices.EqualFunc(got, c.want, func(a, b time.Duration) bool { return (a - b).Abs() <= 1 }) {
				t.Errorf("got %v\nwant %v", got, c.want)
			}
		})
	}
}

func TestNewRejects(t *testing.T) {
	nan, inf := scenario.Rate(math.NaN()), scenario.Rate(math.Inf(1))
	second := scenario.Duration(time.Second)
	for name, load := range map[string]scenario.Load{
		"nothing":            {},
		"users":              {Users: 3},
		"NaN rate":           {Rate: nan},
		"infinite rate":      {Rate: inf},
		"negative rate":      {Rate: -1},
		"too many":           {Rate: 1e300},
		"NaN stage":          {Stages: []scenario.Stage{{Duration: second, Rate: nan}}},
		"negative stage":     {Stages: []scenario.Stage{{Duration: -second, Rate: 1}}},
		"negative step":      {Stages: []scenario.Stage{{Duration: second, Rate: -1, Step: true}}},
		"amplitude > mean":   {Sine: &scenario.Sine{Mean: 1, Amplitude: 2, Period: second}},
		"negative amplitude": {Sine: &scenario.Sine{Mean: 1, Amplitude: -1, Period: second}},
		"no period":          {Sine: &scenario.Sine{Mean: 1, Amplitude: 1}},
		"unknown arrivals":   {Rate: 1, Arrivals: "lumpy"},
		"gamma without cv":   {Rate: 1, Arrivals: scenario.ArrivalsGamma},
		"gamma NaN cv":       {Rate: 1, Arrivals: scenario.ArrivalsGamma, CV: math.NaN()},
		"gamma endless cv":   {Rate: 1, Arrivals: scenario.ArrivalsGamma, CV: 1e9},
	} {
		if _, err := New(load, time.Second, time.Second, 1); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, d := range [][2]time.Duration{{-1, 1}, {1, -1}, {math.MaxInt64, math.MaxInt64}} {
		if _, err := New(scenario.Load{Rate: 1}, d[0], d[1], 1); err == nil {
			t.Errorf("span %v: no error", d)
		}
	}
}

// Nothing here may panic, spin or leave its bounds; the first arrivals of the
// rates that are too high to be drawn to the end suffice.
func TestExtremeRates(t *testing.T) {
	second, ns := scenario.Duration(time.Second), scenario.Duration(1)
	for name, load := range map[string]scenario.Load{
		"one in 30 years":    {Rate: 1e-9},
		"smallest number":    {Rate: 5e-324},
		"a million":          {Rate: 1e6},
		"two billion":        {Rate: 2e9},
		"a quadrillion":      {Rate: 1e14},
		"sine touching zero": {Sine: &scenario.Sine{Mean: 1e4, Amplitude: 1e4, Period: second}},
		"sine of 1ns":        {Sine: &scenario.Sine{Mean: 1e4, Amplitude: 1e4, Period: ns}},
		"sine of 290 years":  {Sine: &scenario.Sine{Mean: 1e4, Amplitude: 1e4, Period: math.MaxInt64}},
		"silent sine":        {Sine: &scenario.Sine{Period: second}},
		"cliff":              {Stages: []scenario.Stage{stage(1, 1e9, false), stage(1, 0, false), stage(time.Second, 2e9, false)}},
		"stage of 290 years": {Stages: []scenario.Stage{stage(math.MaxInt64, 1e9, false)}},
	} {
		for _, p := range []scenario.Load{{}, {Arrivals: scenario.ArrivalsPoisson}, {Arrivals: scenario.ArrivalsGamma, CV: maxCV}, {Arrivals: scenario.ArrivalsGamma, CV: minCV}} {
			load.Arrivals, load.CV = p.Arrivals, p.CV
			t.Run(name+" "+string(p.Arrivals), func(t *testing.T) {
				const warmup, duration = time.Second, 30 * time.Second
				s := mustNew(t, load, warmup, duration, 7)
				want, _ := s.Count()
				var last time.Duration
				n := uint64(0)
				for ; n < 10_000; n++ {
					at, ok := s.Next()
					if !ok {
						break
					}
					if at < last || at >= warmup+duration {
						t.Fatalf("arrival %d at %v after %v", n, at, last)
					}
					last = at
				}
				if n < min(want, 10_000) {
					t.Errorf("%d arrivals of %d", n, want)
				}
			})
		}
	}
	s := mustNew(t, scenario.Load{Rate: 2e9}, 0, time.Second, 1)
	for n := range 10 {
		if at, _ := s.Next(); at != time.Duration(math.Round(float64(n)/2)) {
			t.Errorf("2e9/s: arrival %d at %v", n, at)
		}
	}
}

// loads draws any load whose Λ is below about 5,000, with Λ by an independent
// integration (trapezoids, exact for straight lines).
func loads(t *rapid.T, warmup, duration time.Duration) (load scenario.Load, expected float64) {
	rate := func(name string) scenario.Rate {
		if rapid.IntRange(0, 5).Draw(t, name+" zero") == 0 {
			return 0
		}
		return scenario.Rate(math.Exp(rapid.Float64Range(math.Log(1e-9), math.Log(500)).Draw(t, name)))
	}
	w, d := warmup.Seconds(), duration.Seconds()
	switch rapid.IntRange(0, 2).Draw(t, "profile") {
	case 0:
		load.Rate = rate("rate")
		if load.Rate == 0 {
			load.Rate = 1e-9
		}
		expected = float64(load.Rate) * (w + d)
	case 1:
		var at, from float64
		n := rapid.IntRange(1, 5).Draw(t, "stages")
		for i := range n {
			s := stage(time.Duration(rapid.Int64Range(0, duration.Microseconds()/2).Draw(t, "length"))*time.Microsecond, rate("to"), rapid.Bool().Draw(t, "step"))
			load.Stages = append(load.Stages, s)
			length, to := time.Duration(s.Duration).Seconds(), float64(s.Rate)
			if s.Step || length == 0 {
				from = to
			}
			if at == 0 && (length > 0 || i == n-1) {
				expected += w * from
			}
			if in := min(length, d-at); in > 0 {
				expected += in * (from + from + (to-from)*in/length) / 2
			}
			at, from = at+length, to
		}
		expected += max(d-at, 0) * from
	case 2:
		mean := rate("mean")
		period := time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(time.Minute)).Draw(t, "period"))
		amplitude := scenario.Rate(rapid.Float64Range(0, 1).Draw(t, "amplitude")) * mean
		load.Sine = &scenario.Sine{Mean: mean, Amplitude: amplitude, Period: scenario.Duration(period)}
		p := period.Seconds()
		expected = float64(mean)*(w+d) + float64(amplitude)*p/(2*math.Pi)*(1-math.Cos(2*math.Pi*d/p))
	}
	load.Arrivals = rapid.SampledFrom([]scenario.Arrivals{"", scenario.ArrivalsConstant, scenario.ArrivalsPoisson, scenario.ArrivalsGamma}).Draw(t, "arrivals")
	if load.Arrivals == scenario.ArrivalsGamma {
		load.CV = rapid.Float64Range(0.1, 10).Draw(t, "cv")
	}
	return load, expected
}

func TestScheduleProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		warmup := time.Duration(rapid.Int64Range(0, int64(2*time.Second)).Draw(rt, "warmup"))
		duration := time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(8*time.Second)).Draw(rt, "duration"))
		load, expected := loads(rt, warmup, duration)
		seed := rapid.Uint64().Draw(rt, "seed")
		s, err := New(load, warmup, duration, seed)
		if err != nil {
			rt.Fatal(err)
		}
		all := drain(t, s)

		if !slices.IsSorted(all) {
			rt.Fatal("not ascending")
		}
		if n := len(all); n > 0 && (all[0] < 0 || all[n-1] >= warmup+duration) {
			rt.Fatalf("outside [0, %v): %v … %v", warmup+duration, all[0], all[n-1])
		}
		if d := math.Abs(float64(len(all)) - math.Round(expected)); d > 1 {
			rt.Fatalf("%d arrivals, expected %v", len(all), expected)
		}
		if n, exact := s.Count(); !exact || n != uint64(len(all)) {
			rt.Fatalf("counted %d, exact %t, drawn %d", n, exact, len(all))
		}
		for i, at := range all {
			// Within rounding, and but for the very end, no arrival stands where the rate is 0.
			if s.Rate(at) <= 0 && s.Rate(at+2) <= 0 && at < warmup+duration-2 && s.Rate(at-2) <= 0 {
				rt.Fatalf("arrival %d at %v, where the rate is 0", i, at)
			}
		}

		again, err := New(load, warmup, duration, seed)
		if err != nil {
			rt.Fatal(err)
		}
		if !slices.Equal(all, drain(t, again)) {
			rt.Fatal("same seed, another schedule")
		}
		s.rewind()
		if !slices.Equal(all, drain(t, s)) {
			rt.Fatal("rewound, another schedule")
		}
		other, err := New(load, warmup, duration, seed+1)
		if err != nil {
			rt.Fatal(err)
		}
		random := load.Arrivals == scenario.ArrivalsPoisson || load.Arrivals == scenario.ArrivalsGamma
		if same := slices.Equal(all, drain(t, other)); same && random && len(all) > 10 || !same && !random {
			rt.Fatalf("another seed: same schedule is %t", same)
		}
	})
}

// Arrival n of the constant process is where the integral of the rate is n.
func TestInverseAgreesWithTheIntegral(t *testing.T) {
	for name, load := range map[string]scenario.Load{
		"sine":      {Sine: &scenario.Sine{Mean: 200, Amplitude: 150, Period: scenario.Duration(3 * time.Second)}},
		"full sine": {Sine: &scenario.Sine{Mean: 200, Amplitude: 200, Period: scenario.Duration(700 * time.Millisecond)}},
		"stages":    {Stages: []scenario.Stage{stage(2*time.Second, 300, false), stage(2*time.Second, 50, true), stage(3*time.Second, 0, false), stage(3*time.Second, 100, false)}},
	} {
		s := mustNew(t, load, time.Second, 10*time.Second, 1)
		var integral float64
		var at time.Duration
		for n, want := range drain(t, s) {
			const h = 50 * time.Microsecond
			for ; at+h <= want; at += h {
				integral += s.Rate(at+h/2) * h.Seconds()
			}
			rest := want - at
			if got := integral + s.Rate(at+rest/2)*rest.Seconds(); math.Abs(got-float64(n)) > 0.02 {
				t.Fatalf("%s: arrival %d at %v, where the integral is %v", name, n, want, got)
			}
		}
	}
}

func TestConstant(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		rate             float64
		from, to, offset time.Duration
		want             []time.Duration
	}{
		{2, s, 3 * s, 0, seconds(1, 1.5, 2, 2.5)},
		{2, s, 3 * s, s / 4, seconds(1.25, 1.75, 2.25, 2.75)},
		{1, 0, s, s, nil},
		{1, 2 * s, s, 0, nil},
		{0, 0, s, 0, nil},
		{-1, 0, s, 0, nil},
		{math.NaN(), 0, s, 0, nil},
	} {
		got := drain(t, Constant(c.rate, c.from, c.to, c.offset))
		if !slices.EqualFunc(got, c.want, func(a, b time.Duration) bool { return (a - b).Abs() <= 1 }) {
			t.Errorf("Constant(%v, %v, %v, %v) = %v, want %v", c.rate, c.from, c.to, c.offset, got, c.want)
		}
	}
	if at, ok := Constant(math.Inf(1), 0, s, 0).Next(); !ok || at != 0 {
		t.Errorf("infinite rate: %v, %t", at, ok)
	}
}

func TestRamp(t *testing.T) {
	for _, c := range []struct {
		users int
		ramp  time.Duration
		u     int
		want  time.Duration
	}{
		{4, 8 * time.Second, 0, 0},
		{4, 8 * time.Second, 1, 2 * time.Second},
		{4, 8 * time.Second, 3, 6 * time.Second},
		{4, 0, 3, 0},
		{0, time.Second, 3, 0},
		{1, time.Second, 0, 0},
		{10_000_000, time.Hour, 9_999_999, time.Hour - 360*time.Microsecond},
	} {
		if got := Ramp(c.users, c.ramp, c.u); (got - c.want).Abs() > 1 {
			t.Errorf("Ramp(%d, %v, %d) = %v, want %v", c.users, c.ramp, c.u, got, c.want)
		}
	}
}
