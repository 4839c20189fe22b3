package sink

import (
	"net/http"
	"strconv"
)

// openAI is the Chat Completions API.
type openAI struct{}

// chunk begins the event of a message's chunk, up to its choices.
func (openAI) chunk(b []byte, m *message) []byte {
	b = append(append(b, `data: {"id":"chatcmpl-`...), m.id...)
	b = append(b, `","object":"chat.completion.chunk","created":`...)
	return append(strconv.AppendInt(b, m.created, 10), `,"model":"`+modelName+`","choices":`...)
}

func (d openAI) before(m *message) [][]byte {
	return [][]byte{append(d.chunk(nil, m), `[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}`+"\n\n"...)}
}

func (d openAI) token(b []byte, m *message, text string) []byte {
	b = append(d.chunk(b, m), `[{"index":0,"delta":{"content":`...)
	return append(strconv.AppendQuote(b, text), `},"finish_reason":null}]}`+"\n\n"...)
}

func (d openAI) after(m *message) [][]byte {
	usage := marshal(struct {
		PromptTokens     int `json:"prompt_tokens"`
		CompletionTokens int `json:"completion_tokens"`
		TotalTokens      int `json:"total_tokens"`
	}{m.input, m.output, m.input + m.output})
	return [][]byte{
		append(d.chunk(nil, m), `[{"index":0,"delta":{},"finish_reason":"stop"}]}`+"\n\n"...),
		append(append(append(d.chunk(nil, m), `[],"usage":`...), usage...), "}\n\n"...),
		[]byte("data: [DONE]\n\n"),
	}
}

func (openAI) failure(status int) []byte {
	kind := "invalid_request_error"
	switch {
	case status == http.StatusTooManyRequests:
		kind = "rate_limit_exceeded"
	case status >= http.StatusInternalServerError:
		kind = "server_error"
	}
	type failure struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	}
	return marshal(struct {
		Error failure `json:"error"`
	}{failure{Message: reason(status), Type: kind}})
}
