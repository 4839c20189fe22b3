package driver

import (
	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// Metrics of an sse workload, in the order they are reported.
const (
	sseTTFT engine.MetricID = iota
	sseTTFTService
	sseTTFTNew
	sseTTFTReused
	sseTTFB
	sseFirstEvent
	sseTTFO
	sseThinking
	sseITL
	sseTPOT
	sseE2E
	sseCloseLag
	sseStall
	sseSilence
	sseResumeGap
	sseSlowTime
	sseEventsPerRead
	sseConnectWait
	sseDNS
	sseDial
	sseTLS
	sseTruthTTFT
	sseTruthITL
	sseDeliveryLag
	sseTTFTError
	sseITLError
	sseSendLag
	sseReadDelay
	sseCoalescedBound

	sseStreams
	sseComplete
	sseTruncated
	sseInBandError
	sseHTTPError
	sseTimeout
	sseConnectionError
	sseUnfinished
	sseNotSent
	sseLeft
	sseFailed
	sseStayed

	sseLeftChunks
	sseSlowStreams
	sseSlowChunks
	sseResumes
	sseRepeated
	sseSkipped
	sseHeartbeats

	sseNoToken
	sseMultiChunk
	sseFakeStreaming
	sseStalled
	sseStalls
	sseStallTime
	sseStreamTime
	sseChunks
	sseCoalesced
	sseUnstamped
	sseUnstampedSends
	sseTokensOut
	sseCountedChunks
	sseMalformed
	sseLateEvents
	sseLagNegative
	sseForgotten
	sseConnections
	sseHTTP2
	sseBytesIn
	sseBytesOut

	sseCompleteRatio
	sseErrorRatio
	sseFakeRatio
	sseTokensPerChunk
	sseCoalescedRatio
	sseStallsPerStream
	sseStallTimeRatio

	sseMetricCount
)

// sseMetrics declares what an sse workload records. Latencies are recorded as
// they happen, so that a stream that breaks off later has its ttft and its gaps
// counted; e2e, tpot and close_lag are of complete streams alone.
func sseMetrics() []engine.Metric {
	m := make([]engine.Metric, sseMetricCount)
	histogram := func(id engine.MetricID, name, help string) {
		m[id] = engine.Metric{Name: name, Kind: result.Histogram, Unit: result.Nanoseconds, Help: help}
	}
	counter := func(id engine.MetricID, name, help string) {
		m[id] = engine.Metric{Name: name, Kind: result.Counter, Unit: result.One, Help: help}
	}
	ratio := func(id engine.MetricID, name string, num, den engine.MetricID, help string) {
		m[id] = engine.Metric{Name: name, Kind: result.Ratio, Unit: result.One, Help: help, Num: num, Den: den}
	}

	histogram(sseTTFT, "ttft", "first token − intended start")
	histogram(sseTTFTService, "ttft_service", "first token − actual start")
	histogram(sseTTFTNew, "ttft{conn=new}", "ttft of streams on a connection opened for them")
	histogram(sseTTFTReused, "ttft{conn=reused}", "ttft of streams on a connection used before or shared")
	histogram(sseTTFB, "ttfb", "first byte of an event stream's answer − actual start")
	histogram(sseFirstEvent, "first_event", "first event of any kind − actual start")
	histogram(sseTTFO, "ttfo", "first token that is not reasoning − actual start")
	histogram(sseThinking, "thinking", "first token that is not reasoning − first reasoning token")
	histogram(sseITL, "itl", "gap between consecutive content chunks, one sample a gap")
	histogram(sseTPOT, "tpot", "(last − first token) ÷ (output tokens − 1), tokens as the server counts them; complete streams")
	histogram(sseE2E, "e2e", "last token − intended start; complete streams")
	histogram(sseCloseLag, "close_lag", "terminal event − last token; complete streams")
	histogram(sseStall, "stall", "duration of each gap above 500 ms and above 5 × its stream's median gap")
	histogram(sseSilence, "silence", "longest time without a byte, one sample a stream that had begun, from its first read to its last")
	histogram(sseResumeGap, "resume_gap", "a stream's end by breaking off → its first event after it was taken up again")
	histogram(sseSlowTime, "slow_time", "last content chunk taken − actual start, of streams that are read slowly")
	histogram(sseEventsPerRead, "events_per_read", "events completed by one socket read that completed any; over HTTP/2 one read of the body")
	m[sseEventsPerRead].Unit = result.One
	histogram(sseConnectWait, "connect_wait", "how long a new connection waited for its turn to be opened, by the workload's connect: the generator's own delay")
	m[sseConnectWait].Gauge = engine.ConnectWait
	histogram(sseDNS, "dns", "name resolution of a new connection")
	histogram(sseDial, "dial", "TCP connect of a new connection")
	histogram(sseTLS, "tls", "TLS handshake of a new connection")
	histogram(sseTruthTTFT, "truth_ttft", "first token as sent by the server's own stamp − actual start")
	histogram(sseTruthITL, "truth_itl", "gap between the server's stamps of consecutive content chunks")
	histogram(sseDeliveryLag, "delivery_lag", "content chunk received − sent by the server's stamp; below 0 counts as 0")
	histogram(sseTTFTError, "ttft_error", "size of ttft − what it would be by the server's stamp of the first token")
	histogram(sseITLError, "itl_error", "size of a gap measured − the same gap between the server's stamps")
	histogram(sseSendLag, "send_lag", "last byte of the request handed to the device, by the kernel − intended start, without the time that a connection opened for it took: the generator's own delay; not over HTTP/2")
	histogram(sseReadDelay, "read_delay", "return of a socket read − the kernel's receive stamp: the generator's own delay, which is in no other figure")
	m[sseReadDelay].Gauge = engine.ReadDelay
	histogram(sseCoalescedBound, "coalesced_bound", "by how much each of the content chunks that shared a read may have come earlier than it is said to: that read − the one before, or − the request sent")

	counter(sseStreams, "streams", "streams begun; each has one of the nine outcomes that follow")
	counter(sseComplete, "complete", "streams that reached the protocol's proper end")
	counter(sseTruncated, "truncated", "streams the server ended before their terminal event")
	counter(sseInBandError, "in_band_error", "streams with an error event under status 200")
	counter(sseHTTPError, "http_error", "answers other than 200 or other than an event stream")
	counter(sseTimeout, "timeout", "streams cut after the workload's timeout, or after its idle_timeout without a byte")
	counter(sseConnectionError, "connection_error", "streams lost to the connection or the protocol beneath")
	counter(sseUnfinished, "unfinished", "streams cut at the end of the drain")
	counter(sseNotSent, "not_sent", "streams whose request could not be made")
	counter(sseLeft, "left", "streams whose client went away early, as the workload's leave has it")
	counter(sseFailed, "failed", "streams with any outcome but complete and left")
	counter(sseStayed, "stayed", "streams with any outcome but left")
	counter(sseLeftChunks, "left_chunks", "content chunks that clients had when they left")
	counter(sseSlowStreams, "slow_streams", "streams that are read slowly, as the workload's slow has it; beside their outcomes they are in slow_chunks, slow_time and bytes_in alone")
	counter(sseSlowChunks, "slow_chunks", "content chunks of streams that are read slowly")
	counter(sseResumes, "resumes", "attempts to take up a stream that broke off")
	counter(sseRepeated, "repeated", "events after a resume whose id had been seen; they are no chunks")
	counter(sseSkipped, "skipped", "events missing after a resume, where ids are consecutive numbers")
	counter(sseHeartbeats, "heartbeats", "comments that stand alone and ping events")

	counter(sseNoToken, "no_token", "complete streams without a token")
	counter(sseMultiChunk, "multi_chunk", "complete streams of two content chunks or more")
	counter(sseFakeStreaming, "fake_streaming", "of those, the ones whose content all came within 1 ms: one read, or one burst read in pieces")
	counter(sseStalled, "stalled", "streams with a stall")
	counter(sseStalls, "stalls", "stalls")
	counter(sseStallTime, "stall_time", "sum of all stalls")
	m[sseStallTime].Unit = result.Nanoseconds
	counter(sseStreamTime, "stream_time", "sum of last − first token of all streams")
	m[sseStreamTime].Unit = result.Nanoseconds
	counter(sseChunks, "chunks", "events with a token: content, reasoning, refusal or tool delta that is not empty")
	counter(sseCoalesced, "coalesced", "content chunks that shared a socket read with another")
	counter(sseUnstamped, "unstamped", "socket reads without a usable kernel stamp, timed by their return")
	m[sseUnstamped].Gauge = engine.Unstamped
	counter(sseUnstampedSends, "unstamped_sends", "samples of send_lag without a kernel stamp, timed by the return of the write")
	counter(sseTokensOut, "tokens_out", "output tokens by the server's own count; complete streams that gave one")
	counter(sseCountedChunks, "counted_chunks", "content chunks of the streams in tokens_out")
	counter(sseMalformed, "malformed", "events whose data is not the JSON the dialect expects")
	counter(sseLateEvents, "late_events", "events after the end of the stream or its error; not looked at")
	counter(sseLagNegative, "delivery_lag_negative", "content chunks received before they were sent, by clocks that differ")
	counter(sseForgotten, "messages_forgotten", "oldest messages left out of a session's conversation because it grew above 1 MiB")
	counter(sseConnections, "connections", "connections opened")
	counter(sseHTTP2, "http2", "streams answered over HTTP/2")
	counter(sseBytesIn, "bytes_in", "body bytes received, event streams and error answers")
	m[sseBytesIn].Unit = result.Bytes
	counter(sseBytesOut, "bytes_out", "body bytes of requests sent")
	m[sseBytesOut].Unit = result.Bytes

	ratio(sseCompleteRatio, "complete_ratio", sseComplete, sseStayed, "complete ÷ stayed")
	ratio(sseErrorRatio, "error_ratio", sseFailed, sseStreams, "failed ÷ streams")
	ratio(sseFakeRatio, "fake_ratio", sseFakeStreaming, sseMultiChunk, "fake_streaming ÷ multi_chunk")
	ratio(sseTokensPerChunk, "tokens_per_chunk", sseTokensOut, sseCountedChunks, "tokens_out ÷ counted_chunks")
	ratio(sseCoalescedRatio, "coalesced_ratio", sseCoalesced, sseChunks, "coalesced ÷ chunks")
	ratio(sseStallsPerStream, "stalls_per_stream", sseStalls, sseStreams, "stalls ÷ streams")
	ratio(sseStallTimeRatio, "stall_time_ratio", sseStallTime, sseStreamTime, "stall_time ÷ stream_time")
	return m
}
