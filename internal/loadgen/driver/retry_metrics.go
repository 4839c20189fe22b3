package driver

import (
	"fmt"

	"github.com/edgeload/edgeload/internal/loadgen/backoff"
	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// Metrics of a retry workload beyond those of its requests, in the order they are
// reported.
const (
	retryAttempts engine.MetricID = httpMetricCount + iota
	retryWait
	retryWait1
	retryWait2
	retryWait3
	retryWaitPosition
	retryRelay
	retryCutAfter

	retryAttemptsTotal
	retryFirstAttempts
	retryRetries
	retryResolved
	retryGivenUp
	retryLeftOpen
	retryUnattempted
	retryCut

	retryWaitsJudged
	retryWaitsConforming
	retryWaitsEarly
	retryWaitsLate
	retryAfterHonoured
	retryAfterIgnored
	retryRetriedWrongly
	retryNotRetried
	retryTooMany
	retryAfterAnswer
	retryAttemptsCut
	retryOverlapping
	retryStrangers
	retryJitterMissing
	retryMisfit
	retryViolations

	retryWaitsTested
	retryBinned
	retryUnbinned
	retryUnrecovered

	retryAmplification
	retryConformance
	retryRecovery
	retryJitterP
	retryMisfitP
	retryHerd
	retryHerdPoisson
	retryRebound

	retryMetricEnd
)

// retryWaitsApart is how many retries have a histogram of their waits of their own.
const retryWaitsApart = int(retryWait3 - retryWait1 + 1)

// retryMetrics declares what a retry workload records.
func retryMetrics() []engine.Metric {
	m := followedMetrics("latency", retryMetricEnd-httpMetricCount)
	histogram := func(id engine.MetricID, name string, unit result.Unit, help string) {
		m[id] = engine.Metric{Name: name, Kind: result.Histogram, Unit: unit, Help: help}
	}
	counter := func(id engine.MetricID, name, help string) {
		m[id] = engine.Metric{Name: name, Kind: result.Counter, Unit: result.One, Help: help}
	}
	ratio := func(id engine.MetricID, name string, num, den engine.MetricID, help string) {
		m[id] = engine.Metric{Name: name, Kind: result.Ratio, Unit: result.One, Help: help, Num: num, Den: den}
	}
	scalar := func(id engine.MetricID, name string, unit result.Unit, help string) {
		m[id] = engine.Metric{Name: name, Kind: result.Scalar, Unit: unit, Help: help}
	}

	histogram(retryAttempts, "attempts", result.One, "attempts that a request came to, until its answer")
	histogram(retryWait, "wait", result.Nanoseconds, "first byte of an attempt − the end of the answer before: right before its last byte left the sink, or when the target gave it up")
	for i := range retryWaitsApart {
		histogram(retryWait1+engine.MetricID(i), fmt.Sprintf("wait{retry=%d}", i+1), result.Nanoseconds, fmt.Sprintf("wait before retry %d", i+1))
	}
	histogram(retryWaitPosition, "wait_position", result.One, "where a judged wait lies between the shortest and the longest that the policy has for it, in thousandths; outside of that 0 and 1000")
	histogram(retryRelay, "relay", result.Nanoseconds, "last byte of the target's answer − the end of the last attempt's: what the target adds")
	histogram(retryCutAfter, "cut_after", result.Nanoseconds, "age of an attempt that the target gave up: its timeout")

	counter(retryAttemptsTotal, "attempts_total", "attempts that came to the sink before their request was answered")
	counter(retryFirstAttempts, "first_attempts", "of those, the first of their request")
	counter(retryRetries, "retries", "of those, all others")
	counter(retryResolved, "resolved", "requests whose last attempt had an answer that the policy does not try again; each request is in one of this and the next four")
	counter(retryGivenUp, "given_up", "requests that the target ended after an attempt that the policy tries again: the last it has, or not")
	counter(retryLeftOpen, "left_open", "requests that the target answered while an attempt was without its answer")
	counter(retryUnattempted, "unattempted", "requests without an attempt")
	counter(retryCut, "cut", "requests that loadgen cut: by their timeout or at the end of the drain")

	counter(retryWaitsJudged, "waits_judged", "waits after an answer that the policy tries again, up to its number of attempts; each is in one of the next three")
	counter(retryWaitsConforming, "waits_conforming", "within the policy's bounds, the tolerance included")
	counter(retryWaitsEarly, "waits_early", fmt.Sprintf("shorter than the policy allows, by more than %v", backoff.Grain))
	counter(retryWaitsLate, "waits_late", "longer than the policy allows, by more than the tolerance")
	counter(retryAfterHonoured, "retry_after_honoured", "retries that came no sooner than the Retry-After before them asked")
	counter(retryAfterIgnored, "retry_after_ignored", "retries that came sooner")
	counter(retryRetriedWrongly, "retried_wrongly", "retries after an answer that the policy does not try again")
	counter(retryNotRetried, "not_retried", "requests given up with attempts left; not where the upstream asked for a wait above the policy's cap, or above a minute where it has none")
	counter(retryTooMany, "too_many_attempts", "attempts beyond the policy's number, after an answer that it would try again")
	counter(retryAfterAnswer, "attempts_after_answer", "attempts that came when their request was answered already; warm-up included")
	counter(retryAttemptsCut, "attempts_cut", "attempts that the target gave up before they were answered")
	counter(retryOverlapping, "attempts_overlapping", "retries that came while an attempt before was without its answer; their waits are not known")
	counter(retryStrangers, "strangers", "calls that name no request of this run; warm-up included")
	counter(retryJitterMissing, "jitter_missing", "1 where waits lie together that the policy spreads, as jitter_p says")
	counter(retryMisfit, "waits_misfit", "1 where waits are not spread as the policy says, as misfit_p says")
	counter(retryViolations, "violations", "waits_early + waits_late + retried_wrongly + not_retried + too_many_attempts + attempts_after_answer + jitter_missing + waits_misfit")

	counter(retryWaitsTested, "waits_tested", fmt.Sprintf("waits that jitter_p and misfit_p stand on: the first %d with a choice; below %d there is neither", mostWaitsTested, backoff.MinSample))
	counter(retryBinned, "retries_binned", "retries that herd stands on")
	counter(retryUnbinned, "retries_unbinned", "retries too late in a long run to be in it")
	counter(retryUnrecovered, "unrecovered", "1 where no second after the outage had 99 % of its requests succeed")

	ratio(retryAmplification, "amplification", retryAttemptsTotal, httpRequestsSent, "attempts_total ÷ requests")
	ratio(retryConformance, "conformance", retryWaitsConforming, retryWaitsJudged, "waits_conforming ÷ waits_judged")
	scalar(retryRecovery, "recovery", result.Nanoseconds, "the first second of whose requests 99 % succeeded, by their intended start − the end of the outage; in steps of 100ms")
	scalar(retryJitterP, "jitter_p", result.One, fmt.Sprintf("at most so likely are waits that lie together as these do, by the policy; below %g it is broken", backoff.Alarm))
	scalar(retryMisfitP, "misfit_p", result.One, fmt.Sprintf("at most so likely are waits as far from the policy's distribution as these are; below %g it is broken", backoff.Alarm))
	scalar(retryHerd, "herd", result.One, "peak ÷ mean of retries in bins of 100ms, from the first retry to the last")
	scalar(retryHerdPoisson, "herd_poisson", result.One, "what herd is on average of as many retries that come at random")
	scalar(retryRebound, "rebound", result.One, "attempts in the fullest second after the outage ÷ requests offered a second before it")
	return m
}
