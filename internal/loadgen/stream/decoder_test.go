package stream

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// reading is a Reading whose usage is one field.
type reading struct {
	Token                       Token
	Terminal, Failed, Malformed bool
	ErrorType, ErrorMessage     string
	Usage                       int64 // -1: none
}

// newDecoder is a decoder with a scratch of its own.
func newDecoder(d Dialect) *Decoder {
	made := NewDecoder(d, new(Scratch))
	return &made
}

func decode(d *Decoder, kind, data string) reading {
	r := d.Decode(Event{Type: []byte(kind), Data: []byte(data)})
	out := reading{r.Token, r.Terminal, r.Failed, r.Malformed, r.ErrorType, r.ErrorMessage, -1}
	if r.HasUsage {
		out.Usage = r.OutputTokens
	}
	return out
}

func TestDecode(t *testing.T) {
	nothing := reading{Usage: -1}
	content, reasoning := reading{Token: Content, Usage: -1}, reading{Token: Reasoning, Usage: -1}
	end, malformed := reading{Terminal: true, Usage: -1}, reading{Malformed: true, Usage: -1}
	for _, tt := range []struct {
		dialect    Dialect
		name       string
		kind, data string
		want       reading
	}{
		{Anthropic, "message_start", "message_start", `{"type":"message_start","message":{"role":"assistant","content":[],"usage":{"input_tokens":9,"output_tokens":1}}}`, reading{Usage: 1}},
		{Anthropic, "block start", "content_block_start", `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`, nothing},
		{Anthropic, "tool start", "content_block_start", `{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}`, nothing},
		{Anthropic, "ping", "ping", `{"type":"ping"}`, nothing},
		{Anthropic, "text", "content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}`, content},
		{Anthropic, "empty text", "content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":""}}`, nothing},
		{Anthropic, "thinking", "content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm"}}`, reasoning},
		{Anthropic, "empty thinking", "content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":""}}`, nothing},
		{Anthropic, "signature", "content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"abc"}}`, nothing},
		{Anthropic, "tool input", "content_block_delta", `{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\""}}`, content},
		{Anthropic, "empty tool input", "content_block_delta", `{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":""}}`, nothing},
		{Anthropic, "unnamed event", "", `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}`, content},
		{Anthropic, "message_delta", "message_delta", `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":42}}`, reading{Usage: 42}},
		{Anthropic, "message_stop", "message_stop", `{"type":"message_stop"}`, end},
		{Anthropic, "error", "error", `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, reading{Failed: true, ErrorType: "overloaded_error", ErrorMessage: "Overloaded", Usage: -1}},
		{Anthropic, "error by name alone", "error", `{}`, reading{Failed: true, Usage: -1}},
		{Anthropic, "unknown type", "brand_new", `{"type":"brand_new","delta":{"type":"text_delta","text":"Hi"}}`, nothing},
		{Anthropic, "unknown delta", "content_block_delta", `{"type":"content_block_delta","delta":{"type":"citations_delta","citation":{}}}`, nothing},
		{Anthropic, "DONE is no success", "", `[DONE]`, nothing},
		{Anthropic, "malformed", "content_block_delta", `{"type":"content_blo`, malformed},
		{Anthropic, "not an object", "", `[1]`, malformed},
		{Anthropic, "empty data", "", ``, nothing},
		{Anthropic, "negative usage", "", `{"type":"message_delta","usage":{"output_tokens":-3}}`, nothing},

		{OpenAI, "role only", "", `{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}`, nothing},
		{OpenAI, "role and null", "", `{"choices":[{"index":0,"delta":{"role":"assistant","content":null}}]}`, nothing},
		{OpenAI, "content", "", `{"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}`, content},
		{OpenAI, "content of the second choice", "", `{"choices":[{"index":0,"delta":{}},{"index":1,"delta":{"content":"Hi"}}]}`, content},
		{OpenAI, "reasoning_content", "", `{"choices":[{"delta":{"reasoning_content":"Hm"}}]}`, reasoning},
		{OpenAI, "reasoning", "", `{"choices":[{"delta":{"content":"","reasoning":"Hm"}}]}`, reasoning},
		{OpenAI, "both", "", `{"choices":[{"delta":{"content":"Hi","reasoning":"Hm"}}]}`, content},
		{OpenAI, "refusal", "", `{"choices":[{"delta":{"refusal":"No"}}]}`, content},
		{OpenAI, "tool call", "", `{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":""}}]}}]}`, content},
		{OpenAI, "tool arguments", "", `{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}}]}`, content},
		{OpenAI, "empty tool call", "", `{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":""}}]}}]}`, nothing},
		{OpenAI, "function call", "", `{"choices":[{"delta":{"function_call":{"arguments":"{}"}}}]}`, content},
		{OpenAI, "completions text", "", `{"choices":[{"text":"Hi"}]}`, content},
		{OpenAI, "finish", "", `{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`, reading{Usage: -1}},
		{OpenAI, "usage", "", `{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":17}}`, reading{Usage: 17}},
		{OpenAI, "null usage", "", `{"choices":[{"delta":{"content":"x"}}],"usage":null}`, content},
		{OpenAI, "done", "", `[DONE]`, end},
		{OpenAI, "done with blanks", "", ` [DONE] `, end},
		{OpenAI, "error", "", `{"error":{"message":"boom","type":"server_error","code":null}}`, reading{Failed: true, ErrorType: "server_error", ErrorMessage: "boom", Usage: -1}},
		{OpenAI, "error code", "", `{"error":{"message":"boom","code":"rate_limit"}}`, reading{Failed: true, ErrorType: "rate_limit", ErrorMessage: "boom", Usage: -1}},
		{OpenAI, "error text", "", `{"error":"boom"}`, reading{Failed: true, ErrorMessage: "boom", Usage: -1}},
		{OpenAI, "error event", "error", `{"message":"boom"}`, reading{Failed: true, ErrorMessage: "boom", Usage: -1}},
		{OpenAI, "no error", "", `{"error":null,"choices":[{"delta":{"content":"x"}}]}`, content},
		{OpenAI, "malformed", "", `{"choices":[`, malformed},

		{Text, "data", "", "hello", content},
		{Text, "a blank is text", "", " ", content},
		{Text, "empty", "", "", nothing},
		{Text, "JSON is text", "", `{"choices":[]}`, content},
		{Text, "done event", "done", "whatever", end},
		{Text, "done data", "", "[DONE]", end},
		{Text, "error event", "error", "boom", reading{Failed: true, ErrorMessage: "boom", Usage: -1}},
	} {
		t.Run(tt.dialect.String()+" "+tt.name, func(t *testing.T) {
			d := newDecoder(tt.dialect)
			if diff := cmp.Diff(tt.want, decode(d, tt.kind, tt.data)); diff != "" {
				t.Error(diff)
			}
			if d.Dialect() != tt.dialect {
				t.Errorf("dialect became %v", d.Dialect())
			}
		})
	}
}

func TestAutoDecides(t *testing.T) {
	for _, tt := range []struct {
		first string
		want  Dialect
		token Token
	}{
		{`{"type":"message_start","message":{}}`, Anthropic, None},
		{`{"type":"ping"}`, Anthropic, None},
		{`{"type":"error","error":{"type":"overloaded_error"}}`, Anthropic, None},
		{`{"choices":[{"delta":{"role":"assistant"}}]}`, OpenAI, None},
		{`{"object":"chat.completion.chunk"}`, OpenAI, None},
		{`{"error":{"message":"boom"}}`, OpenAI, None},
		{`[DONE]`, OpenAI, None},
		{`hello`, Text, Content},
		{`{"word":"hello"}`, Text, Content},
		{`"hello"`, Text, Content},
		{`{"type":`, Text, Content},
		{``, Auto, None},
	} {
		d := newDecoder(Auto)
		if r := decode(d, "", tt.first); r.Token != tt.token {
			t.Errorf("%s: token %v, want %v", tt.first, r.Token, tt.token)
		}
		if d.Dialect() != tt.want {
			t.Errorf("%s: dialect %v, want %v", tt.first, d.Dialect(), tt.want)
		}
		if d.EndsAtEOF() != (tt.want == Text) {
			t.Errorf("%s: EndsAtEOF is %v", tt.first, d.EndsAtEOF())
		}
		// The decision holds for the stream.
		decode(d, "", "a word")
		if tt.want != Auto && d.Dialect() != tt.want {
			t.Errorf("%s: dialect changed to %v", tt.first, d.Dialect())
		}
	}
}

// A tree of fifty times its text is let go; that of an ordinary event serves the
// next decoder.
func TestScratchLetsLargeTreesGo(t *testing.T) {
	var s Scratch
	for _, tt := range []struct {
		parsed int
		kept   bool
	}{{keepParser, true}, {keepParser + 1, false}} {
		p := s.take()
		s.giveBack(p, tt.parsed)
		if kept := s.take() == p; kept != tt.kept {
			t.Errorf("after an event of %d bytes: kept %v", tt.parsed, kept)
		}
	}
}

// Decoders that share a scratch do not disturb each other.
func TestScratchIsShared(t *testing.T) {
	var s Scratch
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			d := NewDecoder(OpenAI, &s)
			want := reading{Failed: true, ErrorType: fmt.Sprint("type", i), ErrorMessage: strings.Repeat(fmt.Sprint(i), 50), Usage: -1}
			for range 500 {
				got := decode(&d, "", fmt.Sprintf(`{"error":{"type":%q,"message":%q}}`, want.ErrorType, want.ErrorMessage))
				if got != want {
					t.Errorf("%+v, want %+v", got, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

func FuzzDialect(f *testing.F) {
	for _, seed := range [][2]string{
		{"content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\ud83d\ude00"}}`},
		{"message_delta", `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":42}}`},
		{"error", `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`},
		{"", `{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f"}}]}}],"usage":{"completion_tokens":1}}`},
		{"", `{"error":"boom"}`}, {"", `[DONE]`}, {"done", "x"}, {"", ""}, {"", `{"choices":{}}`}, {"", `{"choices":[1,null]}`},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, kind, data string) {
		for _, dialect := range []Dialect{Auto, Anthropic, OpenAI, Text} {
			d := newDecoder(dialect)
			first := decode(d, kind, data)
			decided := d.Dialect()
			if dialect != Auto && decided != dialect {
				t.Fatalf("%v became %v", dialect, decided)
			}
			if (first.Terminal || first.Failed || first.Malformed) && first.Token != None {
				t.Fatalf("%v: an end is a token too: %+v", dialect, first)
			}
			if first.Usage < -1 {
				t.Fatalf("%v: negative usage %d", dialect, first.Usage)
			}
			// A decoder in the decided dialect reads the same event the same way.
			if diff := cmp.Diff(first, decode(newDecoder(decided), kind, data)); diff != "" {
				t.Fatalf("%v: %s", dialect, diff)
			}
		}
	})
}
