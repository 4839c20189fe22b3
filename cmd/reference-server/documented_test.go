package main

import (
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/edgeload/edgeload/internal/wire"
)

// family is the labels of one metric: their values by their names.
type family map[string][]string

// servedMetrics reads the metrics of the reference server off a /metrics page.
func servedMetrics(t *testing.T, page string) map[string]family {
	t.Helper()
	sample := regexp.MustCompile(`^(refserver_\w+?)(?:\{(.*)\})? \S+$`)
	label := regexp.MustCompile(`(\w+)="([^"]*)"`)
	all := make(map[string]family)
	current := ""
	for line := range strings.Lines(page) {
		line = strings.TrimSpace(line)
		if about, ok := strings.CutPrefix(line, "# TYPE "); ok {
			current, _, _ = strings.Cut(about, " ")
			if strings.HasPrefix(current, "refserver_") {
				all[current] = make(family)
			}
			continue
		}
		m := sample.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if all[current] == nil || !strings.HasPrefix(m[1], current) { // a histogram's have suffixes
			t.Fatalf("sample %q below the type of %q", line, current)
		}
		for _, l := range label.FindAllStringSubmatch(m[2], -1) {
			all[current][l[1]] = append(all[current][l[1]], l[2])
		}
	}
	return all
}

// documentedMetric is a row of the manual's table.
type documentedMetric struct {
	labels []string
	row    string
}

// documentedMetrics reads the table in the manual.
func documentedMetrics(t *testing.T) map[string]documentedMetric {
	t.Helper()
	manual, err := os.ReadFile("../../docs/reference-server.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(manual), "\n## Metrics\n")
	if !found {
		t.Fatal("the manual has no section Metrics")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	name := regexp.MustCompile("`(\\w+)(?:\\{([a-z,]*)\\})?`")
	all := make(map[string]documentedMetric)
	for row := range strings.Lines(section) {
		cells := strings.Split(row, "|")
		if len(cells) < 3 {
			continue
		}
		for _, m := range name.FindAllStringSubmatch(cells[1], -1) {
			var labels []string
			if m[2] != "" {
				labels = strings.Split(m[2], ",")
			}
			if _, twice := all[m[1]]; twice {
				t.Errorf("%s is in the manual twice", m[1])
			}
			all[m[1]] = documentedMetric{labels, row}
		}
	}
	return all
}

// Every metric of the server is in the manual, with its labels and their values, and
// the manual names no other.
func TestMetricsAreDocumented(t *testing.T) {
	defer goleak.VerifyNone(t)
	s := start(t, "--sim-ttft", "constant:0s", "--sim-gap", "constant:0s", "--sim-tokens", "constant:3")
	defer s.ended(t)
	defer s.stop()
	client := &http.Client{Transport: new(http.Transport)}
	defer client.CloseIdleConnections()
	resp := prompt(t, client, s) // what counts requests is there from the first on
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	resp, err := client.Get(s.url + wire.PathMetrics)
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}

	served, documented := servedMetrics(t, string(page)), documentedMetrics(t)
	for name := range documented {
		if served[name] == nil {
			t.Errorf("the manual has %s, which is not on /metrics", name)
		}
	}
	for name, labels := range served {
		d, ok := documented[name]
		if !ok {
			t.Errorf("the manual lacks %s", name)
			continue
		}
		delete(labels, "le") // of a histogram
		if want := slices.Sorted(maps.Keys(labels)); !slices.Equal(want, slices.Sorted(slices.Values(d.labels))) {
			t.Errorf("%s: the manual has the labels %v, /metrics has %v", name, d.labels, want)
		}
		for label, values := range labels {
			if label == "function" || label == "code" {
				continue // their values are not the manual's to list
			}
			for _, value := range values {
				if value != "" && !strings.Contains(d.row, "`"+value+"`") {
					t.Errorf("%s: the manual lacks %s=%q", name, label, value)
				}
			}
		}
	}
}
