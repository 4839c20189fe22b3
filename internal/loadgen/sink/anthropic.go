package sink

import (
	"net/http"
	"strconv"
)

// modelName is the model that answers name.
const modelName = "loadgen-sink"

// statusOverloaded is the Messages API's own status.
const statusOverloaded = 529

// anthropic is the Messages API.
type anthropic struct{}

type anthropicUsage struct {
	InputTokens  int `json:"input_tokens,omitempty"`
	OutputTokens int `json:"output_tokens"`
}

type anthropicMessage struct {
	ID           string         `json:"id"`
	Type         string         `json:"type"`
	Role         string         `json:"role"`
	Model        string         `json:"model"`
	Content      []struct{}     `json:"content"`
	StopReason   *string        `json:"stop_reason"`
	StopSequence *string        `json:"stop_sequence"`
	Usage        anthropicUsage `json:"usage"`
}

func (anthropic) before(m *message) [][]byte {
	return [][]byte{
		serverEvent("message_start", struct {
			Type    string           `json:"type"`
			Message anthropicMessage `json:"message"`
		}{"message_start", anthropicMessage{
			ID: "msg_" + m.id, Type: "message", Role: "assistant", Model: modelName, Content: []struct{}{},
			Usage: anthropicUsage{InputTokens: m.input, OutputTokens: 1},
		}}),
		[]byte(`event: content_block_start` + "\n" +
			`data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}` + "\n\n"),
		[]byte("event: ping\ndata: {\"type\":\"ping\"}\n\n"),
	}
}

func (anthropic) token(b []byte, _ *message, text string) []byte {
	b = append(b, "event: content_block_delta\n"+`data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":`...)
	b = strconv.AppendQuote(b, text)
	return append(b, "}}\n\n"...)
}

func (anthropic) after(m *message) [][]byte {
	type delta struct {
		StopReason   string  `json:"stop_reason"`
		StopSequence *string `json:"stop_sequence"`
	}
	return [][]byte{
		[]byte("event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"),
		serverEvent("message_delta", struct {
			Type  string         `json:"type"`
			Delta delta          `json:"delta"`
			Usage anthropicUsage `json:"usage"`
		}{"message_delta", delta{StopReason: "end_turn"}, anthropicUsage{OutputTokens: m.output}}),
		[]byte("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"),
	}
}

func (anthropic) failure(status int) []byte {
	kind := "invalid_request_error"
	switch {
	case status == http.StatusUnauthorized:
		kind = "authentication_error"
	case status == http.StatusForbidden:
		kind = "permission_error"
	case status == http.StatusNotFound:
		kind = "not_found_error"
	case status == http.StatusRequestEntityTooLarge:
		kind = "request_too_large"
	case status == http.StatusTooManyRequests:
		kind = "rate_limit_error"
	case status == statusOverloaded:
		kind = "overloaded_error"
	case status >= http.StatusInternalServerError:
		kind = "api_error"
	}
	type failure struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	}
	return marshal(struct {
		Type  string  `json:"type"`
		Error failure `json:"error"`
	}{"error", failure{kind, reason(status)}})
}
