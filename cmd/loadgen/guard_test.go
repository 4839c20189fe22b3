package main

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

func guarded(target, sink string, loads ...scenario.Load) *scenario.Scenario {
	sc := &scenario.Scenario{Name: "away", Target: target, Warmup: scenario.Duration(5 * time.Second), Duration: scenario.Duration(10 * time.Second), Workloads: make(map[string]*scenario.Workload)}
	if sink != "" {
		sc.Sink = &scenario.Sink{URL: sink}
	}
	for i, l := range loads {
		sc.Workloads[string(rune('a'+i))] = &scenario.Workload{Protocol: scenario.HTTP, Load: l}
	}
	return sc
}

func TestGuard(t *testing.T) {
	lookUp := func(_ context.Context, _, host string) ([]netip.Addr, error) {
		known := map[string][]netip.Addr{
			"localhost":    {netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")},
			"mine.example": {netip.MustParseAddr("127.0.0.9")},
			"two.example":  {netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.1")},
		}
		if found, ok := known[host]; ok {
			return found, nil
		}
		return nil, errors.New("no such host")
	}
	rate := scenario.Load{Rate: 20}
	for _, c := range []struct {
		sc   *scenario.Scenario
		want string // "" for no refusal
	}{
		{guarded("http://127.0.0.1:8080", "", rate), ""},
		{guarded("http://127.9.9.9", "", rate), ""},
		{guarded("http://[::1]:80", "http://127.0.0.1:9", rate), ""},
		{guarded("http://localhost:80", "", rate), ""},
		{guarded("https://mine.example", "", rate), ""},
		{guarded("https://two.example", "", rate), "two.example"},
		{guarded("https://unknown.example", "", rate), "unknown.example"},
		{guarded("http://10.0.0.1", "", rate), "scenario away: at most 20/s, 300 arrivals in 15s to 10.0.0.1, which is not this machine: give --allow-remote"},
		{guarded("http://127.0.0.1", "http://192.0.2.7:9000", rate), "192.0.2.7"},
		{guarded("http://0.0.0.0:80", "", rate), "0.0.0.0"},
		{guarded("http://10.0.0.1", "", scenario.Load{Rate: 20}, scenario.Load{Users: 7}, scenario.Load{Users: 5},
			scenario.Load{Stages: []scenario.Stage{{Duration: scenario.Duration(10 * time.Second), Rate: 40, Step: true}}}), "at most 60/s, 900 arrivals and 12 users in 15s"},
	} {
		var stderr strings.Builder
		err := guard{false, &stderr, lookUp}.check(t.Context(), []*scenario.Scenario{c.sc})
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.sc.Target, err)
			}
			continue
		}
		var e *exit
		if err == nil || !errors.As(err, &e) || e.code != exitUsage || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v; want %q in one line and exit %d", c.sc.Target, err, c.want, exitUsage)
		}
		if err := (guard{true, &stderr, lookUp}).check(t.Context(), []*scenario.Scenario{c.sc}); err != nil {
			t.Errorf("%s, allowed: %v", c.sc.Target, err)
		}
		if said := stderr.String(); strings.Count(said, "\n") != 1 || !strings.Contains(said, "loadgen: scenario away: at most ") {
			t.Errorf("%s, allowed: said %q", c.sc.Target, said)
		}
	}
}
