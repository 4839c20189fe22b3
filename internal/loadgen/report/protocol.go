package report

import (
	"github.com/edgeload/edgeload/internal/loadgen/chart"
	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// A protocolView is what people look at first in a workload of one protocol.
type protocolView struct {
	latencies  []string // histograms for headlines
	ratios     []ratioWords
	throughput counted
	pictures   pictures
	// outcomes are the ways in which its arrivals came out, traits what is easily
	// mistaken about them.
	outcomes []outcome
	traits   func(*result.Workload) []finding
}

// ratioWords is a ratio with what it, its parts and the whole are called.
type ratioWords struct{ metric, words, num, den string }

// counted is a counter whose rate is shown, and what it counts.
type counted struct{ metric, words string }

// pictures says which metrics of a protocol deserve them.
type pictures struct {
	percentiles  []picture
	overTime     []string
	distribution picture
	rates        []chart.Count
	ratesTitle   string
	ratesLabel   string
	inFlight     string
}

// A picture is a title and the metrics that share it.
type picture struct {
	title   string
	metrics []string
}

// each is one curve a counter, under its own name.
func each(counters ...string) []chart.Count {
	var all []chart.Count
	for _, name := range counters {
		all = append(all, chart.Count{Name: name, Counters: []string{name}})
	}
	return all
}

// viewOf returns the view of w's protocol.
func viewOf(w *result.Workload) protocolView {
	switch w.Protocol {
	case scenario.SSE:
		return sseView()
	case scenario.HTTP:
		return httpView()
	case scenario.WebSocket:
		return webSocketView()
	case scenario.Background:
		return backgroundView()
	case scenario.Cron:
		return cronView()
	case scenario.Retry:
		return retryView()
	}
	return anyView(w)
}

// anyView is of a protocol that this program does not know, as of a result that a
// later one wrote: it shows the first histogram that is not the generator's own.
func anyView(w *result.Workload) protocolView {
	v := protocolView{
		throughput: counted{"finished", "finished"},
		pictures:   pictures{rates: each("finished"), ratesTitle: "Arrivals finished a second", ratesLabel: "arrivals/s", inFlight: "arrivals"},
	}
	for _, m := range w.Metrics {
		if m.Name == "lateness" || m.Kind != result.Histogram || m.Samples() == 0 {
			continue
		}
		v.latencies = []string{m.Name}
		if m.Unit == result.Nanoseconds {
			v.pictures.percentiles = []picture{{m.Name + " by percentile", []string{m.Name}}}
			v.pictures.overTime = []string{m.Name}
			v.pictures.distribution = picture{"Distribution of " + m.Name, []string{m.Name}}
		}
		break
	}
	return v
}

func sseView() protocolView {
	return protocolView{
		latencies:  []string{"ttft", "itl", "e2e"},
		ratios:     []ratioWords{{"complete_ratio", "complete", "complete", "streams"}},
		throughput: counted{"finished", "finished"},
		pictures: pictures{
			percentiles: []picture{
				{"Time to first token by percentile", []string{"ttft", "ttft_service"}},
				{"Time between tokens by percentile", []string{"itl", "tpot"}},
			},
			overTime:     []string{"ttft", "itl"},
			distribution: picture{"Distribution of TTFT and ITL", []string{"ttft", "itl"}},
			rates:        each("finished", "failed"),
			ratesTitle:   "Streams a second", ratesLabel: "streams/s", inFlight: "streams",
		},
		outcomes: []outcome{
			{"complete", "complete", "reached the protocol's proper end", "streams", false},
			{"truncated", "truncated", "ended without the terminal event: a cut stream, not a success", "streams", true},
			{"in_band_error", "in-band error", "an error event came under status 200: a failure, not a success", "streams", true},
			{"http_error", "HTTP error", "answered with an error, or with no event stream at all", "streams", true},
			{"timeout", "timeout", "not finished within the workload's time limit", "streams", true},
			{"connection_error", "connection error", "refused, reset, or lost on the way", "streams", true},
			{"unfinished", "unfinished", "still running when the drain ended", "streams", true},
			{"not_sent", "not sent", "the request could not be made", "streams", true},
			{"left", "left", "their client went away early, as the scenario has it", "streams", false},
			{"repeated", "repeated", "events that came again after a stream was taken up", "", true},
			{"skipped", "skipped", "events that did not come after a stream was taken up", "", true},
			{"no_token", "no token", "came to a proper end without a single token", "streams", true},
			{"fake_streaming", "fake streaming", "all content came at once: generated whole and then sent, not streamed", "multi_chunk", true},
			{"stalled", "stalled", "held a gap above 500 ms and above 5 × the stream's median", "streams", true},
		},
		traits: traits,
	}
}

func httpView() protocolView {
	return protocolView{
		latencies:  []string{"latency", "ttfb"},
		ratios:     []ratioWords{{"success_ratio", "succeeded", "succeeded", "requests"}},
		throughput: counted{"finished", "finished"},
		pictures: pictures{
			percentiles: []picture{
				{"Latency by percentile", []string{"latency", "service_time"}},
				{"Time to the first byte by percentile", []string{"ttfb"}},
			},
			overTime:     []string{"latency", "ttfb"},
			distribution: picture{"Distribution of latency and TTFB", []string{"latency", "ttfb"}},
			rates:        each("finished", "failed"),
			ratesTitle:   "Requests a second", ratesLabel: "requests/s", inFlight: "requests",
		},
		outcomes: requestOutcomes(),
	}
}

// requestOutcomes are those of a request and its answer.
func requestOutcomes() []outcome {
	return []outcome{
		{"succeeded", "succeeded", "answered in full, with the status and content asked for", "requests", false},
		{"check_failed", "check failed", "answered, but a check of the scenario does not hold", "requests", true},
		{"http_error", "HTTP error", "answered with a status that is no success, or a redirect that leads nowhere", "requests", true},
		{"truncated", "truncated", "ended before the body was whole: a cut answer, not a success", "requests", true},
		{"timeout", "timeout", "not finished within the workload's time limit", "requests", true},
		{"connection_error", "connection error", "refused, reset, or lost on the way", "requests", true},
		{"unfinished", "unfinished", "still running when the drain ended", "requests", true},
		{"not_sent", "not sent", "the request could not be made", "requests", true},
	}
}

func webSocketView() protocolView {
	return protocolView{
		latencies:  []string{"fanout", "spread"},
		ratios:     []ratioWords{{"delivery_ratio", "delivered", "received", "expected"}},
		throughput: counted{"received", "deliveries"},
		pictures: pictures{
			percentiles:  []picture{{"Fanout and spread by percentile", []string{"fanout", "spread"}}},
			overTime:     []string{"fanout", "spread"},
			distribution: picture{"Distribution of fanout and spread", []string{"fanout", "spread"}},
			rates: append(each("received", "expected"),
				chart.Count{Name: "failed", Counters: []string{"connect_failed", "connections_lost", "publish_failed"}}),
			ratesTitle: "Deliveries a second", ratesLabel: "deliveries/s", inFlight: "connections",
		},
		outcomes: []outcome{
			{"received", "received", "arrived where they were expected, each counted once", "expected", false},
			{"lost", "lost", "expected but never came", "expected", true},
			{"duplicated", "duplicated", "came again", "expected", true},
			{"reordered", "reordered", "came after a later message of the same publisher", "expected", true},
			{"foreign", "foreign", "messages that are none of the room's", "", true},
			{"unexpected", "unexpected", "came to a member that had not settled or had left, or back to their sender", "", true},
			{"messages_incomplete", "incomplete", "messages that did not reach all their receivers", "published", true},
			{"publish_unplanned", "not published", "due while their room was not complete", "", true},
			{"publish_failed", "publish failed", "due, but the publisher had no connection or the write failed", "published", true},
			{"connect_failed", "connect failed", "members that got no connection", "", true},
			{"connections_lost", "connections lost", "ended before the member left", "connections", true},
			{"unclean_closes", "unclean closes", "the peer did not answer the close in time", "connections", true},
		},
	}
}
