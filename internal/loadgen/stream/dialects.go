package stream

import (
	"bytes"

	"github.com/valyala/fastjson"
)

// anthropic reads an event of the Messages stream. The JSON's own type is what
// counts; the event field repeats it. Types it does not know are skipped, as the
// API's versioning asks of clients.
func anthropic(e Event, v *fastjson.Value) Reading {
	var r Reading
	if failure := v.Get("error"); isSet(failure) || string(e.Type) == "error" {
		r.fail(failure)
		return r
	}
	switch string(v.GetStringBytes("type")) {
	case "message_start":
		r.usage(v.Get("message", "usage"), "output_tokens")
	case "content_block_delta":
		r.Token = anthropicDelta(v.Get("delta"))
	case "message_delta":
		r.usage(v.Get("usage"), "output_tokens")
	case "message_stop":
		r.Terminal = true
	}
	return r
}

func anthropicDelta(delta *fastjson.Value) Token {
	switch string(delta.GetStringBytes("type")) {
	case "text_delta":
		if nonEmpty(delta, "text") {
			return Content
		}
	case "input_json_delta":
		if nonEmpty(delta, "partial_json") {
			return Content
		}
	case "thinking_delta":
		if nonEmpty(delta, "thinking") {
			return Reasoning
		}
	}
	return None
}

// openAI reads a chunk of chat completions. A chunk that carries both reasoning
// and content is content.
func openAI(e Event, v *fastjson.Value) Reading {
	var r Reading
	if failure := v.Get("error"); isSet(failure) {
		r.fail(failure)
		return r
	}
	if string(e.Type) == "error" {
		r.fail(v)
		return r
	}
	for _, choice := range v.GetArray("choices") {
		switch token := openAIDelta(choice); {
		case token == Content:
			r.Token = Content
		case token == Reasoning && r.Token == None:
			r.Token = Reasoning
		}
	}
	r.usage(v.Get("usage"), "completion_tokens")
	return r
}

func openAIDelta(choice *fastjson.Value) Token {
	delta := choice.Get("delta")
	if nonEmpty(delta, "content") || nonEmpty(delta, "refusal") || nonEmpty(choice, "text") || isCall(delta.Get("function_call")) {
		return Content
	}
	for _, call := range delta.GetArray("tool_calls") {
		if isCall(call.Get("function")) {
			return Content
		}
	}
	if nonEmpty(delta, "reasoning_content") || nonEmpty(delta, "reasoning") {
		return Reasoning
	}
	return None
}

// isCall reports that a tool call's delta has something in it.
func isCall(function *fastjson.Value) bool {
	return nonEmpty(function, "name") || nonEmpty(function, "arguments")
}

// text reads an event whose data is the text.
func text(e Event) Reading {
	switch {
	case string(e.Type) == "done" || string(bytes.TrimSpace(e.Data)) == done:
		return Reading{Terminal: true}
	case string(e.Type) == "error":
		return Reading{Failed: true, ErrorMessage: string(e.Data)}
	case len(e.Data) > 0:
		return Reading{Token: Content}
	}
	return Reading{}
}

// usage takes the token count under key of v, where there is one.
func (r *Reading) usage(v *fastjson.Value, key string) {
	if n := v.Get(key); n != nil && n.Type() == fastjson.TypeNumber && n.GetInt64() >= 0 {
		r.OutputTokens, r.HasUsage = n.GetInt64(), true
	}
}

// fail takes an error: an object with type (or code) and message, or a string.
func (r *Reading) fail(v *fastjson.Value) {
	r.Failed = true
	if v != nil && v.Type() == fastjson.TypeString {
		r.ErrorMessage = string(v.GetStringBytes())
		return
	}
	r.ErrorMessage = string(v.GetStringBytes("message"))
	if r.ErrorType = string(v.GetStringBytes("type")); r.ErrorType == "" {
		r.ErrorType = string(v.GetStringBytes("code"))
	}
}
