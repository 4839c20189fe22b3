package scenario

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0s": 0, "800ms": 800 * time.Millisecond, "1m30s": 90 * time.Second, "1.5h": 90 * time.Minute, "20µs": 20 * time.Microsecond,
	} {
		if d, err := ParseDuration(text); err != nil || time.Duration(d) != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", text, d, err, want)
		}
	}
	for text, part := range map[string]string{
		"": "want", "5": "want", "5 s": "want", "s": "want", "-5s": "negative", "721h": "above 720h", "99999999999h": "above", "1d": "want", "+1s": "want", "NaN": "want",
	} {
		if d, err := ParseDuration(text); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("ParseDuration(%q) = %v, %v; want an error with %q", text, d, err, part)
		}
	}
	for d, want := range map[time.Duration]string{30 * time.Second: "30s", 90 * time.Second: "1m30s", 2 * time.Hour: "2h", time.Minute: "1m", 0: "0s", time.Hour + time.Second: "1h0m1s"} {
		if got := Duration(d).String(); got != want {
			t.Errorf("Duration(%d) = %q, want %q", d, got, want)
		}
	}
}

func TestRate(t *testing.T) {
	for text, want := range map[string]Rate{"50/s": 50, "600/m": 10, "10/h": 10.0 / 3600, "0/s": 0, "1e6/s": 1e6, "0.5/s": 0.5} {
		if r, err := ParseRate(text); err != nil || r != want {
			t.Errorf("ParseRate(%q) = %v, %v; want %v", text, r, err, want)
		}
	}
	for text, part := range map[string]string{
		"": "want", "0": "50/s, 600/m or 10/h", "50": "unit", "-5/s": "negative", "NaN/s": "finite", "Inf/s": "finite", "1000001/s": "above 1000000/s",
		"1e400/s": "above", "1e-9/s": "below", "5/d": "want", "/s": "want", "5 /s": "want", "-Inf/s": "finite",
	} {
		if r, err := ParseRate(text); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("ParseRate(%q) = %v, %v; want an error with %q", text, r, err, part)
		}
	}
	for text, want := range map[string]string{"50/s": "50/s", "600/m": "10/s", "10/h": "10/h", "90/m": "90/m", "0.5/s": "30/m", "0/h": "0/s"} {
		if r, err := ParseRate(text); err != nil || r.String() != want {
			t.Errorf("ParseRate(%q).String() = %q, %v; want %q", text, r, err, want)
		}
	}
}

func TestSizeDist(t *testing.T) {
	for text, want := range map[string]SizeDist{
		"256B":               {Min: 256, Max: 256},
		"4KiB":               {Min: 4096, Max: 4096},
		"1MB":                {Min: 1_000_000, Max: 1_000_000},
		"1.5kB":              {Min: 1500, Max: 1500},
		"0B":                 {},
		"uniform:100B,4KiB":  {Min: 100, Max: 4096},
		"lognormal:512B,0.8": {Min: 20, Max: 12561, Median: 512, Sigma: 0.8},
	} {
		if s, err := ParseSizeDist(text); err != nil || s != want {
			t.Errorf("ParseSizeDist(%q) = %+v, %v; want %+v", text, s, err, want)
		}
	}
	for text, part := range map[string]string{
		"": "want", "256": "want", "-1B": "want", "0.5B": "whole", "17MiB": "limit", "1e3B": "want", "uniform:4KiB": "want", "uniform:4KiB,100B": "smaller",
		"lognormal:512B,0": "σ", "lognormal:0B,1": "median", "normal:1B,2": "want", "uniform:1B,99999999999999999999MB": "limit",
	} {
		if s, err := ParseSizeDist(text); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("ParseSizeDist(%q) = %+v, %v; want an error with %q", text, s, err, part)
		}
	}
}

func TestDrawSizes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, text := range []string{"256B", "uniform:1B,3B", "lognormal:512B,0.8", "lognormal:1B,3", "lognormal:16MiB,1"} {
		s, err := ParseSizeDist(text)
		if err != nil {
			t.Fatal(err)
		}
		sizes := make([]int, 20000)
		for i := range sizes {
			sizes[i] = s.Draw(rng)
		}
		slices.Sort(sizes)
		if sizes[0] < s.Min || sizes[len(sizes)-1] > s.Max {
			t.Errorf("%s: drew %d to %d, want within %d to %d", text, sizes[0], sizes[len(sizes)-1], s.Min, s.Max)
		}
		median := float64(sizes[len(sizes)/2])
		if text == "lognormal:512B,0.8" && (median < 495 || median > 530) {
			t.Errorf("%s: median %v", text, median)
		}
		if text == "uniform:1B,3B" && (sizes[0] != 1 || median != 2 || sizes[len(sizes)-1] != 3) {
			t.Errorf("%s: %d, %v, %d", text, sizes[0], median, sizes[len(sizes)-1])
		}
	}
}

// Every value that was read once is read back exactly from its own notation.
func TestNotationsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := Duration(rapid.Int64Range(0, int64(maxDuration)).Draw(t, "duration"))
		if back, err := ParseDuration(d.String()); err != nil || back != d {
			t.Errorf("%d: %q reads back as %d, %v", d, d, back, err)
		}
		r := Rate(rapid.Float64Range(float64(minRate), float64(maxRate)).Draw(t, "rate"))
		if back, err := ParseRate(r.String()); err != nil || back != r {
			t.Errorf("%g: %q reads back as %g, %v", float64(r), r, float64(back), err)
		}
		low := rapid.IntRange(1, maxSize).Draw(t, "low")
		for _, text := range []string{
			formatSize(low),
			"uniform:" + formatSize(low) + "," + formatSize(rapid.IntRange(low, maxSize).Draw(t, "high")),
			"lognormal:" + formatSize(low) + ",0.5",
		} {
			s, err := ParseSizeDist(text)
			if err != nil {
				t.Fatal(err)
			}
			if back, err := ParseSizeDist(s.String()); err != nil || back != s {
				t.Errorf("%q reads back as %+v, %v; want %+v", s, back, err, s)
			}
		}
	})
}

func FuzzUnits(f *testing.F) {
	for _, text := range []string{"50/s", "600/m", "0/h", "-5/s", "1e6/s", "30s", "1m30s", "720h", "256B", "uniform:100B,4KiB", "lognormal:512B,0.8", "NaN/s", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if d, err := ParseDuration(text); err == nil {
			if back, err := ParseDuration(d.String()); err != nil || back != d || d < 0 {
				t.Errorf("duration %q: %v, then %v, %v", text, d, back, err)
			}
		}
		if r, err := ParseRate(text); err == nil {
			if back, err := ParseRate(r.String()); err != nil || back != r || r < 0 || r > maxRate {
				t.Errorf("rate %q: %v, then %v, %v", text, r, back, err)
			}
		}
		if s, err := ParseSizeDist(text); err == nil {
			if back, err := ParseSizeDist(s.String()); err != nil || back != s || s.Min < 0 || s.Max > maxSize || s.Min > s.Max {
				t.Errorf("size %q: %+v, then %+v, %v", text, s, back, err)
			}
			s.Draw(rand.New(rand.NewPCG(1, 1)))
		}
	})
}
