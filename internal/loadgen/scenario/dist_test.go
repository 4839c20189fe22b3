package scenario

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestTimeDist(t *testing.T) {
	for text, span := range map[string][2]time.Duration{
		"300ms":               {300 * time.Millisecond, 300 * time.Millisecond},
		"0s":                  {0, 0},
		"uniform:100ms,500ms": {100 * time.Millisecond, 500 * time.Millisecond},
		"lognormal:200ms,0.5": {27 * time.Millisecond, 1478 * time.Millisecond},
	} {
		d, err := ParseTimeDist(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if d.String() != text {
			t.Errorf("%s is written %s", text, d)
		}
		rng := rand.New(rand.NewPCG(1, 2))
		var sum time.Duration
		const n = 20000
		for range n {
			v := d.Draw(rng)
			if v < span[0] || v > span[1] || v > d.Max() {
				t.Fatalf("%s draws %v", text, v)
			}
			sum += v
		}
		if mean := sum / n; span[0] < span[1] && (mean < 215*time.Millisecond || mean > 310*time.Millisecond) {
			t.Errorf("%s draws %v on average", text, mean)
		}
	}
	for _, text := range []string{"", "300", "uniform:2s,1s", "uniform:1s", "lognormal:0s,1", "lognormal:1s,0", "lognormal:1s,4", "721h", "-1s", "constant:1s"} {
		if d, err := ParseTimeDist(text); err == nil {
			t.Errorf("%q reads as %v", text, d)
		}
	}
}

func TestCountDist(t *testing.T) {
	d, err := ParseCountDist("uniform:2,4")
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[int]int)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		seen[d.Draw(rng)]++
	}
	if len(seen) != 3 || seen[2] < 900 || seen[3] < 900 || seen[4] < 900 || d.Min() != 2 || d.Max() != 4 {
		t.Errorf("uniform:2,4 draws %v", seen)
	}
	for _, text := range []string{"7", "uniform:2,4", "lognormal:100,0.6"} {
		if d, err := ParseCountDist(text); err != nil || d.String() != text {
			t.Errorf("%s is written %s: %v", text, d, err)
		}
	}
	for _, text := range []string{"", "1.5", "1000001", "uniform:4,2", "lognormal:0,1"} {
		if d, err := ParseCountDist(text); err == nil {
			t.Errorf("%q reads as %v", text, d)
		}
	}
}

func FuzzDist(f *testing.F) {
	for _, text := range []string{"300ms", "uniform:100ms,500ms", "lognormal:200ms,0.5", "5", "uniform:2,8"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rng := rand.New(rand.NewPCG(1, 2))
		if d, err := ParseTimeDist(text); err == nil {
			if v := d.Draw(rng); v < 0 || v > d.Max() {
				t.Errorf("%q draws %v", text, v)
			}
		}
		if c, err := ParseCountDist(text); err == nil {
			if v := c.Draw(rng); v < c.Min() || v > c.Max() {
				t.Errorf("%q draws %d", text, v)
			}
		}
	})
}
