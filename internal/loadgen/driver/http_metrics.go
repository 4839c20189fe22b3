package driver

import (
	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// Metrics of an http workload, in the order they are reported.
const (
	httpLatency engine.MetricID = iota
	httpLatencyNew
	httpLatencyReused
	httpServiceTime
	httpTTFB
	httpLatencyFailed
	httpConnectWait
	httpDNS
	httpDial
	httpTLS
	httpSendLag
	httpReadDelay
	httpCoalescedBound

	httpRequestsSent
	httpSucceeded
	httpCheckFailed
	httpHTTPError
	httpTimeout
	httpTruncated
	httpConnectionError
	httpUnfinished
	httpNotSent
	httpFailed

	httpStatus2xx
	httpStatus3xx
	httpStatus4xx
	httpStatus5xx
	httpStatusOther
	httpRedirects
	httpConnections
	httpBytesIn
	httpBytesOut
	httpBytesDecoded
	httpCoalesced
	httpUnstamped
	httpUnstampedSends

	httpSuccessRatio
	httpErrorRatio

	httpMetricCount
)

var httpReceipts = receiptMetrics{httpReadDelay, httpUnstamped, httpCoalescedBound}

// statusMetric is the counter of a status.
func statusMetric(code int) engine.MetricID {
	if class := code / 100; class >= 2 && class <= 5 {
		return httpStatus2xx + engine.MetricID(class-2)
	}
	return httpStatusOther
}

// httpMetrics declares what an http workload records. The latencies of what
// succeeded and of what failed are kept apart: a server that refuses at once is
// not fast.
func httpMetrics() []engine.Metric {
	m := make([]engine.Metric, httpMetricCount)
	histogram := func(id engine.MetricID, name, help string) {
		m[id] = engine.Metric{Name: name, Kind: result.Histogram, Unit: result.Nanoseconds, Help: help}
	}
	counter := func(id engine.MetricID, name, help string) {
		m[id] = engine.Metric{Name: name, Kind: result.Counter, Unit: result.One, Help: help}
	}
	ratio := func(id engine.MetricID, name string, num, den engine.MetricID, help string) {
		m[id] = engine.Metric{Name: name, Kind: result.Ratio, Unit: result.One, Help: help, Num: num, Den: den}
	}

	histogram(httpLatency, "latency", "last byte of the body, or of the head where there is none − intended start; requests that succeeded, redirects followed included")
	histogram(httpLatencyNew, "latency{conn=new}", "latency of requests that a connection was opened for")
	histogram(httpLatencyReused, "latency{conn=reused}", "latency of requests on a connection used before or shared")
	histogram(httpServiceTime, "service_time", "last byte − actual start; requests that succeeded")
	histogram(httpTTFB, "ttfb", "first byte of the answer, after redirects − actual start; requests that succeeded")
	histogram(httpLatencyFailed, "latency_failed", "last byte, or the failure − intended start; requests that failed")
	histogram(httpConnectWait, "connect_wait", "how long a new connection waited for its turn to be opened, by the workload's connect: the generator's own delay")
	m[httpConnectWait].Gauge = engine.ConnectWait
	histogram(httpDNS, "dns", "name resolution of a new connection")
	histogram(httpDial, "dial", "TCP connect of a new connection")
	histogram(httpTLS, "tls", "TLS handshake of a new connection")
	histogram(httpSendLag, "send_lag", "last byte of the request handed to the device, by the kernel − intended start, or − connection ready where that came later: the generator's own delay; not over HTTP/2")
	histogram(httpReadDelay, "read_delay", "return of a socket read − the kernel's receive stamp: the generator's own delay, which is in no other figure")
	m[httpReadDelay].Gauge = engine.ReadDelay
	histogram(httpCoalescedBound, "coalesced_bound", "by how much the first byte of an answer that came in one read may have come earlier than ttfb says: that read − the one before, or − the request sent")

	counter(httpRequestsSent, "requests", "requests begun; each has one of the eight outcomes that follow")
	counter(httpSucceeded, "succeeded", "whole answers whose status and checks are right")
	counter(httpCheckFailed, "check_failed", "whole answers that a check does not hold for, or that lack what is to be taken out of them")
	counter(httpHTTPError, "http_error", "whole answers, without a check on the status, that are neither 2xx nor 3xx; and redirects that could not be followed")
	counter(httpTimeout, "timeout", "requests cut after the workload's timeout")
	counter(httpTruncated, "truncated", "answers the server ended before their body was whole")
	counter(httpConnectionError, "connection_error", "requests lost to the connection or the protocol beneath")
	counter(httpUnfinished, "unfinished", "requests cut at the end of the drain")
	counter(httpNotSent, "not_sent", "requests that could not be made")
	counter(httpFailed, "failed", "requests with any outcome but succeeded")

	counter(httpStatus2xx, "status_2xx", "whole answers with a status from 200 to 299; of redirects that were followed the last answer alone")
	counter(httpStatus3xx, "status_3xx", "from 300 to 399")
	counter(httpStatus4xx, "status_4xx", "from 400 to 499")
	counter(httpStatus5xx, "status_5xx", "from 500 to 599")
	counter(httpStatusOther, "status_other", "any other status")
	counter(httpRedirects, "redirects", "redirects followed")
	counter(httpConnections, "connections", "connections opened")
	counter(httpBytesIn, "bytes_in", "body bytes received, as they came: not decompressed, without chunk framing")
	m[httpBytesIn].Unit = result.Bytes
	counter(httpBytesOut, "bytes_out", "body bytes of requests sent")
	m[httpBytesOut].Unit = result.Bytes
	counter(httpBytesDecoded, "bytes_decoded", "body bytes of compressed answers once they are decompressed")
	m[httpBytesDecoded].Unit = result.Bytes
	counter(httpCoalesced, "coalesced", "answers with a body whose first and last byte came in one read")
	counter(httpUnstamped, "unstamped", "socket reads without a usable kernel stamp, timed by their return")
	m[httpUnstamped].Gauge = engine.Unstamped
	counter(httpUnstampedSends, "unstamped_sends", "samples of send_lag without a kernel stamp, timed by the return of the write")

	ratio(httpSuccessRatio, "success_ratio", httpSucceeded, httpRequestsSent, "succeeded ÷ requests")
	ratio(httpErrorRatio, "error_ratio", httpFailed, httpRequestsSent, "failed ÷ requests")
	return m
}
