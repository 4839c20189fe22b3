package llm

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
)

// openAI is the form of OpenAI's chat completions, and of the many servers that
// are compatible with them.
type openAI struct{}

// The fixed parts of the stream.
const (
	openAIDone      = "data: [DONE]\n\n"
	openAIPing      = ": keep-alive\n\n" // the API has no event for it: servers send a comment
	openAIMalformed = "data: {\"id\":\"chatcmpl-\",\"object\":\"chat.completion.ch\n\n"

	openAIContent   = "{\"content\":\""
	openAIFirst     = "{\"role\":\"assistant\",\"content\":\""
	openAIReasoning = "{\"reasoning_content\":\""
	openAIThinking  = "{\"role\":\"assistant\",\"reasoning_content\":\""
	openAIRole      = "{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}"
)

// openAIUsage is the JSON of a usage.
type openAIUsage struct {
	PromptTokens     int           `json:"prompt_tokens"`
	CompletionTokens int           `json:"completion_tokens"`
	TotalTokens      int           `json:"total_tokens"`
	Details          openAIDetails `json:"completion_tokens_details"`
}

type openAIDetails struct {
	ReasoningTokens int `json:"reasoning_tokens"`
}

func (h *head) openAIUsage(sent usage) openAIUsage {
	return openAIUsage{h.inputTokens, sent.output, h.inputTokens + sent.output, openAIDetails{sent.reasoning}}
}

func (openAI) read(body []byte) (*request, *apiError) {
	var req struct {
		Model               string `json:"model"`
		MaxTokens           *int   `json:"max_tokens"`
		MaxCompletionTokens *int   `json:"max_completion_tokens"`
		Stream              bool   `json:"stream"`
		StreamOptions       *struct {
			IncludeUsage bool `json:"include_usage"`
		} `json:"stream_options"`
		Messages []turn `json:"messages"`
	}
	if err := json.Unmarshal(body, &req); err != nil {
		return nil, invalid("We could not parse the JSON body of your request: %v", err)
	}
	switch {
	case req.Model == "":
		return nil, invalid("you must provide a model parameter").at("model")
	case len(req.Messages) == 0:
		return nil, invalid("messages: at least one message is required").at("messages")
	case req.MaxTokens != nil && req.MaxCompletionTokens != nil:
		return nil, invalid("Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.").at("max_tokens")
	case req.StreamOptions != nil && !req.Stream:
		return nil, invalid("The 'stream_options' parameter is only allowed when 'stream' is enabled.").at("stream_options")
	}
	out := &request{model: req.Model, maxTokens: 2 * MaxCount, stream: req.Stream} // no answer is longer
	out.includeUsage = req.StreamOptions != nil && req.StreamOptions.IncludeUsage
	for name, limit := range map[string]*int{"max_tokens": req.MaxTokens, "max_completion_tokens": req.MaxCompletionTokens} {
		if limit != nil && *limit < 1 {
			return nil, invalid("%s: want an integer from 1", name).at(name)
		}
		if limit != nil {
			out.maxTokens = *limit
		}
	}
	size := 0
	for i, m := range req.Messages {
		param := "messages[" + strconv.Itoa(i) + "]"
		switch m.Role {
		case "developer", "system", "user", "assistant", "tool":
		default:
			return nil, invalid("%s.role: want developer, system, user, assistant or tool", param).at(param + ".role")
		}
		n, err := textSize(m.Content)
		if err != nil || len(m.Content) == 0 && m.Role != "assistant" {
			return nil, invalid("%s.content: want a string or a list of content parts", param).at(param + ".content")
		}
		size += n
	}
	out.inputTokens = estimateTokens(size)
	return out, nil
}

func (openAI) idHeader() string { return "X-Request-Id" }

// openAIError is the JSON of an error, with null for what does not apply.
type openAIError struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

func (openAI) errorBody(e *apiError, _ string) []byte {
	body := openAIError{Message: e.message, Type: "invalid_request_error"}
	if e.param != "" {
		body.Param = &e.param
	}
	code := func(text string) { body.Code = &text }
	switch {
	case e.status == http.StatusUnauthorized:
		code("invalid_api_key")
	case e.status == http.StatusTooManyRequests:
		body.Type = "requests"
		code("rate_limit_exceeded")
	case e.status >= 500:
		body.Type = "server_error"
	}
	return marshal(struct {
		Error openAIError `json:"error"`
	}{body})
}

// open is how every chunk of the stream begins, up to its choices.
func (openAI) open(h *head) []byte {
	b := []byte("data: {\"id\":\"chatcmpl-")
	b = append(b, h.id...)
	b = append(b, "\",\"object\":\"chat.completion.chunk\",\"created\":"...)
	b = strconv.AppendInt(b, h.created.Unix(), 10)
	b = append(b, ",\"model\":"...)
	b = append(b, marshal(h.model)...)
	return append(b, ",\"system_fingerprint\":null,\"choices\":["...)
}

// close is how it ends, from the end of its choices. With include_usage all chunks
// have a usage, which is null in all but one.
func (openAI) close(h *head) string {
	if h.includeUsage {
		return "],\"usage\":null}\n\n"
	}
	return "]}\n\n"
}

// chunk is an event with one choice.
func (d openAI) chunk(h *head, delta, finishReason string) []byte {
	return slices.Concat(d.open(h), []byte("{\"index\":0,\"delta\":"), []byte(delta),
		[]byte(",\"logprobs\":null,\"finish_reason\":"), []byte(finishReason), []byte("}"), []byte(d.close(h)))
}

func (d openAI) begin(h *head) [][]byte {
	if h.roleOnly == roleOnlyOff {
		return nil
	}
	return [][]byte{d.chunk(h, openAIRole, "null")}
}

func (d openAI) around(h *head, reasoning, first bool) (prefix, suffix string) {
	first = first && h.roleOnly == roleOnlyOff
	delta := openAIContent
	switch {
	case reasoning && first:
		delta = openAIThinking
	case reasoning:
		delta = openAIReasoning
	case first:
		delta = openAIFirst
	}
	return string(d.open(h)) + "{\"index\":0,\"delta\":" + delta, "\"},\"logprobs\":null,\"finish_reason\":null}" + d.close(h)
}

func (openAI) turn(*head) [][]byte { return nil }

func (d openAI) end(h *head, sent usage, capped bool) [][]byte {
	events := [][]byte{d.chunk(h, "{}", "\""+openAIFinishReason(capped)+"\"")}
	if h.includeUsage {
		events = append(events, slices.Concat(d.open(h), []byte("],\"usage\":"), marshal(h.openAIUsage(sent)), []byte("}\n\n")))
	}
	return append(events, []byte(openAIDone))
}

func openAIFinishReason(capped bool) string {
	if capped {
		return "length"
	}
	return "stop"
}

func (openAI) ping() []byte           { return []byte(openAIPing) }
func (openAI) malformed(*head) []byte { return []byte(openAIMalformed) }

func (openAI) failure(kind string) []byte {
	if kind == "" {
		kind = "server_error"
	}
	body := marshal(struct {
		Error openAIError `json:"error"`
	}{openAIError{Message: failureMessage(kind), Type: kind}})
	return slices.Concat([]byte("data: "), body, []byte("\n\n"))
}

// completion is the JSON of a whole answer.
type completion struct {
	ID      string             `json:"id"`
	Object  string             `json:"object"`
	Created int64              `json:"created"`
	Model   string             `json:"model"`
	Choices []completionChoice `json:"choices"`
	Usage   openAIUsage        `json:"usage"`
}

type completionChoice struct {
	Index        int               `json:"index"`
	Message      completionMessage `json:"message"`
	Logprobs     *string           `json:"logprobs"`
	FinishReason string            `json:"finish_reason"`
}

type completionMessage struct {
	Role      string  `json:"role"`
	Content   string  `json:"content"`
	Reasoning string  `json:"reasoning_content,omitempty"`
	Refusal   *string `json:"refusal"`
}

func (openAI) whole(h *head, reasoning, text string, sent usage, capped bool) []byte {
	return marshal(completion{
		ID: "chatcmpl-" + h.id, Object: "chat.completion", Created: h.created.Unix(), Model: h.model,
		Choices: []completionChoice{{
			Message:      completionMessage{Role: "assistant", Content: text, Reasoning: reasoning},
			FinishReason: openAIFinishReason(capped),
		}},
		Usage: h.openAIUsage(sent),
	})
}
