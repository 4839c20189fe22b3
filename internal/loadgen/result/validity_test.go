package result

import (
	"strings"
	"testing"
	"time"
)

// healthy is a run nothing is wrong with.
func healthy() *Result {
	return &Result{
		Health: Health{
			LatenessP99NS: time.Millisecond, GCPauseMaxNS: 200 * time.Microsecond, SchedP99NS: 100 * time.Microsecond,
			CPUCores: 1, CPUQuota: 2, FDsPeak: 500, FDLimit: 20000, Offered: 1000, Samples: 100_000,
		},
		Workloads: []Workload{{
			Name: "chat", InFlight: InFlight{Looked: 100, Added: 101},
			Balances: []Balance{{Name: "offered = started + dropped", Left: 1000, Right: 1000}},
		}},
	}
}

func TestJudge(t *testing.T) {
	for _, tc := range []struct {
		name   string
		spoil  func(*Result)
		state  State
		check  string
		detail string
	}{
		{"healthy", func(*Result) {}, Valid, "", ""},
		{"late", func(r *Result) { r.Health.LatenessP99NS = 12 * time.Millisecond }, Degraded, "lateness", "p99 12ms"},
		{"very late", func(r *Result) { r.Health.LatenessP99NS = time.Second }, Invalid, "lateness", "limit 50ms"},
		{"connects throttled", func(r *Result) { r.Health.ConnectWaitP99NS = 20 * time.Millisecond }, Degraded, "connect wait", "p99 20ms for their turn"},
		{"connects far behind", func(r *Result) { r.Health.ConnectWaitP99NS = time.Second }, Invalid, "connect wait", "limit 50ms"},
		{"one dropped", func(r *Result) { r.Health.Dropped = 1 }, Degraded, "dropped", "0.1% of the offered"},
		{"many dropped", func(r *Result) { r.Health.Dropped = 11 }, Invalid, "dropped", "limit 1%"},
		{"slow reader", func(r *Result) { r.Health.ReadDelayP99NS = time.Second }, Degraded, "read delay", "limit 50ms"},
		{"gc", func(r *Result) { r.Health.GCPauseMaxNS = 20 * time.Millisecond }, Degraded, "gc pause", "20ms"},
		{"scheduler", func(r *Result) { r.Health.SchedP99NS = 60 * time.Millisecond }, Invalid, "scheduler", "60ms"},
		{"busy", func(r *Result) { r.Health.CPUCores = 1.7 }, Degraded, "cpu", "85%"},
		{"saturated", func(r *Result) { r.Health.CPUCores = 1.99 }, Invalid, "cpu", "99.5%"},
		{"a neighbour", func(r *Result) { r.Health.StealShare = .04 }, Valid, "", ""},
		{"a loud neighbour", func(r *Result) { r.Health.StealShare = .12 }, Degraded, "steal", "took 12% of the CPUs' time"},
		{"descriptors", func(r *Result) { r.Health.FDsPeak = 19_000 }, Degraded, "descriptors", "95%"},
		{"out of range", func(r *Result) { r.Health.OutOfRange = 1 }, Degraded, "range", "limit 0%"},
		{"much out of range", func(r *Result) { r.Health.OutOfRange = 200 }, Invalid, "range", ""},
		{"clock step back", func(r *Result) { r.Health.ClockStepNS = -time.Second }, Invalid, "clock", "1s"},
		{"little", func(r *Result) { r.Workloads[0].InFlight.Added = 90 }, Degraded, "little's law", "chat"},
		{"little of a handful", func(r *Result) { r.Workloads[0].InFlight = InFlight{Looked: 1, Added: 2} }, Valid, "", ""},
		{"uneven", func(r *Result) { r.Workloads[0].Balances[0].Right++ }, Invalid, "balance", "1000 against 1001"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := healthy()
			tc.spoil(r)
			v := Judge(r)
			if v.State != tc.state {
				t.Fatalf("%+v, want %s", v, tc.state)
			}
			if tc.state == Valid {
				if len(v.Reasons) != 0 {
					t.Errorf("valid, with reasons %+v", v.Reasons)
				}
				return
			}
			if got := v.Reasons[0]; got.Check != tc.check || !strings.Contains(got.Detail, tc.detail) || got.Remedy == "" {
				t.Errorf("reason %+v, want check %q with %q and a remedy", got, tc.check, tc.detail)
			}
		})
	}
}

func TestJudgePutsTheWorstFirst(t *testing.T) {
	r := healthy()
	r.Health.CPUCores = 1.7
	r.Health.SchedP99NS = time.Second
	r.Health.Dropped = 1
	v := Judge(r)
	if v.State != Invalid || len(v.Reasons) != 3 || v.Reasons[0].Check != "scheduler" {
		t.Errorf("%+v", v)
	}
}
