package driver

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/stream"
	"github.com/edgeload/edgeload/internal/wire"
)

// fakeSpan is the time within which all of a stream's content comes when it was
// not streamed at all: one burst of bytes, which the socket may hand over in
// several reads.
const fakeSpan = time.Millisecond

// pingEvent is the type of an event that keeps a stream of Anthropic's alive.
const pingEvent = "ping"

// An sseStream measures one stream: it is told of bytes and the instant they
// arrived, and records what they mean. It is used by one goroutine and, once
// its buffers have grown, allocates nothing for an event.
type sseStream struct {
	// What each event touches comes first and together: of thousands of streams
	// none is in the processor's caches when its next event comes.
	clock engine.Clock
	rec   *engine.Recorder
	at    time.Duration // the latest read's instant
	read  uint64        // and its number
	last  time.Duration // t_tokN

	eventsInRead, chunksInRead int64
	chunks, intervals          int64 // content chunks; gaps recorded between them

	lastStamp    time.Duration // the server's instant of the last content chunk
	lastLag      time.Duration // received − sent of the last content chunk
	hasLastStamp bool
	sawEvent     bool
	sawReasoning bool
	sawOutput    bool
	done         bool // terminal event seen
	failed       bool
	newConn      bool
	begun        bool // the answer is an event stream
	left         bool // the client has had what it stays for
	bridge       bool // the next gap is one over a resume
	tracked      bool // ids of events are followed

	refused *refusal // the answer is none
	decoder stream.Decoder
	emit    func(stream.Event) // the method event, bound once
	gaps    gaps
	parser  stream.Parser
	from    receipt // of the latest read

	driver   *sseDriver
	ctx      context.Context
	ends     func(done bool) // tells the engine
	arrival  engine.Arrival
	account  *engine.Recorder // of what is counted of every stream, slow ones too
	client   client
	idle     *idleWatch // nil without an idle timeout
	taken    resumed
	silence  time.Duration // longest between two reads
	pings    int64
	bridged  int64         // gaps over a resume
	bodySize int64         // of the request
	ready    time.Duration // the connection was there
	sentAt   time.Duration // the request had left; actual start where not known
	first    time.Duration // t_tok1
	keeps    bool          // answer is wanted
	answer   []byte        // its text so far, at most maxAnswer bytes
	start    []byte        // what came before the first event, for an example
	bad      error         // what the parser refused

	tokens    int64 // by the server's count
	hasTokens bool
	ended     time.Duration // t_end, where complete
	failure   string        // in-band error, where failed
}

func newSSEStream(d *sseDriver) *sseStream {
	s := &sseStream{driver: d, clock: d.run.Clock}
	s.emit = s.event
	return s
}

// begin makes s ready for another arrival, keeping its buffers.
func (s *sseStream) begin(ctx context.Context, a engine.Arrival, rec *engine.Recorder, dialect stream.Dialect, over func(done bool)) {
	s.parser.Reset()
	s.gaps.reset()
	*s = sseStream{
		driver: s.driver, ctx: ctx, ends: over, clock: s.clock, rec: rec, account: rec, arrival: a, sentAt: a.Started,
		client: s.driver.clients.draw(a), taken: s.taken.begin(s.driver.clients.resume),
		parser: s.parser, decoder: stream.NewDecoder(dialect, &s.driver.scratch), emit: s.emit, start: s.start[:0], gaps: s.gaps, answer: s.answer[:0],
	}
	s.tracked = s.driver.clients.resume != nil
	if s.client.slow {
		s.rec = rec.At(-1) // what it sees of time is its own doing
		rec.Add(sseSlowStreams, 1)
	}
}

// deadline is when the workload's timeout cuts the stream, until when its client
// leaves, where that is earlier.
func (s *sseStream) deadline() time.Duration { return s.arrival.Started + s.driver.timeout }

func (s *sseStream) until() time.Duration {
	if s.client.leave > 0 {
		return min(s.deadline(), s.arrival.Started+s.client.leave)
	}
	return s.deadline()
}

// send sends req, the stream's first or one that takes it up again.
func (s *sseStream) send(req *http.Request) {
	t := s.driver.transport
	if s.client.slow {
		t = s.driver.slow.transport
	}
	ctx := s.ctx
	if s.client.idle > 0 {
		ctx, s.idle = watchIdle(ctx, s.client.idle)
	}
	t.start(ctx, req, s.until(), s)
}

// release lets go of what the arrival held.
func (s *sseStream) release() {
	s.idle.stop()
	s.ctx, s.ends, s.rec, s.account, s.idle = nil, nil, nil, nil, nil
}

// arrived is told of the read that brought the bytes that receive takes next.
func (s *sseStream) arrived(r receipt) {
	if r.read == s.read {
		return
	}
	s.endRead()
	s.idle.heard()
	if s.from.at > 0 {
		s.silence = max(s.silence, r.at-s.from.at)
	}
	r.after = min(max(r.after, s.sentAt), r.at)
	s.read, s.from = r.read, r
	sseReceipts.record(s.rec, r)
}

// receive takes bytes of the body, the instant they arrived and the number of
// the read that brought them. Its error is the parser's.
func (s *sseStream) receive(p []byte, at time.Duration, read uint64) error {
	if read != s.read {
		s.endRead()
		s.read = read
	}
	s.at = at
	s.account.Add(sseBytesIn, int64(len(p)))
	err := s.parser.Feed(p, s.emit)
	if room := maxExample - len(s.start); !s.sawEvent && room > 0 {
		s.start = append(s.start, p[:min(len(p), room)]...)
	}
	return err
}

// endRead records what one socket read held.
func (s *sseStream) endRead() {
	if s.eventsInRead > 0 {
		s.rec.Record(sseEventsPerRead, s.eventsInRead)
	}
	if s.chunksInRead > 1 {
		s.rec.Add(sseCoalesced, s.chunksInRead)
		sseReceipts.share(s.rec, s.from, s.chunksInRead)
	}
	s.eventsInRead, s.chunksInRead = 0, 0
}

// progress says how far the stream came, for an example.
func (s *sseStream) progress() string {
	if !s.sawEvent && len(s.start) > 0 {
		return fmt.Sprintf("before the first event: %s", s.start)
	}
	return fmt.Sprintf("after %d content chunks", s.chunks)
}

// over says that nothing more is expected of the stream.
func (s *sseStream) over() bool { return s.done || s.failed }

func (s *sseStream) event(e stream.Event) {
	s.eventsInRead++
	if !s.sawEvent {
		s.sawEvent = true
		s.record(sseFirstEvent, s.at-s.arrival.Started)
	}
	if s.over() {
		s.rec.Add(sseLateEvents, 1)
		return
	}
	if s.tracked && !s.fresh(e) {
		return
	}
	if string(e.Type) == pingEvent {
		s.pings++
	}
	r := s.decoder.Decode(e)
	if r.Malformed {
		s.rec.Add(sseMalformed, 1)
	}
	if r.HasUsage {
		s.tokens, s.hasTokens = r.OutputTokens, true
	}
	if r.Token != stream.None {
		s.token(r.Token)
		if s.keeps && len(s.answer) < maxAnswer {
			s.answer = s.decoder.AppendText(s.answer, e)
		}
		s.truth(e.Comment)
	}
	switch {
	case r.Failed:
		s.failed, s.failure = true, failureText(r)
	case r.Terminal:
		s.done, s.ended = true, s.at
	}
}

func failureText(r stream.Reading) string {
	text := r.ErrorMessage
	if r.ErrorType != "" {
		text = r.ErrorType + ": " + text
	}
	return excerpt(text)
}

// token records one content chunk.
func (s *sseStream) token(kind stream.Token) {
	s.chunks++
	s.chunksInRead++
	s.rec.Add(sseChunks, 1)
	if s.chunks == 1 {
		s.first = s.at
		s.record(sseTTFT, s.at-s.arrival.Intended)
		s.record(sseTTFTService, s.at-s.arrival.Started)
		if s.newConn {
			s.record(sseTTFTNew, s.at-s.arrival.Intended)
		} else {
			s.record(sseTTFTReused, s.at-s.arrival.Intended)
		}
	} else if s.bridge {
		s.bridge = false
		s.bridged++
	} else {
		gap := s.at - s.last
		s.intervals++
		s.record(sseITL, gap)
		s.gaps.add(gap)
	}
	s.last = s.at
	s.left = s.left || s.chunks == s.client.chunks
	switch {
	case kind == stream.Reasoning:
		s.sawReasoning = true
	case !s.sawOutput:
		s.sawOutput = true
		s.record(sseTTFO, s.at-s.arrival.Started)
		if s.sawReasoning {
			s.record(sseThinking, s.at-s.first)
		}
	}
}

// truth records what the server's own stamp says of the content chunk just
// counted, where its event had one.
func (s *sseStream) truth(comment []byte) {
	unix, ok := wire.ParseStamp(comment)
	if !ok {
		s.hasLastStamp = false
		return
	}
	sent := s.clock.FromUnix(unix)
	// Below zero the two clocks differ, and the stamps say nothing of the time
	// since the start; delivery_lag_negative tells of it.
	switch {
	case s.chunks == 1 && sent >= s.arrival.Started:
		s.record(sseTruthTTFT, sent-s.arrival.Started)
	case s.chunks > 1 && s.hasLastStamp && sent >= s.lastStamp:
		s.record(sseTruthITL, sent-s.lastStamp)
	}
	lag := s.at - sent
	// What a first token or a gap is off by, whatever the two have in common.
	switch {
	case s.chunks == 1:
		s.record(sseTTFTError, lag.Abs())
	case s.hasLastStamp:
		s.record(sseITLError, (lag - s.lastLag).Abs())
	}
	s.lastStamp, s.lastLag, s.hasLastStamp = sent, lag, true
	if lag < 0 {
		s.rec.Add(sseLagNegative, 1)
		lag = 0
	}
	s.record(sseDeliveryLag, lag)
}

// finish records what only the whole stream can tell.
func (s *sseStream) finish(o outcome) {
	s.endRead()
	s.account.Add(sseHeartbeats, s.pings+s.parser.Heartbeats())
	if o == outcomeLeft {
		s.account.Add(sseLeftChunks, s.chunks)
	} else {
		s.account.Add(sseStayed, 1)
	}
	if s.client.slow {
		s.account.Add(sseSlowChunks, s.chunks)
		if s.chunks > 0 {
			s.account.Record(sseSlowTime, int64(s.last-s.arrival.Started))
		}
	}
	if s.from.at > 0 {
		s.record(sseSilence, s.silence)
	}
	if s.chunks > 0 {
		s.rec.Add(sseStreamTime, int64(s.last-s.first))
	}
	if stalls := s.gaps.stalls(); len(stalls) > 0 {
		s.rec.Add(sseStalled, 1)
		for _, d := range stalls {
			s.rec.Add(sseStalls, 1)
			s.rec.Add(sseStallTime, int64(d))
			s.record(sseStall, d)
		}
	}
	if o == outcomeComplete {
		s.finishComplete()
	}
}

func (s *sseStream) finishComplete() {
	if s.hasTokens && s.chunks > 0 {
		s.rec.Add(sseTokensOut, s.tokens)
		s.rec.Add(sseCountedChunks, s.chunks)
	}
	if s.chunks == 0 {
		s.rec.Add(sseNoToken, 1)
		return
	}
	s.record(sseE2E, s.last-s.arrival.Intended)
	s.record(sseCloseLag, s.ended-s.last)
	// The first chunk counts as one token: what came before the second token
	// cannot be told. One chunk holds them all, and has no time a token.
	if s.hasTokens && s.tokens > 1 && s.chunks > 1 {
		s.record(sseTPOT, (s.last-s.first)/time.Duration(s.tokens-1))
	}
	if s.chunks > 1 {
		s.rec.Add(sseMultiChunk, 1)
		if s.last-s.first <= fakeSpan {
			s.rec.Add(sseFakeStreaming, 1)
		}
	}
}

func (s *sseStream) record(m engine.MetricID, d time.Duration) { s.rec.Record(m, int64(d)) }
