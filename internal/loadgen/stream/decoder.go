package stream

import (
	"bytes"
	"sync"
	"sync/atomic"

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

// A Reading is what one event said.
type Reading struct {
	Token Token
	// Terminal says that this is the dialect's last event: the stream is complete.
	Terminal bool
	// Failed says that this is an error reported within the stream, with its
	// type and message as far as it gave them.
	Failed       bool
	ErrorType    string
	ErrorMessage string
	// OutputTokens is the stream's count of tokens so far, as the server has it,
	// where HasUsage says that the event gave one.
	OutputTokens int64
	HasUsage     bool
	// Malformed says that the dialect expects JSON and the data is none.
	Malformed bool
}

// A Scratch holds the memory in which events are taken apart, for any number of
// decoders: a stream that waits needs none. The zero value is ready for use, by
// any number of goroutines at once.
type Scratch struct {
	first   atomic.Pointer[fastjson.Parser] // serves where one decoder is at work at a time
	parsers sync.Pool
}

// keepParser bounds the event whose parse tree is kept, in bytes: a tree can be
// fifty times the size of its text.
const keepParser = 64 << 10

func (s *Scratch) take() *fastjson.Parser {
	if p := s.first.Swap(nil); p != nil {
		return p
	}
	if p, ok := s.parsers.Get().(*fastjson.Parser); ok {
		return p
	}
	return new(fastjson.Parser)
}

func (s *Scratch) giveBack(p *fastjson.Parser, parsed int) {
	if parsed <= keepParser && !s.first.CompareAndSwap(nil, p) {
		s.parsers.Put(p)
	}
}

// A Decoder reads events in one dialect. One goroutine at a time may use it.
type Decoder struct {
	dialect Dialect
	scratch *Scratch
}

// NewDecoder returns a decoder for d that works in scratch.
func NewDecoder(d Dialect, scratch *Scratch) Decoder {
	return Decoder{dialect: d, scratch: scratch}
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
	parser := d.scratch.take()
	defer d.scratch.giveBack(parser, len(e.Data))
	v, err := parser.ParseBytes(e.Data)
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
