package report

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"github.com/edgeload/edgeload/internal/loadgen/result"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with testdata/<name>.golden.
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

func render(t *testing.T, format string, r *result.Result, o Options) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, format, []*result.Result{r}, o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestGolden(t *testing.T) {
	for _, c := range []struct {
		name, format string
		make         func(testing.TB) *result.Result
		o            Options
	}{
		{"valid.text", "text", fixtureResult, Options{}},
		{"valid-80.text", "text", fixtureResult, Options{Width: 80}},
		{"degraded-color.text", "text", degraded, Options{Color: true, Width: 120}},
		{"invalid.text", "text", invalid, Options{}},
		{"bare.text", "text", bare, Options{}},
		{"valid.md", "md", fixtureResult, Options{}},
		{"invalid.md", "md", invalid, Options{}},
		{"bare.md", "md", bare, Options{}},
		{"bare.json", "json", bare, Options{}},
	} {
		t.Run(c.name, func(t *testing.T) { golden(t, c.name, render(t, c.format, c.make(t), c.o)) })
	}
}

// A stored result file can be shown in every format.
func TestStoredFile(t *testing.T) {
	path := filepath.Join("testdata", "small.result.json")
	if *update {
		b, err := small(t).Encode()
		if err == nil {
			err = os.WriteFile(path, b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	r, err := result.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range Formats() {
		if got := render(t, format, r, Options{}); !bytes.Contains(got, []byte("small")) {
			t.Errorf("%s does not name the run", format)
		}
	}
	golden(t, "small.json", render(t, "json", r, Options{}))
}

func TestWrite(t *testing.T) {
	r := fixtureResult(t)
	for _, c := range []struct {
		name, format string
		results      []*result.Result
		want         string
	}{
		{"unknown format", "pdf", []*result.Result{r}, `unknown report format "pdf": choose html, json, md, text`},
		{"nothing", "text", nil, "no result to report on"},
		{"two in a page", "html", []*result.Result{r, r}, "a report in format html holds one result, not 2: write them one at a time"},
		{"no scenario", "text", []*result.Result{{ID: "x"}}, "report on x as text: result x holds no scenario"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			err := Write(&b, c.format, c.results, Options{})
			if err == nil || err.Error() != c.want {
				t.Errorf("error is %v, want %s", err, c.want)
			}
			if b.Len() > 0 {
				t.Errorf("wrote %d bytes beside the error", b.Len())
			}
		})
	}
	var two bytes.Buffer
	if err := Write(&two, "json", []*result.Result{bare(t), bare(t)}, Options{}); err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(&two)
	for n := range 2 {
		var s struct{ Summary int }
		if err := dec.Decode(&s); err != nil || s.Summary != 1 {
			t.Errorf("document %d: summary %d, %v", n, s.Summary, err)
		}
	}
}

// Every format, and every line of it, keeps credentials and control characters
// to itself.
func TestNothingLeaks(t *testing.T) {
	r := fixtureResult(t)
	r.Scenario.Target = "http://user:hunter2@127.0.0.1:8080"
	r.Workloads[0].Errors[0].Example = "\x1b[2Jgotcha\r\n<script>alert(1)</script> @octocat | x"
	r.Workloads[0].Metrics[0].Name = "off|ered<script>"
	for _, format := range Formats() {
		text := string(render(t, format, r, Options{}))
		for _, secret := range []string{"hunter2", "eyJ-very-secret", "\x1b", "\r"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds %q", format, secret)
			}
		}
		if (format == "html" || format == "md") && (strings.Contains(text, "<script") || strings.Contains(text, "@octocat")) && format == "md" {
			t.Errorf("%s holds live markup", format)
		}
		if format == "html" && strings.Contains(text, "<script") {
			t.Error("html holds a script")
		}
	}
}

func TestUnevenIsLoud(t *testing.T) {
	r := invalid(t)
	for format, want := range map[string]string{
		"text": "ERROR  rooms: expected = received + lost does not add up",
		"md":   "**ERROR: rooms: expected = received + lost does not add up.**",
		"html": "ERROR: rooms does not add up",
	} {
		text := string(render(t, format, r, Options{}))
		at := strings.Index(text, want)
		if at < 0 || at > strings.Index(text, "cannot vouch") {
			t.Errorf("%s: %q stands at %d, after the verdict or nowhere", format, want, at)
		}
	}
}

func TestIntegrityTellsStreamsApart(t *testing.T) {
	text := string(render(t, "text", fixtureResult(t), Options{}))
	for _, want := range []string{
		"complete", "truncated", "in-band error", "HTTP error", "timeout", "fake streaming", "reasoning first", "first event bare", "none: connection error · unfinished",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no word of %q", want)
		}
	}
}

func TestSparse(t *testing.T) {
	for _, c := range []struct {
		n    int64
		q    float64
		want bool
	}{
		{9999, 0.999, true}, {10_000, 0.999, false}, {999, 0.99, true}, {1000, 0.99, false}, {19, 0.5, true}, {20, 0.5, false}, {200, 0.95, false},
	} {
		if got := sparse(c.n, c.q); got != c.want {
			t.Errorf("sparse(%d, %v) = %v", c.n, c.q, got)
		}
	}
}

func TestPercent(t *testing.T) {
	for _, c := range []struct {
		num, den int64
		want     string
	}{
		{0, 0, "no data"}, {30000, 30000, "100 %"}, {29988, 30000, "99.96 %"}, {999_999_999, 1_000_000_000, "99.9999 %"}, {1, 3, "33.3 %"}, {0, 5, "0 %"},
	} {
		if got := percent(c.num, c.den); got != c.want {
			t.Errorf("percent(%d, %d) = %s, want %s", c.num, c.den, got, c.want)
		}
	}
}

func TestTextFitsWidth(t *testing.T) {
	for _, width := range []int{80, 100, 120} {
		for _, line := range strings.Split(string(render(t, "text", fixtureResult(t), Options{Width: width})), "\n") {
			if n := utf8.RuneCountInString(line); n > width {
				t.Errorf("width %d: %d columns: %s", width, n, line)
			}
		}
	}
}

func TestMarkdownStaysSmall(t *testing.T) {
	r := fixtureResult(t)
	for range 200 {
		r.Workloads = append(r.Workloads, r.Workloads[0])
	}
	text := render(t, "md", r, Options{})
	if len(text) >= 64<<10 {
		t.Errorf("%d bytes", len(text))
	}
	if !bytes.Contains(text, []byte("sections left out")) {
		t.Error("what was left out is not said")
	}
}

func TestJSONIsASummary(t *testing.T) {
	text := render(t, "json", fixtureResult(t), Options{})
	if regexp.MustCompile(`"hdr"|"histograms"`).Match(text) {
		t.Error("encoded histograms are in it")
	}
	var s struct {
		Summary   int
		Version   *int
		Workloads []struct {
			Name    string
			Metrics []struct {
				Name         string
				Distribution *struct{ Count, P99 int64 }
			}
			Intervals []struct {
				Quantiles map[string]struct{ Count, P50, P95, P99, Max int64 }
			}
		}
	}
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	var samples, total int64
	for _, m := range s.Workloads[0].Metrics {
		if m.Name == "ttft" {
			total = m.Distribution.Count
		}
	}
	for _, iv := range s.Workloads[0].Intervals {
		samples += iv.Quantiles["ttft"].Count
	}
	if s.Summary != 1 || s.Version != nil || total != 1500 || samples != total {
		t.Errorf("summary %d, version %v, ttft %d samples, %d in intervals; want 1, none, 1500, 1500", s.Summary, s.Version, total, samples)
	}
}

func TestHTMLStructure(t *testing.T) {
	for name, c := range map[string]struct {
		make    func(testing.TB) *result.Result
		figures int
	}{
		"valid": {fixtureResult, 13}, "degraded": {degraded, 13}, "invalid": {invalid, 13}, "bare": {bare, 0},
	} {
		t.Run(name, func(t *testing.T) {
			page := render(t, "html", c.make(t), Options{})
			if len(page) > 600<<10 {
				t.Errorf("%d bytes", len(page))
			}
			root, err := html.Parse(bytes.NewReader(page))
			if err != nil {
				t.Fatal(err)
			}
			figures, viewports := 0, 0
			for n := range root.Descendants() {
				if n.Type != html.ElementNode {
					continue
				}
				attrs := make(map[string]string)
				for _, a := range n.Attr {
					attrs[a.Key] = a.Val
				}
				switch n.Data {
				case "script", "link", "img", "iframe", "object":
					t.Errorf("page holds a %s", n.Data)
				case "th":
					if attrs["scope"] == "" {
						t.Error("a th has no scope")
					}
				case "svg":
					figures++
					if attrs["role"] != "img" || attrs["aria-label"] == "" || attrs["viewBox"] == "" {
						t.Errorf("svg attributes: %v", attrs)
					}
				case "meta":
					if attrs["name"] == "viewport" {
						viewports++
					}
				case "table":
					if !strings.Contains(parentClass(n), "scroll") {
						t.Error("a table does not scroll by itself")
					}
				}
				for _, key := range []string{"src", "href", "onclick", "action"} {
					if attrs[key] != "" {
						t.Errorf("%s has %s=%s", n.Data, key, attrs[key])
					}
				}
			}
			if figures != c.figures || viewports != 1 {
				t.Errorf("%d figures and %d viewports, want %d and 1", figures, viewports, c.figures)
			}
			if bytes.Contains(page, []byte("#000000")) || bytes.Contains(page, []byte("NaN")) || bytes.Contains(page, []byte("ZgotmplZ")) {
				t.Error("page holds a fixed black, a NaN or text the template would not take")
			}
		})
	}
}

func parentClass(n *html.Node) string {
	for _, a := range n.Parent.Attr {
		if a.Key == "class" {
			return a.Val
		}
	}
	return ""
}

// A ratio of two times shows times, not bare nanoseconds.
func TestRatioInTheUnitsOfItsCounters(t *testing.T) {
	w := &result.Workload{Metrics: []result.Metric{
		{Name: "stall_time", Kind: result.Counter, Unit: result.Nanoseconds, Value: 2e9},
		{Name: "stream_time", Kind: result.Counter, Unit: result.Nanoseconds, Value: 8e9},
	}}
	m := &result.Metric{Name: "stall_time_ratio", Kind: result.Ratio, Unit: result.One, Value: .25, Num: 2e9, Den: 8e9, Of: []string{"stall_time", "stream_time"}}
	if got, want := newRatioRow(w, m), (ratioRow{"stall_time_ratio", "0.25", "2 s", "8 s"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	m.Of = nil
	if got := newRatioRow(w, m).Num; got != "2,000,000,000" {
		t.Errorf("without names: %s", got)
	}
}
