package stream

import (
	"bytes"

	"github.com/valyala/fastjson"
)

// A Dialect is the manner in which a stream's events carry tokens.
type Dialect uint8

// Dialects.
const (
	Auto      Dialect = iota // decided by the first event
	Anthropic                // Messages stream: typed events, ends in message_stop
	OpenAI                   // chat completions: unnamed chunks, ends in data [DONE]
	Text                     // data is the text itself
)

// String returns the dialect's name in a scenario file.
func (d Dialect) String() string {
	switch d {
	case Anthropic:
		return "anthropic"
	case OpenAI:
		return "openai"
	case Text:
		return "text"
	}
	return "auto"
}

// A Token says what kind of token an event carried.
type Token uint8

// Kinds of token. A tool call's delta and a refusal's count as content; an
// empty delta, a role, a usage count, a ping and a signature are none.
const (
	None      Token = iota
	Content         // text, tool input or refusal
	Reasoning       // thinking that precedes the answer
)

// A Reading is what one event said. Its slices belong to the decoder or the
// event and are valid until the next Decode.
type Reading struct {
	Token Token
	// Terminal says that this is the dialect's last event: the stream is complete.
	Terminal bool
	// Failed says that this is an error reported within the stream, with its
	// type and message as far as it gave them.
	Failed       bool
	ErrorType    []byte
	ErrorMessage []byte
	// OutputTokens is the stream's count of tokens so far, as the server has it,
	// where HasUsage says that the event gave one.
	OutputTokens int64
	HasUsage     bool
	// Finish is the reason the answer ended (stop_reason, finish_reason).
	Finish []byte
	// Malformed says that the dialect expects JSON and the data is none.
	Malformed bool
}

// A Decoder reads events in one dialect. One goroutine at a time may use it.
type Decoder struct {
	dialect Dialect
	parser  *fastjson.Parser
	largest int // event parsed since the last Reset, in bytes
}

// NewDecoder returns a decoder for d.
func NewDecoder(d Dialect) *Decoder {
	return &Decoder{dialect: d, parser: new(fastjson.Parser)}
}

// keepParser bounds the event whose parse tree is kept over a Reset, in bytes:
// a tree can be fifty times the size of its text.
const keepParser = 64 << 10

// Reset makes the decoder ready for another stream, in dialect d.
func (d *Decoder) Reset(dialect Dialect) {
	if d.largest > keepParser {
		d.parser = new(fastjson.Parser)
	}
	d.dialect, d.largest = dialect, 0
}

// Dialect returns the dialect in use: with Auto the one decided for, or Auto as
// long as no event has come.
func (d *Decoder) Dialect() Dialect { return d.dialect }

// EndsAtEOF says that a stream of this dialect may end with the connection,
// without a terminal event.
func (d *Decoder) EndsAtEOF() bool { return d.dialect == Text }

// done is the data that ends an OpenAI stream, and is known to all dialects.
const done = "[DONE]"

// Decode reads one event.
func (d *Decoder) Decode(e Event) Reading {
	if d.dialect == Text {
		return text(e)
	}
	switch string(bytes.TrimSpace(e.Data)) {
	case "":
		return Reading{}
	case done:
		// Anthropic never sends it, but a proxy before it may; success there is
		// message_stop alone.
		if d.dialect == Auto {
			d.dialect = OpenAI
		}
		return Reading{Terminal: d.dialect == OpenAI}
	}
	d.largest = max(d.largest, len(e.Data))
	v, err := d.parser.ParseBytes(e.Data)
	isObject := err == nil && v.Type() == fastjson.TypeObject
	if d.dialect == Auto {
		d.dialect = Text
		if isObject {
			d.dialect = recognise(v)
		}
		if d.dialect == Text {
			return text(e)
		}
	}
	switch {
	case !isObject:
		return Reading{Malformed: true}
	case d.dialect == Anthropic:
		return anthropic(e, v)
	default:
		return openAI(e, v)
	}
}

// recognise tells the dialect of a first event: Anthropic's objects all have a
// type of its own, OpenAI's are chunks with choices. A bare error has no type.
func recognise(v *fastjson.Value) Dialect {
	switch string(v.GetStringBytes("type")) {
	case "message_start", "content_block_start", "content_block_delta", "content_block_stop",
		"message_delta", "message_stop", "ping", "error":
		return Anthropic
	}
	if v.Get("choices") != nil || isSet(v.Get("error")) || string(v.GetStringBytes("object")) == "chat.completion.chunk" {
		return OpenAI
	}
	return Text
}

// isSet reports that v is there and not null.
func isSet(v *fastjson.Value) bool { return v != nil && v.Type() != fastjson.TypeNull }

// nonEmpty reports that v has a string under key that is not empty.
func nonEmpty(v *fastjson.Value, key string) bool { return len(v.GetStringBytes(key)) > 0 }
