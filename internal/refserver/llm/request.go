package llm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// maxBody is the real API's limit on a request's body, in bytes.
const maxBody = 32 << 20

// request is what the simulator reads of a Messages request.
type request struct {
	Model     string          `json:"model"`
	MaxTokens int             `json:"max_tokens"`
	Stream    bool            `json:"stream"`
	System    json.RawMessage `json:"system"`
	Messages  []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	} `json:"messages"`

	inputTokens int
}

// readRequest reads and checks the body. It reads to the end, so that the
// server notices when the client leaves.
func readRequest(w http.ResponseWriter, r *http.Request) (*request, *apiError) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, &apiError{http.StatusRequestEntityTooLarge, fmt.Sprintf("request exceeds the maximum size of %d bytes", maxBody)}
	}
	if err != nil {
		return nil, invalid("read the request body: %v", err)
	}
	req := new(request)
	if err := json.Unmarshal(body, req); err != nil {
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
	req.inputTokens = estimateTokens(size)
	return req, nil
}

// estimateTokens is the rule for usage.input_tokens: a token for every four
// bytes of the UTF-8 text of system and messages, rounded up, at least one.
func estimateTokens(bytes int) int { return max((bytes+3)/4, 1) }

// textSize returns the length in bytes of a content's text: of the string, or
// of the text blocks in the list.
func textSize(content json.RawMessage) (int, error) {
	if len(content) == 0 {
		return 0, nil
	}
	var text string
	if json.Unmarshal(content, &text) == nil {
		return len(text), nil
	}
	var blocks []struct {
		Text string `json:"text"`
	}
	if err := json.Unmarshal(content, &blocks); err != nil {
		return 0, errors.New("want a string or a list of content blocks")
	}
	size := 0
	for _, b := range blocks {
		size += len(b.Text)
	}
	return size, nil
}
