package llm

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
)

// anthropic is the form of the Messages API.
type anthropic struct{}

// The fixed parts of the stream.
const (
	anthropicTextStart  = ",\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n"
	anthropicThinkStart = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\n"
	anthropicPing       = "event: ping\ndata: {\"type\": \"ping\"}\n\n"
	anthropicStop       = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
	anthropicMalformed  = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_del\n\n"

	anthropicDelta      = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":"
	anthropicText       = anthropicDelta + "0,\"delta\":{\"type\":\"text_delta\",\"text\":\""
	anthropicTextSecond = anthropicDelta + "1,\"delta\":{\"type\":\"text_delta\",\"text\":\""
	anthropicThinking   = anthropicDelta + "0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\""
	anthropicDeltaEnd   = "\"}}\n\n"
)

// Reasons why a message ended.
const (
	anthropicEndTurn   = "end_turn"
	anthropicMaxTokens = "max_tokens"
)

// message is the JSON of a whole answer, and of the head of a stream.
type message struct {
	ID           string         `json:"id"`
	Type         string         `json:"type"`
	Role         string         `json:"role"`
	Model        string         `json:"model"`
	Content      []block        `json:"content"`
	StopReason   *string        `json:"stop_reason"`
	StopSequence *string        `json:"stop_sequence"`
	Usage        anthropicUsage `json:"usage"`
}

// block is one part of a message's content.
type block struct {
	Type      string  `json:"type"`
	Thinking  string  `json:"thinking,omitempty"`
	Signature string  `json:"signature,omitempty"`
	Text      *string `json:"text,omitempty"`
}

type anthropicUsage struct {
	InputTokens  int `json:"input_tokens"`
	OutputTokens int `json:"output_tokens"`
}

func (anthropic) read(body []byte) (*request, *apiError) {
	var req struct {
		Model     string          `json:"model"`
		MaxTokens int             `json:"max_tokens"`
		Stream    bool            `json:"stream"`
		System    json.RawMessage `json:"system"`
		Messages  []turn          `json:"messages"`
	}
	if err := json.Unmarshal(body, &req); err != nil {
		return nil, invalid("the request body is not valid JSON: %v", err)
	}
	switch {
	case req.Model == "":
		return nil, invalid("model: Field required")
	case req.MaxTokens < 1:
		return nil, invalid("max_tokens: want an integer from 1")
	case len(req.Messages) == 0:
		return nil, invalid("messages: at least one message is required")
	}
	size, err := textSize(req.System)
	if err != nil {
		return nil, invalid("system: %v", err)
	}
	for i, m := range req.Messages {
		if m.Role != "user" && m.Role != "assistant" {
			return nil, invalid("messages.%d.role: want \"user\" or \"assistant\"", i)
		}
		n, err := textSize(m.Content)
		if err != nil || len(m.Content) == 0 {
			return nil, invalid("messages.%d.content: want a string or a list of content blocks", i)
		}
		size += n
	}
	return &request{model: req.Model, maxTokens: req.MaxTokens, stream: req.Stream, inputTokens: estimateTokens(size)}, nil
}

func (anthropic) idHeader() string { return "Request-Id" }

func (anthropic) errorBody(e *apiError, requestID string) []byte {
	return marshal(struct {
		Type      string         `json:"type"`
		Error     anthropicError `json:"error"`
		RequestID string         `json:"request_id"`
	}{"error", anthropicError{anthropicErrorType(e.status), e.message}, requestID})
}

type anthropicError struct {
	Type    string `json:"type"`
	Message string `json:"message"`
}

// anthropicErrorType names the error as the Messages API does for that status.
func anthropicErrorType(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "authentication_error"
	case http.StatusForbidden:
		return "permission_error"
	case http.StatusNotFound:
		return "not_found_error"
	case http.StatusRequestEntityTooLarge:
		return "request_too_large"
	case http.StatusTooManyRequests:
		return "rate_limit_error"
	case http.StatusGatewayTimeout:
		return "timeout_error"
	case statusOverloaded:
		return "overloaded_error"
	}
	if status >= 500 {
		return "api_error"
	}
	return "invalid_request_error"
}

func (d anthropic) begin(h *head) [][]byte {
	start := []byte("event: message_start\ndata: {\"type\":\"message_start\",\"message\":")
	start = append(start, marshal(h.message())...)
	block := []byte(anthropicThinkStart)
	if !h.reasoning {
		block = anthropicBlockStart(0)
	}
	events := [][]byte{append(start, "}\n\n"...), block, d.ping()}
	if h.roleOnly == roleOnlyOn {
		prefix, suffix := d.around(h, h.reasoning, true)
		events = append(events, []byte(prefix+suffix))
	}
	return events
}

func (h *head) message() message {
	return message{
		ID: "msg_" + h.id, Type: "message", Role: "assistant", Model: h.model,
		Content: []block{}, Usage: anthropicUsage{InputTokens: h.inputTokens},
	}
}

// anthropicBlockStart begins the block of text with that index.
func anthropicBlockStart(index int) []byte {
	b := []byte("event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":")
	return append(strconv.AppendInt(b, int64(index), 10), anthropicTextStart...)
}

func anthropicBlockStop(index int) []byte {
	b := []byte("event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":")
	return append(strconv.AppendInt(b, int64(index), 10), "}\n\n"...)
}

func (anthropic) around(h *head, reasoning, _ bool) (prefix, suffix string) {
	switch {
	case reasoning:
		return anthropicThinking, anthropicDeltaEnd
	case h.reasoning:
		return anthropicTextSecond, anthropicDeltaEnd
	}
	return anthropicText, anthropicDeltaEnd
}

func (anthropic) turn(h *head) [][]byte {
	signature := []byte(anthropicDelta + "0,\"delta\":{\"type\":\"signature_delta\",\"signature\":\"")
	signature = append(append(signature, h.signature()...), anthropicDeltaEnd...)
	return [][]byte{signature, anthropicBlockStop(0), anthropicBlockStart(1)}
}

// signature stands for the one that the real API puts below its thinking.
func (h *head) signature() string {
	return base64.StdEncoding.EncodeToString([]byte("signature of msg_" + h.id))
}

func (anthropic) end(h *head, sent usage, capped bool) [][]byte {
	index := 0
	if h.reasoning && sent.output > sent.reasoning {
		index = 1
	}
	delta := []byte("event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"")
	delta = append(delta, anthropicStopReason(capped)...)
	delta = append(delta, "\",\"stop_sequence\":null},\"usage\":{\"input_tokens\":"...)
	delta = strconv.AppendInt(delta, int64(h.inputTokens), 10)
	delta = append(delta, ",\"output_tokens\":"...)
	delta = strconv.AppendInt(delta, int64(sent.output), 10)
	return [][]byte{anthropicBlockStop(index), append(delta, "}}\n\n"...), []byte(anthropicStop)}
}

func anthropicStopReason(capped bool) string {
	if capped {
		return anthropicMaxTokens
	}
	return anthropicEndTurn
}

func (anthropic) ping() []byte           { return []byte(anthropicPing) }
func (anthropic) malformed(*head) []byte { return []byte(anthropicMalformed) }

func (anthropic) failure(kind string) []byte {
	if kind == "" {
		kind = "overloaded_error"
	}
	body := marshal(struct {
		Type  string         `json:"type"`
		Error anthropicError `json:"error"`
	}{"error", anthropicError{kind, failureMessage(kind)}})
	return slices.Concat([]byte("event: error\ndata: "), body, []byte("\n\n"))
}

func (anthropic) whole(h *head, reasoning, text string, sent usage, capped bool) []byte {
	m := h.message()
	m.Usage.OutputTokens = sent.output
	reason := anthropicStopReason(capped)
	m.StopReason = &reason
	if h.reasoning {
		m.Content = append(m.Content, block{Type: "thinking", Thinking: reasoning, Signature: h.signature()})
	}
	if sent.output > sent.reasoning {
		m.Content = append(m.Content, block{Type: "text", Text: &text})
	}
	return marshal(m)
}
