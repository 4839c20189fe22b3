package pace

import (
	"math"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

var _ vegeta.Pacer = (*Pacer)(nil)

// ideal attacks with p on a clock that costs nothing: each hit is sent at
// exactly the instant the pacer asks for.
func ideal(p vegeta.Pacer, hits int) []time.Duration {
	var at []time.Duration
	var elapsed time.Duration
	for n := range hits {
		wait, stop := p.Pace(elapsed, uint64(n))
		if stop {
			break
		}
		elapsed += max(wait, 0)
		at = append(at, elapsed)
	}
	return at
}

// Vegeta's pacers send hit n where arrival n+1 is due here (LinearPacer its
// first at once). Their errors are allowed for: whole nanoseconds an interval in
// ConstantPacer, 1e-3 of a hit in SinePacer, and in LinearPacer one step of
// extrapolation.
func TestAgreesWithVegeta(t *testing.T) {
	const duration, second = 10 * time.Second, scenario.Duration(time.Second)
	for name, c := range map[string]struct {
		load  scenario.Load
		pacer vegeta.Pacer
		hits  float64 // how many hits they may be apart
	}{
		"constant":                      {scenario.Load{Rate: 250}, vegeta.ConstantPacer{Freq: 250, Per: time.Second}, 1e-6},
		"constant in whole nanoseconds": {scenario.Load{Rate: 300}, vegeta.ConstantPacer{Freq: 300, Per: time.Second}, 1e-3},
		"linear": {scenario.Load{Stages: []scenario.Stage{stage(0, 100, true), stage(duration, 600, false)}},
			vegeta.LinearPacer{StartAt: vegeta.Rate{Freq: 100, Per: time.Second}, Slope: 50}, 0.1},
		"sine": {scenario.Load{Sine: &scenario.Sine{Mean: 200, Amplitude: 150, Period: 4 * second}},
			vegeta.SinePacer{Mean: vegeta.Rate{Freq: 200, Per: time.Second}, Amp: vegeta.Rate{Freq: 150, Per: time.Second}, Period: 4 * time.Second}, 0.02},
	} {
		t.Run(name, func(t *testing.T) {
			s := mustNew(t, c.load, 0, duration, 1)
			ours := drain(t, s)
			theirs := ideal(c.pacer, len(ours)-1)
			var worst float64
			for n, at := range theirs {
				if n == 0 {
					continue // where LinearPacer's first hit is at once
				}
				apart := math.Abs((at - ours[n+1]).Seconds()) * s.Rate(ours[n+1])
				if worst = max(worst, apart); apart > c.hits {
					t.Fatalf("hit %d: vegeta %v, arrival %v: %v hits apart", n, at, ours[n+1], apart)
				}
			}
			t.Logf("%d hits, at most %.2g hits apart", len(theirs), worst)
			for at := time.Duration(0); at < duration; at += 77 * time.Millisecond {
				if got, want := s.Rate(at), c.pacer.Rate(at); math.Abs(got-want) > 1e-6*want {
					t.Fatalf("rate at %v is %v, vegeta's %v", at, got, want)
				}
			}
		})
	}
}

// What the package comment holds against vegeta's pacers, so that a release
// that mends them is noticed.
func TestVegetaPacersStillNeedReplacing(t *testing.T) {
	if panics := func() (p any) {
		defer func() { p = recover() }()
		_, _ = vegeta.ConstantPacer{Freq: 2e9, Per: time.Second}.Pace(0, 0)
		return nil
	}(); panics == nil {
		t.Error("ConstantPacer no longer panics at 2e9/s")
	}
	if at := ideal(vegeta.ConstantPacer{Freq: 6e8, Per: time.Second}, 1000); at[999] > 1001 {
		t.Error("ConstantPacer no longer runs fast at 6e8/s")
	}
	if wait, _ := (vegeta.LinearPacer{Slope: 1}).Pace(0, 5); wait != 0 {
		t.Error("LinearPacer ramps from 0 now")
	}
	r := vegeta.Rate{Freq: 10, Per: time.Second}
	if _, stop := (vegeta.SinePacer{Mean: r, Amp: r, Period: time.Second}).Pace(0, 0); !stop {
		t.Error("SinePacer takes an amplitude equal to the mean now")
	}
}

func TestPacer(t *testing.T) {
	for _, load := range []scenario.Load{
		{Rate: 100},
		{Rate: 100, Arrivals: scenario.ArrivalsPoisson},
		{Rate: 100, Arrivals: scenario.ArrivalsGamma, CV: 3},
	} {
		s := mustNew(t, load, 0, time.Second, 3)
		s.Next() // the pacer begins at the first arrival all the same
		p := s.Pacer()
		s.rewind()
		want := drain(t, s)
		check := func(hits int, elapsed time.Duration) {
			t.Helper()
			wait, stop := p.Pace(elapsed, uint64(hits))
			if expect := max(want[hits]-elapsed, 0); stop || wait != expect {
				t.Errorf("%s: hit %d at %v: wait %v, stop %t; want %v", load.Arrivals, hits, elapsed, wait, stop, expect)
			}
		}
		for n := range want {
			check(n, 0)
		}
		for _, n := range []int{99, 3, 3, 50, 0, 98} {
			check(n, 0)
		}
		check(10, want[10]+time.Second) // behind: at once
		check(10, want[10]-1)
		if wait, stop := p.Pace(time.Second, uint64(len(want))); !stop || wait != 0 {
			t.Errorf("after the last: wait %v, stop %t", wait, stop)
		}
		if _, stop := p.Pace(0, math.MaxUint64); !stop {
			t.Error("hits beyond the last do not stop")
		}
		check(1, 0) // a stop is no end
		if got := p.Rate(time.Second / 2); got != 100 {
			t.Errorf("rate %v", got)
		}
	}
	// A jump costs nothing in a constant process.
	p := mustNew(t, scenario.Load{Rate: 1e9}, 0, time.Hour, 1).Pacer()
	if wait, stop := p.Pace(0, 3e12); stop || (wait-50*time.Minute).Abs() > time.Microsecond {
		t.Errorf("arrival 3e12 of 1e9/s: wait %v, stop %t", wait, stop)
	}
}
