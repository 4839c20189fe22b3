// Package stream turns the bytes of an event stream into tokens, in two steps.
//
// Parser splits bytes into events by the rules of WHATWG HTML §9.2, however
// the bytes are cut up on the way. Decoder reads one event in a dialect (the
// Anthropic Messages stream, OpenAI chat completions, plain text) and says what
// it carried: a token, the end, an error, a count of tokens.
//
// Neither allocates once its buffers have grown to the size of what they are
// fed, and neither looks at a clock: the caller, who knows when the bytes
// arrived, hands them over afterwards.
//
// The package knows nothing of HTTP, of metrics or of the stamps a server may
// put into comments; it only makes the comments available.
package stream
