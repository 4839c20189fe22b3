package llm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseErrorsSayWhatWasExpected(t *testing.T) {
	for _, tc := range []struct {
		text   string
		counts bool
		want   string
	}{
		{"", false, `want "constant:V"`},
		{"300ms", false, `want "constant:V"`},
		{"normal:1ms,2ms", false, `unknown kind "normal"`},
		{"constant:300", false, "want one such as 300ms"},
		{"constant:-1s", false, "from 0 to 1h"},
		{"constant:2h", false, "from 0 to 1h"},
		{"constant:1ms,2ms", false, "constant takes one value, got 2"},
		{"uniform:1ms", false, "uniform takes LOW,HIGH, got 1"},
		{"uniform:2ms,1ms", false, "below the one before it"},
		{"lognormal:1ms", false, "lognormal takes MEDIAN,SIGMA"},
		{"lognormal:0s,1", false, "must be above zero"},
		{"lognormal:1ms,-1", false, "want a number from 0 to 10"},
		{"lognormal:1ms,NaN", false, "want a number from 0 to 10"},
		{"quantiles:chat-azure23-out", false, "counts tokens"},
		{"quantiles:1ms", false, "at least two values"},
		{"quantiles:1ms,0.5=2ms", false, "mixes"},
		{"quantiles:0=1ms,0.5=2ms", false, "end at level 1"},
		{"quantiles:0=1ms,0=2ms,1=3ms", false, "does not ascend"},
		{"quantiles:NaN=1ms,1=2ms", false, "does not ascend"},
		{"constant:0", true, "from 1 to 1000000"},
		{"constant:2.5", true, "want a whole number"},
		{"constant:2ms", true, "want a whole number"},
		{"quantiles:chat-azure24-out", true, "want one of chat-azure23-in"},
	} {
		var err error
		if tc.counts {
			_, err = ParseCounts(tc.text)
		} else {
			_, err = ParseDurations(tc.text)
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: got error %v, want one that says %q", tc.text, err, tc.want)
		}
	}
}

func TestQuantileKnownAnswers(t *testing.T) {
	for _, tc := range []struct {
		text string
		p    float64
		want float64
	}{
		{"quantiles:chat-azure23-out", 0, 7},
		{"quantiles:chat-azure23-out", 0.5, 129},
		{"quantiles:chat-azure23-out", 0.55, 153},
		{"quantiles:chat-azure23-out", 1, 1000},
		{"quantiles:rag-long-in", 0.995, (85400 + 126195) / 2.0},
		{"quantiles:10,20,90", 0.25, 15},
		{"quantiles:0=10,0.9=20,1=120", 0.95, 70},
		{"uniform:10,20", 0.3, 13},
	} {
		d, err := ParseCounts(tc.text)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.d.quantile(tc.p); math.Abs(got-tc.want) > 1e-9 {
			t.Errorf("%s at %v: got %v, want %v", tc.text, tc.p, got, tc.want)
		}
	}
}

// Every preset's draws stay inside its table, and the share of draws at or
// below each level's value is the level.
func TestPresetsFollowTheirTables(t *testing.T) {
	const draws = 20_000
	for _, name := range Presets() {
		c, err := ParseCounts("quantiles:" + name)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(1, 2))
		drawn := make([]int, draws)
		for i := range drawn {
			drawn[i] = c.Sample(rng)
		}
		slices.Sort(drawn)
		if first, last := drawn[0], drawn[draws-1]; float64(first) < c.d.values[0] || float64(last) > c.d.values[len(c.d.values)-1] {
			t.Errorf("%s: drew %d to %d outside the table", name, first, last)
		}
		for i, p := range c.d.levels {
			atMost, _ := slices.BinarySearch(drawn, int(c.d.values[i])+1)
			below, _ := slices.BinarySearch(drawn, int(c.d.values[i]))
			lo, hi := float64(below)/draws, float64(atMost)/draws
			if slack := 0.02; p < lo-slack || p > hi+slack { // rounding puts a lump on each whole number
				t.Errorf("%s: level %v lies outside the shares [%v, %v] of its value %v", name, p, lo, hi, c.d.values[i])
			}
		}
	}
}

func TestLognormalHasItsMedianAndMean(t *testing.T) {
	d, err := ParseDurations("lognormal:200ms,0.5")
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	const draws = 50_000
	drawn := make([]float64, draws)
	var sum float64
	for i := range drawn {
		drawn[i] = d.Sample(rng).Seconds()
		sum += drawn[i]
	}
	slices.Sort(drawn)
	if median := drawn[draws/2]; math.Abs(median-0.2) > 0.004 {
		t.Errorf("median %v, want 0.2", median)
	}
	if mean, want := sum/draws, 0.2*math.Exp(0.5*0.5/2); math.Abs(mean-want) > 0.004 {
		t.Errorf("mean %v, want %v", mean, want)
	}
}

func TestUniformDrawsStayInsideAndCentre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		low := rapid.Int64Range(0, int64(time.Minute)).Draw(t, "low")
		width := rapid.Int64Range(0, int64(time.Minute)).Draw(t, "width")
		d, err := ParseDurations(fmt.Sprintf("uniform:%dns,%dns", low, low+width))
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		const draws = 2000
		var sum float64
		for range draws {
			v := int64(d.Sample(rng))
			if v < low || v > low+width {
				t.Fatalf("drew %d outside [%d, %d]", v, low, low+width)
			}
			sum += float64(v - low)
		}
		// Six standard errors of the mean of a uniform distribution.
		if bound := 6*float64(width)/math.Sqrt(12*draws) + 1; math.Abs(sum/draws-float64(width)/2) > bound {
			t.Fatalf("mean is %v from the middle, more than %v", sum/draws-float64(width)/2, bound)
		}
	})
}

func TestTablesStayBetweenTheirEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.IntRange(1, MaxCount), 2, 20).Draw(t, "values")
		slices.Sort(values)
		text := "quantiles:" + strings.Trim(strings.ReplaceAll(fmt.Sprint(values), " ", ","), "[]")
		c, err := ParseCounts(text)
		if err != nil {
			t.Fatal(err)
		}
		p, q := rapid.Float64Range(0, 1).Draw(t, "p"), rapid.Float64Range(0, 1).Draw(t, "q")
		if p > q {
			p, q = q, p
		}
		at, later := c.d.quantile(p), c.d.quantile(q)
		if at > later+1e-6 || at < float64(values[0])-1e-6 || later > float64(values[len(values)-1])+1e-6 {
			t.Fatalf("%s: quantile(%v) = %v, quantile(%v) = %v", text, p, at, q, later)
		}
	})
}

// What parses draws inside the bounds and reads back as the same distribution.
func FuzzParseDist(f *testing.F) {
	for _, seed := range []string{
		"constant:300ms", "uniform:100ms,500ms", "lognormal:200ms,0.5", "quantiles:chat-azure23-out",
		"quantiles:0=1,0.5=2,1=9", "constant:5", "uniform:1,9", " lognormal : 3 , 10 ", "quantiles:", ":", "constant:1e9",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if d, err := ParseDurations(text); err == nil {
			again, err := ParseDurations(d.String())
			if err != nil {
				t.Fatalf("%q parsed, its own notation %q did not: %v", text, d, err)
			}
			a, b := rand.New(rand.NewPCG(1, 1)), rand.New(rand.NewPCG(1, 1))
			for range 8 {
				v, w := d.Sample(a), again.Sample(b)
				if v != w || v < 0 || v > MaxDuration {
					t.Fatalf("%q: drew %v, then %v", text, v, w)
				}
			}
		}
		if c, err := ParseCounts(text); err == nil {
			rng := rand.New(rand.NewPCG(1, 1))
			for range 8 {
				if v := c.Sample(rng); v < 1 || v > MaxCount {
					t.Fatalf("%q: drew %d", text, v)
				}
			}
		}
	})
}
