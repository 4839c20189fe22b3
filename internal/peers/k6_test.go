package peers_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// A k6Summary is k6's own summary: metric → aggregate → value, times in
// milliseconds.
type k6Summary map[string]map[string]float64

// k6Head and k6Foot stand around each script. The options' aggregates must be
// asked for: k6 does not compute p(99) by default.
const (
	k6Head = `export const options = { summaryTrendStats: ['count', 'med', 'p(95)', 'p(99)'], scenarios: { peers: %s } };
`
	k6Foot = `
export function handleSummary(data) {
	const out = {};
	for (const name in data.metrics) out[name] = data.metrics[name].values;
	return { stdout: JSON.stringify(out) };
}
`
)

// k6 runs a script: imports, a scenario in JavaScript and the rest.
func (t *tools) k6(ctx context.Context, imports, scenario, body string) (k6Summary, child, error) {
	dir, err := os.MkdirTemp(t.Dir, "k6-run-")
	if err != nil {
		return nil, child{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // within the benchmark's own folder
	file := filepath.Join(dir, "script.js")
	if err := os.WriteFile(file, []byte(imports+fmt.Sprintf(k6Head, scenario)+body+k6Foot), 0o644); err != nil {
		return nil, child{}, err
	}
	c, err := runChild(ctx, dir, t.K6.Env, t.K6.Argv[0], "run", "--quiet", "--no-usage-report", "--address", "127.0.0.1:0", file)
	if err != nil {
		return nil, c, err
	}
	var s k6Summary
	if err := json.Unmarshal(c.Out, &s); err != nil {
		return nil, c, fmt.Errorf("read k6's summary %q: %w", tail(c.Out), err)
	}
	return s, c, nil
}
