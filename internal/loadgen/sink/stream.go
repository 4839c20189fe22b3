package sink

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
	"github.com/edgeload/edgeload/internal/wire"
)

// A Stream is the body of one answer in the manner of an LLM API, whose events each
// have an instant of their own. It is written once.
type Stream struct {
	dialect dialect
	tokens  int
	ttft    time.Duration
	gap     scenario.TimeDist
	rng     *rand.Rand
	id      string
}

// A message is what the events of one stream say of it.
type message struct {
	id            string
	created       int64 // Unix seconds
	input, output int   // tokens
}

// A dialect is how an LLM API writes a stream. Each event ends with an empty line.
type dialect interface {
	// before are the events that come before the first token.
	before(m *message) [][]byte
	// token appends the event of one token to b.
	token(b []byte, m *message, text string) []byte
	// after are the events that come after the last token.
	after(m *message) [][]byte
	// failure is the body of an answer with an error's status.
	failure(status int) []byte
}

func dialectOf(l *scenario.LLMStream) dialect {
	if l.Dialect == scenario.DialectOpenAI {
		return openAI{}
	}
	return anthropic{}
}

// newStream draws what l says from rng, which is the stream's from then on.
func newStream(l *scenario.LLMStream, rng *rand.Rand) *Stream {
	return &Stream{
		dialect: dialectOf(l), tokens: max(1, l.Tokens.Draw(rng)), ttft: l.TTFT.Draw(rng), gap: l.Gap,
		rng: rng, id: fmt.Sprintf("%016x", rng.Uint64()),
	}
}

// bytesPerToken is how much of a request makes one token of input, as usage has it.
const bytesPerToken = 4

// write sends the events of an answer to a request of so many bytes, each with the
// stamp of the instant at which it is handed to send. Tokens are due at offsets from
// begin, so that a late one does not move the next.
func (s *Stream) write(ctx context.Context, begin time.Time, request int, wait Waiter, send func([]byte) error) error {
	var buf []byte
	event := func(b []byte) error {
		buf = append(wire.AppendStamp(buf[:0], time.Now()), b...)
		return send(buf)
	}
	m := &message{id: s.id, created: begin.Unix(), input: (request + bytesPerToken - 1) / bytesPerToken, output: s.tokens}
	for _, b := range s.dialect.before(m) {
		if err := event(b); err != nil {
			return err
		}
	}
	var token []byte
	due := begin.Add(s.ttft)
	for i := range s.tokens {
		if i > 0 {
			due = due.Add(s.gap.Draw(s.rng))
		}
		token = s.dialect.token(token[:0], m, tokenText(i))
		if !wait(ctx, due) {
			return context.Cause(ctx)
		}
		if err := event(token); err != nil {
			return err
		}
	}
	for _, b := range s.dialect.after(m) {
		if err := event(b); err != nil {
			return err
		}
	}
	return nil
}

// tokenText is the i-th token: a word, different from its neighbours, so that one that
// goes astray on the way can be told.
func tokenText(i int) string {
	if i == 0 {
		return "w0"
	}
	return fmt.Sprintf(" w%d", i)
}

// marshal is v as JSON; v is of types that have one.
func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// serverEvent is an event of a type with its data.
func serverEvent(kind string, data any) []byte {
	b := append([]byte("event: "+kind+"\ndata: "), marshal(data)...)
	return append(b, "\n\n"...)
}
