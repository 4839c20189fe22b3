package report

// The views of workloads whose target calls loadgen: for jobs, for a schedule, as an
// upstream.

func backgroundView() protocolView {
	return protocolView{
		latencies:  []string{"ack", "completion"},
		ratios:     []ratioWords{{"completed_ratio", "completed", "completed", "requests"}, {"loss_ratio", "lost", "lost", "acknowledged"}},
		throughput: counted{"completed", "jobs done"},
		pictures: pictures{
			percentiles: []picture{
				{"Acknowledgement and completion by percentile", []string{"ack", "completion"}},
				{"Acknowledgement by jobs pending", []string{"service_time{jobs=few}", "service_time{jobs=many}"}},
			},
			overTime:     []string{"ack", "completion"},
			distribution: picture{"Distribution of acknowledgement and completion", []string{"ack", "completion"}},
			rates:        each("acknowledged", "completed", "lost"),
			ratesTitle:   "Jobs a second", ratesLabel: "jobs/s", inFlight: "requests and jobs",
		},
		outcomes: append([]outcome{
			{"acknowledged", "acknowledged", "answered with a success, and so promised", "requests", false},
			{"completed", "completed", "done by their deadline", "acknowledged", false},
			{"lost", "lost", "acknowledged, and not heard of by their deadline", "acknowledged", true},
			{"jobs_failed", "job failed", "ended by their deadline, and not done", "acknowledged", true},
			{"jobs_unfinished", "job unfinished", "pending at the end of the drain, their deadline still to come", "acknowledged", true},
			{"duplicated", "done twice", "calls about a job that was heard of before", "", true},
			{"completed_late", "done late", "of the lost: done after their deadline", "lost", true},
			{"completed_unacknowledged", "not acknowledged", "done though their request did not succeed", "", true},
			{"ack_waited", "ack waited", "acknowledgements that seem to have waited for the job: nothing ran in the background", "acknowledged", true},
			{"strangers", "strangers", "calls about no job of this run", "", true},
			{"poll_errors", "poll errors", "questions without an answer of use; the job was asked about again", "polls", true},
		}, failedRequests()...),
	}
}

func cronView() protocolView {
	return protocolView{
		latencies:  []string{"drift"},
		ratios:     []ratioWords{{"missed_ratio", "missed", "missed", "instants"}, {"doubled_ratio", "doubled", "more than one call", "instants"}},
		throughput: counted{"called", "called"},
		pictures: pictures{
			percentiles:  []picture{{"Drift by percentile", []string{"drift"}}},
			overTime:     []string{"drift"},
			distribution: picture{"Distribution of drift", []string{"drift"}},
			rates:        each("instants", "called", "missed", "doubled"),
			ratesTitle:   "Instants a second", ratesLabel: "instants/s", inFlight: "instants waited for",
		},
		outcomes: []outcome{
			{"called", "called", "scheduled instants whose call came in time", "instants", false},
			{"missed", "missed", "no call came in the time it has", "instants", true},
			{"unfinished", "unfinished", "still without a call at the end of the drain", "instants", true},
			{"doubled", "doubled", "calls for an instant that had one already", "instants", true},
			{"late_calls", "late", "calls for an instant that had been given up, as after an outage", "", true},
			{"unexpected", "unexpected", "calls for no instant of the schedule", "", true},
			{"early", "early", "instants called before they had come", "instants", true},
			{"overlapped", "overlapped", "calls that came while another was being answered", "calls", true},
			{"unnamed", "unnamed", "calls that do not say which instant they are for", "calls", true},
		},
	}
}

func retryView() protocolView {
	return protocolView{
		latencies: []string{"latency", "wait"},
		ratios: []ratioWords{
			{"success_ratio", "succeeded", "succeeded", "requests"},
			{"conformance", "waits by the policy", "conforming", "judged"},
		},
		throughput: counted{"attempts_total", "attempts"},
		pictures: pictures{
			percentiles: []picture{
				{"Latency of logical requests by percentile", []string{"latency", "latency_failed"}},
				{"Wait before a retry by percentile", []string{"wait{retry=1}", "wait{retry=2}", "wait{retry=3}"}},
			},
			overTime:     []string{"latency", "wait"},
			distribution: picture{"Distribution of the waits", []string{"wait"}},
			rates:        each("requests", "attempts_total", "failed"),
			ratesTitle:   "Logical requests and attempts a second", ratesLabel: "1/s", inFlight: "logical requests",
		},
		outcomes: append([]outcome{
			{"resolved", "resolved", "their last attempt had an answer that is not tried again", "requests", false},
			{"given_up", "given up", "the target ended them after an attempt that it would try again", "requests", true},
			{"left_open", "left open", "answered while an attempt was without its answer", "requests", true},
			{"unattempted", "unattempted", "nothing came upstream for them", "requests", true},
			{"cut", "cut", "loadgen cut them: by their timeout or at the end of the drain", "requests", true},
			{"waits_early", "waits too short", "shorter than the policy allows", "waits_judged", true},
			{"waits_late", "waits too long", "longer than the policy allows, the tolerance included", "waits_judged", true},
			{"retry_after_ignored", "Retry-After ignored", "retries that came sooner than the answer before them asked", "", true},
			{"retried_wrongly", "retried wrongly", "after an answer that the policy does not try again", "retries", true},
			{"not_retried", "not retried", "given up with attempts left", "requests", true},
			{"too_many_attempts", "too many attempts", "beyond the policy's number", "", true},
			{"attempts_after_answer", "after the answer", "attempts that came when their request was answered already", "", true},
			{"jitter_missing", "no jitter", "the waits lie together where the policy spreads them: what fails together comes back together", "", true},
			{"waits_misfit", "misfit", "the waits are not spread as the policy says", "", true},
			{"unrecovered", "unrecovered", "no second after the outage had 99 % of its requests succeed", "", true},
			{"strangers", "strangers", "calls that name no request of this run", "", true},
		}, failedRequests()...),
	}
}

// failedRequests are the outcomes of a request but success.
func failedRequests() []outcome {
	var all []outcome
	for _, o := range requestOutcomes() {
		if o.bad {
			all = append(all, o)
		}
	}
	return all
}
