package peers_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A stored is what this package reads of a result file.
type stored struct {
	Workloads []struct{ Metrics []storedMetric }
	Validity  struct {
		State   string
		Reasons []struct{ Check, Detail string }
	}
}

type storedMetric struct {
	Name         string
	Value        float64
	Distribution struct{ P50, P95, P99 float64 } // nanoseconds
}

// metric is one of the only workload's; the zero metric where it is missing.
func (s *stored) metric(name string) storedMetric {
	for _, m := range s.Workloads[0].Metrics {
		if m.Name == name {
			return m
		}
	}
	return storedMetric{}
}

// verdict is empty for a valid run.
func (s *stored) verdict() string {
	if s.Validity.State == "VALID" {
		return ""
	}
	text := s.Validity.State
	for _, r := range s.Validity.Reasons {
		text += "; " + r.Check + " " + r.Detail
	}
	return text
}

// loadgen runs a scenario and reads its result. That loadgen calls its own run
// doubtful, by its exit code, is no error here: the tables say so.
func (t *tools) loadgen(ctx context.Context, yaml string) (*stored, child, error) {
	dir, err := os.MkdirTemp(t.Dir, "loadgen-")
	if err != nil {
		return nil, child{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // within the benchmark's own folder
	file := filepath.Join(dir, "peers.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o644); err != nil {
		return nil, child{}, err
	}
	c, runErr := runChild(ctx, dir, nil, t.Loadgen.Argv[0], "run", "-q", "--out", dir, file)
	files, err := filepath.Glob(filepath.Join(dir, "*-peers", "result.json"))
	if err != nil || len(files) != 1 {
		return nil, c, fmt.Errorf("%d result files: %w", len(files), runErr)
	}
	raw, err := os.ReadFile(files[0])
	if err != nil {
		return nil, c, err
	}
	var s stored
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, c, fmt.Errorf("read %s: %w", files[0], err)
	}
	if len(s.Workloads) != 1 {
		return nil, c, fmt.Errorf("%s has %d workloads", files[0], len(s.Workloads))
	}
	return &s, c, nil
}

// loadgenHTTP is loadgen with requests: at a rate, or by users in a closed loop.
func (t *tools) loadgenHTTP(ctx context.Context, h hit) (answer, child, error) {
	addr, path, _ := strings.Cut(strings.TrimPrefix(h.URL, "http://"), "/")
	load := fmt.Sprintf("{rate: %d/s}", h.Rate)
	if h.Rate == 0 {
		load = fmt.Sprintf("{users: %d}", h.Over)
	}
	s, c, err := t.loadgen(ctx, fmt.Sprintf(`
version: 1
name: peers
target: http://%s
warmup: 0s
duration: %v
drain: 5s
workloads:
  api:
    protocol: http
    load: %s
    request: {path: /%s}
`, addr, h.For, load, path))
	if err != nil {
		return answer{}, c, err
	}
	if failed := s.metric("failed").Value; failed > 0 {
		return answer{}, c, fmt.Errorf("loadgen: %v requests failed", failed)
	}
	d := s.metric("latency").Distribution
	return answer{
		Requests: s.metric("succeeded").Value, Note: s.verdict(),
		Latency: figures{"p50": ms(int64(d.P50)), "p95": ms(int64(d.P95)), "p99": ms(int64(d.P99))},
	}, c, nil
}
