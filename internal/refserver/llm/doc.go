// Package llm is the upstream simulator: an LLM API whose every instant is
// known beforehand.
//
// A Simulator answers POST /v1/messages as the Anthropic Messages API does:
// message_start, content_block_start, ping, content_block_delta…,
// content_block_stop, message_delta with the final usage, message_stop; or one
// JSON message after the same time when the request does not ask for a stream.
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
//     received is the number of output tokens.
//
// Where it is more lenient than the real API: x-api-key and anthropic-version
// may be absent, and any key is good. It asks for model, max_tokens and
// messages as the real one does.
//
// The package knows the stream's format and time; it knows nothing of
// functions, of the proxy in front of it, or of who listens.
package llm
