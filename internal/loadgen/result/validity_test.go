package result

import (
	"strings"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// Every limit is one that a test above goes beyond, but those of the envelope.
func TestEveryLimitIsJudged(t *testing.T) {
	judged := make(map[string]bool)
	r := healthy()
	r.Health = Health{
		LatenessP99NS: time.Hour, ConnectWaitP99NS: time.Hour, StealShare: 1, GCPauseMaxNS: time.Hour, GCPauseShare: 1, SchedP99NS: time.Hour, ReadDelayP99NS: time.Hour, CPUCores: 2, CPUQuota: 2,
		FDsPeak: 10, FDLimit: 10, Offered: 10, Dropped: 10, OutOfRange: 10, Samples: 10, ClockStepNS: time.Hour,
	}
	r.Workloads[0].InFlight.Added = 1
	r.Workloads[0].Errors = []ErrorClass{{LocalLimit, 9, ""}}
	for _, reason := range Judge(r).Reasons {
		judged[reason.Check] = true
	}
	for name := range HealthLimits() {
		if !judged[name] {
			t.Errorf("%s has limits and is not judged", name)
		}
	}
}

func TestTight(t *testing.T) {
	h := healthy().Health
	if got := Tight(h); got != "" {
		t.Errorf("a healthy run is tight: %s", got)
	}
	h.LatenessP99NS = 6 * time.Millisecond
	if got := Tight(h); got != "lateness 6ms, more than half of the limit 10ms" {
		t.Error(got)
	}
}

// healthy is a run nothing is wrong with.
func healthy() *Result {
	return &Result{
		Health: Health{
			LatenessP99NS: time.Millisecond, GCPauseMaxNS: 200 * time.Microsecond, SchedP99NS: 100 * time.Microsecond,
			CPUCores: 1, CPUQuota: 2, FDsPeak: 500, FDLimit: 20000, Offered: 1000, Samples: 100_000,
		},
		Workloads: []Workload{{
			Name: "chat", Headline: "ttft",
			Metrics: []Metric{
				{Name: "ttft", Kind: Histogram, Distribution: &Distribution{Count: 1000}},
				{Name: "offered", Kind: Counter, Value: 1000},
			},
			InFlight: InFlight{Looked: 100, Added: 101},
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
		{"one gc pause", func(r *Result) { r.Health.GCPauseMaxNS = 20 * time.Millisecond }, Valid, "", ""},
		{"a long gc pause", func(r *Result) { r.Health.GCPauseMaxNS = 60 * time.Millisecond }, Degraded, "gc pause", "60ms"},
		{"many gc pauses", func(r *Result) { r.Health.GCPauseShare = .02 }, Degraded, "gc share", "2% of the time"},
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
		{"ran out of ports", func(r *Result) { r.Workloads[0].Errors = []ErrorClass{{LocalLimit, 5, "dial"}} }, Degraded, "local limit", "0.5% of the offered"},
		{"has no ports", func(r *Result) { r.Workloads[0].Errors = []ErrorClass{{LocalLimit, 900, "dial"}} }, Invalid, "local limit", "90%"},
		{"nothing came", func(r *Result) {
			r.Workloads[0].Metrics[0].Distribution.Count = 0
			r.Workloads[0].Errors = []ErrorClass{{"connection refused", 1000, "dial tcp 127.0.0.1:1"}}
		}, Invalid, "no data", "chat: nothing was measured, no ttft: 1,000 arrivals, most often failed by connection refused: dial tcp 127.0.0.1:1"},
		{"nothing was due", func(r *Result) {
			r.Workloads[0].Metrics = []Metric{{Name: "offered", Kind: Counter}}
		}, Invalid, "no data", "no arrival came due"},
		{"nothing came, and something is expected", func(r *Result) {
			r.Workloads[0].Metrics = nil
			r.Scenario = &scenario.Scenario{Thresholds: map[string][]scenario.Threshold{"chat.http_error": {{Text: "count > 0"}}}}
		}, Valid, "", ""},
		{"nothing came, and something is expected of another", func(r *Result) {
			r.Workloads[0].Metrics = nil
			r.Scenario = &scenario.Scenario{Thresholds: map[string][]scenario.Threshold{"chat2.ttft": {{Text: "count > 0"}}}}
		}, Invalid, "no data", "chat"},
		{"nothing came before the interrupt", func(r *Result) { r.Workloads[0].Metrics, r.Interrupted = nil, true }, Valid, "", ""},
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
			if got := v.Reasons[0]; got.Check != tc.check || !strings.Contains(got.Detail, tc.detail) || got.Remedy == "" ||
				strings.ContainsAny(got.Detail+got.Remedy, "\n\r") {
				t.Errorf("reason %+v, want check %q with %q and a remedy, each in one line", got, tc.check, tc.detail)
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
