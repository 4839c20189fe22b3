// Package llm is the upstream simulator: an LLM API whose every instant is
// known beforehand.
//
// A Simulator answers POST /v1/messages as the Anthropic Messages API does:
// message_start, content_block_start, ping, content_block_delta…,
// content_block_stop, message_delta with the final usage, message_stop; and
// POST /v1/chat/completions as OpenAI's does: a chunk with the role, chunks with
// delta.content, one with the finish_reason, one with the usage where
// stream_options.include_usage asks for it, [DONE]. A request that asks for no
// stream gets one JSON message after the same time.
// What it answers is stated, not measured: a Timing gives the distributions of
// the first token's delay, of the gaps, of the number of tokens and of the
// tokens in a chunk, and a seed that fixes every draw. Request headers
// (wire.SimHeaders) override it for one request.
//
// Three rules make it a ground truth:
//
//   - Deadlines are offsets from the request's start, which is the entry into
//     the handler. A late token does not delay the next one, so errors never
//     add up, and what fell due while the process stood still goes out at once,
//     each token as its own event.
//   - Before each event stands an SSE comment with the instant at which that
//     event was written (wire.AppendStamp). A conforming client never sees it.
//     Comment and event leave in one write, followed by a flush.
//   - A token is one word of the text: the number of words that a client
//     received, reasoning included, is the number of output tokens.
//
// What goes wrong is stated too: ParseFaults has the notation, in which the header
// wire.HeaderSimFault sets the faults of one request and Simulator.SetFaults those
// of all. Which were given, and how requests ended, is counted (Stats).
//
// Where it is more lenient than the real APIs: keys and the version header may be
// absent, and any key is good.
//
// The package knows the streams' formats and time; it knows nothing of
// functions, of the proxy in front of it, or of who listens.
package llm
