package driver

import (
	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// Metrics of a background workload, beside those of its requests, in the order they
// are reported.
const (
	backgroundCompletion = httpMetricCount + iota
	backgroundFromAck
	backgroundAckFew
	backgroundAckMany
	backgroundPending
	backgroundResolution

	backgroundAcknowledged
	backgroundCompleted
	backgroundFailed
	backgroundLost
	backgroundUnfinished
	backgroundLate
	backgroundUnacknowledged
	backgroundBeforeAck
	backgroundAckWaited
	backgroundDuplicated
	backgroundPendingAtEnd
	backgroundCalls
	backgroundStrangers
	backgroundOverflow
	backgroundUnstampedCalls
	backgroundPolls
	backgroundPollErrors

	backgroundLossRatio
	backgroundCompletedRatio
	backgroundAckWaitedRatio

	backgroundMetricEnd
)

// backgroundMetrics declares what a background workload records: what an http one does
// of the requests, and of the jobs they leave behind.
func backgroundMetrics() []engine.Metric {
	m := followedMetrics("ack", backgroundMetricEnd-httpMetricCount)
	histogram := func(id engine.MetricID, name, help string) {
		m[id] = engine.Metric{Name: name, Kind: result.Histogram, Unit: result.Nanoseconds, Help: help}
	}
	counter := func(id engine.MetricID, name, help string) {
		m[id] = engine.Metric{Name: name, Kind: result.Counter, Unit: result.One, Help: help}
	}
	ratio := func(id engine.MetricID, name string, num, den engine.MetricID, help string) {
		m[id] = engine.Metric{Name: name, Kind: result.Ratio, Unit: result.One, Help: help, Num: num, Den: den}
	}

	histogram(backgroundCompletion, "completion", "first byte of the call about a job, or of the first answer to a poll that says it is done − intended start; jobs completed")
	histogram(backgroundFromAck, "completion_from_ack", "the same − last byte of the acknowledgement, 0 where it came before; jobs completed")
	histogram(backgroundAckFew, "service_time{jobs=few}", "service_time of acknowledged requests, of the third that was begun while the fewest jobs were pending; no data where that number changed by less than a tenth")
	histogram(backgroundAckMany, "service_time{jobs=many}", "of the third that was begun while the most were: an ack that slows while jobs run shows here")
	histogram(backgroundPending, "pending", "jobs pending (acknowledged, and neither done nor given up) when a request was begun")
	m[backgroundPending].Unit = result.One
	histogram(backgroundResolution, "poll_resolution", "by how much a completion that was polled may have come earlier: the answer − the last question before that was answered with not yet, or − the acknowledgement")

	counter(backgroundAcknowledged, "acknowledged", "requests that succeeded, and so promised a job; each ends in one of the four that follow")
	counter(backgroundCompleted, "completed", "jobs done by their deadline")
	counter(backgroundFailed, "jobs_failed", "jobs that ended by their deadline, and not done, by job.failed")
	counter(backgroundLost, "lost", "jobs not heard of by their deadline")
	counter(backgroundUnfinished, "jobs_unfinished", "jobs pending at the end of the drain, their deadline still to come")
	counter(backgroundLate, "completed_late", "of the lost: jobs done after their deadline")
	counter(backgroundUnacknowledged, "completed_unacknowledged", "jobs done though their request did not succeed")
	counter(backgroundBeforeAck, "completed_before_ack", "jobs that ended before their acknowledgement had been read")
	counter(backgroundAckWaited, "ack_waited", "acknowledgements that seem to have waited for the job: its end came before their first byte, and at least 10 ms after the request's actual start; polled: it was done when first asked about, and the answer took as long")
	counter(backgroundDuplicated, "duplicated", "calls about a job that was heard of before")
	counter(backgroundPendingAtEnd, "pending_at_end", "jobs pending when the last arrival was due, warm-up included")
	counter(backgroundCalls, "calls", "calls to the sink, warm-up included")
	counter(backgroundStrangers, "strangers", "of the calls: those about no job of this workload and run")
	counter(backgroundOverflow, "unclaimed_dropped", "of the strangers: calls by an id of the target's own that gave way, beyond some 16,000, before an answer named it")
	counter(backgroundUnstampedCalls, "unstamped_calls", "calls timed by the return of the read, without a kernel stamp")
	m[backgroundUnstampedCalls].Gauge = engine.Unstamped
	counter(backgroundPolls, "polls", "questions asked about jobs")
	counter(backgroundPollErrors, "poll_errors", "of the polls: those without an answer, or with one that says neither done, nor failed, nor a success; the job is asked about again")

	ratio(backgroundLossRatio, "loss_ratio", backgroundLost, backgroundAcknowledged, "lost ÷ acknowledged")
	ratio(backgroundCompletedRatio, "completed_ratio", backgroundCompleted, httpRequestsSent, "completed ÷ requests")
	ratio(backgroundAckWaitedRatio, "ack_waited_ratio", backgroundAckWaited, backgroundAcknowledged, "ack_waited ÷ acknowledged")
	return m
}
