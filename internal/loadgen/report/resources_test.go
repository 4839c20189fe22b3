package report

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// started is a run of a server that loadgen has started itself.
func started(t testing.TB) *result.Result {
	r := bare(t)
	res := &result.Resources{
		Command: "deno run -A main.ts", Method: "proc", EarlierRuns: 2,
		Idle: &result.Usage{FromNS: -time.Second, Cores: .012, RSSMeanBytes: 60 << 20, FDsMean: 12, ThreadsMean: 9},
		Measured: &result.Usage{
			ToNS: 10 * time.Second, CPUNS: 4 * time.Second, CPUErrorNS: 20 * time.Millisecond, Cores: .4,
			RSSMeanBytes: 90 << 20, RSSPeakBytes: 96 << 20, FDsMean: 111.7, FDsPeak: 113, ThreadsMean: 9.46, ThreadsPeak: 11, ProcessesPeak: 2,
		},
		After: &result.ResourceSample{AtNS: 12 * time.Second, RSSBytes: 80 << 20, FDs: 13, Threads: 10, Processes: 2},
		PerOperation: []result.PerOperation{
			{Workload: "idle", Operation: "arrival", Count: 1000, CPUNS: 4e6, ErrorNS: 1e5, IdleNS: 120e3},
			{Operation: "delivery", Count: 4000, CPUNS: 1e6, ErrorNS: 5e3},
		},
		PerConnection: &result.PerConnection{Bytes: 300 << 10, ErrorBytes: 400 << 10, Connections: 100, FDs: 99.7},
		BytesOut:      5 << 20,
		Unknown:       []string{"descriptors: of processes that belong to\x1b another user, 1 at most"},
	}
	for i := range 13 {
		at := time.Duration(i-1) * time.Second
		res.Series = append(res.Series, result.ResourceSample{AtNS: at, CPUNS: time.Duration(i) * 400 * time.Millisecond, RSSBytes: int64(60+3*i) << 20})
	}
	r.Resources = res
	return r
}

func TestResources(t *testing.T) {
	golden(t, "resources.text", render(t, "text", started(t), Options{Width: 100}))
	golden(t, "resources.md", render(t, "md", started(t), Options{}))
	page := string(render(t, "html", started(t), Options{}))
	for _, want := range []string{"deno run -A main.ts", "CPU of the server over time", "Memory of the server over time", "4 ms ± 100 µs"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if n := strings.Count(page, "<svg"); n != 2 {
		t.Errorf("%d pictures, want 2", n)
	}
	if b := render(t, "json", started(t), Options{}); !bytes.Contains(b, []byte(`"per_connection"`)) {
		t.Error("JSON lacks them")
	}
	for _, format := range Formats() {
		if b := render(t, format, started(t), Options{}); bytes.ContainsRune(b, 0x1b) {
			t.Errorf("%s obeys a control character", format)
		}
	}
}

// A server that ended is seen, and one whose figures are not known takes no room
// for them.
func TestResourcesOfAServerThatEnded(t *testing.T) {
	r := bare(t)
	r.Resources = &result.Resources{Command: "x", Ended: &result.ServerEnd{AtNS: 3 * time.Second, Status: "signal: killed"}}
	for format, want := range map[string]string{"text": "ended  3 s  into the run, by itself: signal: killed", "md": "**3 s**", "html": "signal: killed"} {
		if got := string(render(t, format, r, Options{})); !strings.Contains(got, want) {
			t.Errorf("%s does not say %q:\n%s", format, want, got)
		}
	}
}

// A long run stays one picture.
func TestResourceFiguresAreBounded(t *testing.T) {
	r := started(t)
	for i := range 5000 {
		r.Resources.Series = append(r.Resources.Series, result.ResourceSample{AtNS: time.Duration(20+i) * time.Second, CPUNS: time.Duration(10+i) * time.Second})
	}
	pictures, err := resourceFigures(r.Resources, 0)
	if err != nil || len(pictures) != 2 {
		t.Fatalf("%d pictures, %v", len(pictures), err)
	}
	if n := len(pictures[0].SVG); n > 40<<10 {
		t.Errorf("%d bytes", n)
	}
}
