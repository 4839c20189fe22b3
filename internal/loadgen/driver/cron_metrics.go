package driver

import (
	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// Metrics of a cron workload, in the order they are reported.
const (
	cronDrift engine.MetricID = iota
	cronEarlyBy
	cronLateBy

	cronInstants
	cronCalled
	cronMissed
	cronUnfinished

	cronCalls
	cronEarly
	cronDoubled
	cronLate
	cronUnexpected
	cronOverlapped
	cronForeign
	cronUnnamed

	cronLongestGap
	cronDriftGained
	cronUnstamped

	cronMissedRatio
	cronDoubledRatio
	cronDriftTrend

	cronMetricCount
)

// cronMetrics declares what a cron workload records.
func cronMetrics() []engine.Metric {
	m := make([]engine.Metric, cronMetricCount)
	histogram := func(id engine.MetricID, name, help string) {
		m[id] = engine.Metric{Name: name, Kind: result.Histogram, Unit: result.Nanoseconds, Help: help}
	}
	counter := func(id engine.MetricID, name, help string) {
		m[id] = engine.Metric{Name: name, Kind: result.Counter, Unit: result.One, Help: help}
	}
	scalar := func(id engine.MetricID, name string, unit result.Unit, help string) {
		m[id] = engine.Metric{Name: name, Kind: result.Scalar, Unit: unit, Help: help}
	}
	ratio := func(id engine.MetricID, name string, num, den engine.MetricID, help string) {
		m[id] = engine.Metric{Name: name, Kind: result.Ratio, Unit: result.One, Help: help, Num: num, Den: den}
	}

	histogram(cronDrift, "drift", "first byte of the call − scheduled instant, of the first call for each; a call before its instant counts as 0 here. With anchor: first the instants follow the first call, which is no sample itself")
	histogram(cronEarlyBy, "early_by", "scheduled instant − first byte of the call, of the calls that came before it")
	histogram(cronLateBy, "late_by", "first byte of the call − scheduled instant, of the calls in late_calls")

	counter(cronInstants, "instants", "scheduled instants; each is called, missed or unfinished")
	counter(cronCalled, "called", "instants whose call came in time")
	counter(cronMissed, "missed", "instants that no call came for in the time the workload's missed gives it")
	counter(cronUnfinished, "unfinished", "instants still without a call at the end of the drain")

	counter(cronCalls, "calls", "calls that came; each is the one of an instant that was called, or in doubled, late_calls or unexpected")
	counter(cronEarly, "early", "instants called before they had come")
	counter(cronDoubled, "doubled", "calls for an instant that had one already")
	counter(cronLate, "late_calls", "first calls for an instant that had been given up as missed or unfinished, as after an outage")
	counter(cronUnexpected, "unexpected", "calls for no instant of the schedule")
	counter(cronOverlapped, "overlapped", "calls that came while another was being answered: before that had ended and takes had passed")
	counter(cronForeign, "foreign", "calls with the mark of another run, answered 410; in no other figure")
	counter(cronUnnamed, "unnamed", "calls that do not name their instant where scheduled says that they do; they count for the nearest")

	scalar(cronLongestGap, "longest_gap", result.Nanoseconds, "longest part of the measured part without a call, its beginning and end included")
	scalar(cronDriftGained, "drift_gained", result.Nanoseconds, "by how much drift grew from the first to the last call, along the straight line of least squares through them; early calls below 0, late_calls left out")
	counter(cronUnstamped, "unstamped_calls", "calls without a kernel stamp, timed by the return of the read")
	m[cronUnstamped].Gauge = engine.Unstamped

	ratio(cronMissedRatio, "missed_ratio", cronMissed, cronInstants, "missed ÷ instants")
	ratio(cronDoubledRatio, "doubled_ratio", cronDoubled, cronInstants, "doubled ÷ instants")
	scalar(cronDriftTrend, "drift_trend", result.One, "drift_gained ÷ the time from the first to the last instant: how much later the calls come the longer it goes on; 0.001 is 1 ms a second")
	return m
}
