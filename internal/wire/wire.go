// Package wire names what travels between the two programs: paths, header
// fields, the ground-truth stamp of a stream and the fields of a room message.
//
// It is the only package that both wings import, so it holds names and the
// layout of a stamp and nothing that computes a result: a bug here must not be
// able to hide itself on both sides.
package wire

import (
	"bytes"
	"math"
	"strconv"
	"time"
)

// Paths of the reference server.
const (
	PathStreamAI       = "/functions/v1/stream-ai"
	PathWSRelay        = "/functions/v1/ws-relay"
	PathTrackEvent     = "/functions/v1/track-event"
	PathFetchWithRetry = "/functions/v1/fetch-with-retry"
	PathMorningDigest  = "/functions/v1/morning-digest"
	PathLimits         = "/functions/v1/limits"
	PathMessages       = "/v1/messages"
	PathCompletions    = "/v1/chat/completions"
	PathAdmin          = "/admin/v1/"
	PathOpenAPI        = "/openapi.json"
	PathHealth         = "/healthz"
	PathMetrics        = "/metrics"
)

// Headers of the calls that the reference server makes itself.
const (
	HeaderJobID         = "X-Job-Id"            // of a background job, in its webhook and callback
	HeaderCronJob       = "X-Cron-Job"          // name of the cron job that calls
	HeaderCronRun       = "X-Cron-Run"          // runid in cron.job_run_details
	HeaderCronScheduled = "X-Cron-Scheduled-At" // the instant that was scheduled, RFC 3339 with nanoseconds, UTC
)

// Request headers that set the upstream simulator's timing for one request.
// Each value is a distribution in the notation of refserver/llm:
// "constant:300ms", "uniform:100ms,500ms", "lognormal:200ms,0.5" (median, σ of
// the logarithm), "quantiles:chat-azure23-out". The proxy passes them on.
const (
	HeaderSimTTFT     = "X-Sim-Ttft"      // delay of the first token from the request's start
	HeaderSimGap      = "X-Sim-Gap"       // gap between chunks
	HeaderSimTokens   = "X-Sim-Tokens"    // tokens in the response
	HeaderSimPerChunk = "X-Sim-Per-Chunk" // tokens in one chunk
	HeaderSimSeed     = "X-Sim-Seed"      // unsigned integer that fixes the draws of this request
	HeaderSimStatus   = "X-Sim-Status"    // answer with this HTTP status (400–599) and an error body instead of a stream
	HeaderSimFault    = "X-Sim-Fault"     // faults of this answer, in the notation of refserver/llm
)

// SimHeaders lists the headers a proxy passes on to the simulator.
func SimHeaders() []string {
	return []string{HeaderSimTTFT, HeaderSimGap, HeaderSimTokens, HeaderSimPerChunk, HeaderSimSeed, HeaderSimStatus, HeaderSimFault}
}

// QueryStamp in the query of an upgrade to the relay, with the value StampWrites,
// asks it to say of each message when it wrote it to this very member: the message
// comes behind a stamp line (AppendStamp) with an instant taken right before the
// write.
const (
	QueryStamp  = "stamp"
	StampWrites = "writes"
)

// QueryWaitUntil in the query of an upgrade to the relay, with the value
// WaitUntilClose, makes the function hold a waitUntil task until the socket closes, so
// that its worker lives to its full wall clock.
const (
	QueryWaitUntil = "wait_until"
	WaitUntilClose = "close"
)

// stampPrefix begins the text of the SSE comment that carries a send instant.
const stampPrefix = "sent="

// AppendStamp appends the SSE comment line ": sent=<Unix nanoseconds>\n" to b.
// The simulator writes one right before each event; a conforming client never
// sees it. Before a room's message the same line stands where QueryStamp asks for
// it.
func AppendStamp(b []byte, sent time.Time) []byte {
	b = append(b, ": "...)
	b = append(b, stampPrefix...)
	b = strconv.AppendInt(b, sent.UnixNano(), 10)
	return append(b, '\n')
}

// ParseStamp reads the text of an SSE comment (what follows the colon, one
// leading space allowed) and reports the send instant in Unix nanoseconds, or
// false where the comment is no stamp. It does not allocate.
func ParseStamp(comment []byte) (unixNano int64, ok bool) {
	if len(comment) > 0 && comment[0] == ' ' {
		comment = comment[1:]
	}
	if len(comment) <= len(stampPrefix) || string(comment[:len(stampPrefix)]) != stampPrefix {
		return 0, false
	}
	for _, c := range comment[len(stampPrefix):] {
		if c < '0' || c > '9' || unixNano > (math.MaxInt64-int64(c-'0'))/10 {
			return 0, false
		}
		unixNano = unixNano*10 + int64(c-'0')
	}
	return unixNano, true
}

// CutStamp takes a stamp line off the beginning of b; without one it returns b as
// it is and false. It does not allocate.
func CutStamp(b []byte) (unixNano int64, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != ':' {
		return 0, b, false
	}
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		return 0, b, false
	}
	if unixNano, ok = ParseStamp(b[1:end]); !ok {
		return 0, b, false
	}
	return unixNano, b[end+1:], true
}
