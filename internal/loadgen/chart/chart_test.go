package chart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"image/png"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/edgeload/edgeload/internal/loadgen/hist"
	"github.com/edgeload/edgeload/internal/loadgen/result"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; -update rewrites it):\n%s", path, diff)
	}
}

// lognormal is n draws around a median, the same ones every time.
func lognormal(n int, median time.Duration, sigma float64) *hist.Histogram {
	rng := rand.New(rand.NewPCG(7, 11))
	h := hist.New(hist.Durations)
	for range n {
		h.Record(int64(float64(median)*math.Exp(sigma*rng.NormFloat64())), 1)
	}
	return h
}

func metric(t *testing.T, name string, h *hist.Histogram) result.Metric {
	t.Helper()
	d, err := result.NewDistribution(h)
	if err != nil {
		t.Fatal(err)
	}
	return result.Metric{Name: name, Kind: result.Histogram, Unit: result.Nanoseconds, Distribution: d}
}

// intervals is n seconds of which every seventh has no samples, the first two
// being the warm-up.
func intervals(t *testing.T, n int) []result.Interval {
	t.Helper()
	var all []result.Interval
	for i := range n {
		iv := result.Interval{
			StartNS: time.Duration(i) * time.Second, EndNS: time.Duration(i+1) * time.Second,
			InFlight: int64(10 + i%5), Counters: map[string]int64{}, Histograms: map[string]string{},
		}
		if i >= 2 {
			iv.Counters["finished"] = int64(50 + i%3)
			iv.Counters["failed"] = int64(i % 2)
			if i%7 != 0 {
				encoded, err := lognormal(40, time.Duration(100+i)*time.Millisecond, 0.2).Encode()
				if err != nil {
					t.Fatal(err)
				}
				iv.Histograms["ttft"] = encoded
			}
		}
		all = append(all, iv)
	}
	return all
}

// charts are one of each kind, made when called for.
func charts(t *testing.T) map[string]func() Chart {
	ttft := Line{"TTFT", metric(t, "ttft", lognormal(1500, 300*time.Millisecond, 0.3))}
	itl := Line{"ITL", metric(t, "itl", lognormal(20_000, 20*time.Millisecond, 0.15))}
	none := Line{"none", result.Metric{Name: "stall", Kind: result.Histogram, Unit: result.Nanoseconds, Distribution: &result.Distribution{}}}
	must := func(c Chart, err error) Chart {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	return map[string]func() Chart{
		"percentiles":  func() Chart { return must(ByPercentile("TTFT by percentile", ttft, none)) },
		"spread apart": func() Chart { return must(ByPercentile("TTFT and ITL", ttft, itl)) },
		"over time":    func() Chart { return must(LatencyOverTime("TTFT over time", ttft, intervals(t, 20), 2*time.Second)) },
		"long run":     func() Chart { return must(LatencyOverTime("TTFT over time", ttft, intervals(t, 130), 2*time.Second)) },
		"distribution": func() Chart { return must(Distribution("distribution", ttft, itl, none)) },
		"constant": func() Chart {
			return must(Distribution("constant", Line{"x", metric(t, "x", constant(100, 300*time.Millisecond))}))
		},
		"rates": func() Chart {
			counts := []Count{{"finished", []string{"finished"}}, {"failed", []string{"failed"}}}
			return RatesOverTime("rates", "a second", counts, intervals(t, 20), 2*time.Second)
		},
		"in flight": func() Chart { return InFlightOverTime("in flight", "streams", intervals(t, 20), 2*time.Second) },
		"empty":     func() Chart { return must(ByPercentile("nothing", none)) },
	}
}

func constant(n int, v time.Duration) *hist.Histogram {
	h := hist.New(hist.Durations)
	h.Record(int64(v), int64(n))
	return h
}

// dump writes a chart's points down.
func dump(c Chart) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\nx %+v\ny %+v\nwarm-up until %g\n%s\n", c.Title, c.X, c.Y, c.Warmup, c.Note)
	for _, s := range c.Series {
		fmt.Fprintf(&b, "\n%s, sparse from %.6g, step %v\n", s.Name, s.Sparse, s.Step)
		for _, p := range s.Points {
			fmt.Fprintf(&b, "%.6g\t%.6g\n", p.X, p.Y)
		}
	}
	return b.Bytes()
}

func TestPoints(t *testing.T) {
	for name, c := range charts(t) {
		if name != "long run" {
			t.Run(name, func(t *testing.T) { golden(t, strings.ReplaceAll(name, " ", "-"), dump(c())) })
		}
	}
}

func TestSVG(t *testing.T) {
	for name, draw := range charts(t) {
		t.Run(name, func(t *testing.T) {
			c := draw()
			svg, err := c.SVG()
			if err != nil {
				t.Fatal(err)
			}
			again, err := c.SVG()
			if err != nil || !bytes.Equal(svg, again) {
				t.Errorf("drawn twice, the chart differs (%v)", err)
			}
			if len(svg) > 40<<10 {
				t.Errorf("%d bytes", len(svg))
			}
			text := string(svg)
			for _, fixed := range []string{"#000000", "NaN", "Inf", `fill="black"`, "#FFFFFF"} {
				if strings.Contains(text, fixed) {
					t.Errorf("it holds %s", fixed)
				}
			}
			for _, want := range []string{`viewBox="0 0 370 235"`, `width="100%"`, `role="img"`, "<title>" + c.Title + "</title>", `fill="currentColor"`} {
				if !strings.Contains(text, want) {
					t.Errorf("no %s", want)
				}
			}
			for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
				if _, err := d.Token(); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatalf("not well-formed: %v", err)
				}
			}
		})
	}
}

func TestTitleIsEscaped(t *testing.T) {
	svg, err := Chart{Title: `<script>"&`}.SVG()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(svg), "<script") || !strings.Contains(string(svg), `aria-label="&lt;script&gt;&#34;&amp;"`) {
		t.Errorf("%s", svg)
	}
}

func TestImage(t *testing.T) {
	c := charts(t)["spread apart"]()
	canvas := vgimg.New(width, height)
	if err := c.draw(canvas); err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if _, err := (vgimg.PngCanvas{Canvas: canvas}).WriteTo(&got); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "percentiles.png")
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if share := differing(t, got.Bytes(), want); share > 0.005 {
		t.Errorf("%.2g %% of the picture differs from %s", 100*share, path)
	}
}

// differing is the share of pixels in which two pictures visibly differ.
func differing(t *testing.T, a, b []byte) float64 {
	t.Helper()
	x, err := png.Decode(bytes.NewReader(a))
	if err != nil {
		t.Fatal(err)
	}
	y, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if x.Bounds() != y.Bounds() {
		return 1
	}
	const visible = 0x2000
	var n int
	size := x.Bounds().Size()
	for i := range size.X * size.Y {
		p, q := x.At(i%size.X, i/size.X), y.At(i%size.X, i/size.X)
		pr, pg, pb, pa := p.RGBA()
		qr, qg, qb, qa := q.RGBA()
		for _, d := range []int{int(pr) - int(qr), int(pg) - int(qg), int(pb) - int(qb), int(pa) - int(qa)} {
			if d > visible || d < -visible {
				n++
				break
			}
		}
	}
	return float64(n) / float64(size.X*size.Y)
}

func TestLongRunsAreMerged(t *testing.T) {
	ivs := intervals(t, 130)
	c := charts(t)["long run"]()
	if n := len(c.Series[0].Points); n > maxTimePoints || n < maxTimePoints/2 {
		t.Errorf("%d points", n)
	}
	want := hist.New(hist.Durations)
	for _, iv := range ivs[2:4] {
		if encoded := iv.Histograms["ttft"]; encoded != "" {
			h, err := hist.Decode(encoded, hist.Durations, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := want.Merge(h); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := c.Series[1].Points[1].Y; got != float64(want.Quantile(0.95)) {
		t.Errorf("p95 of merged intervals is %v, want %d", got, want.Quantile(0.95))
	}
}

func TestBrokenHistograms(t *testing.T) {
	broken := result.Metric{Name: "ttft", Kind: result.Histogram, Unit: result.Nanoseconds, Distribution: &result.Distribution{Count: 1, HDR: "nonsense"}}
	ivs := []result.Interval{{EndNS: time.Second, Histograms: map[string]string{"ttft": "nonsense"}}}
	if _, err := ByPercentile("x", Line{"x", broken}); err == nil || !strings.Contains(err.Error(), "chart of ttft") {
		t.Errorf("by percentile: %v", err)
	}
	if _, err := Distribution("x", Line{"x", broken}); err == nil {
		t.Error("distribution: no error")
	}
	if _, err := LatencyOverTime("x", Line{"x", broken}, ivs, 0); err == nil || !strings.Contains(err.Error(), "at 0s") {
		t.Errorf("over time: %v", err)
	}
}

func TestRuns(t *testing.T) {
	nan := math.NaN()
	s := Series{Sparse: 5, Points: []Point{{1, 1}, {2, nan}, {3, 3}, {4, 4}, {6, 6}, {7, nan}, {8, 8}}}
	got := s.runs()
	want := []run{
		{points: []Point{{1, 1}}},
		{points: []Point{{3, 3}, {4, 4}}},
		{points: []Point{{4, 4}, {6, 6}}, sparse: true},
		{points: []Point{{8, 8}}},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(run{})); diff != "" {
		t.Error(diff)
	}
}
