package llm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// maxBody is the Messages API's limit on a request's body, in bytes.
const maxBody = 32 << 20

// readRequest reads and checks the body. It reads to the end, so that the
// server notices when the client leaves.
func readRequest(w http.ResponseWriter, r *http.Request, d dialect) (*request, *apiError) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, &apiError{status: http.StatusRequestEntityTooLarge, message: fmt.Sprintf("request exceeds the maximum size of %d bytes", maxBody)}
	}
	if err != nil {
		return nil, invalid("read the request body: %v", err)
	}
	return d.read(body)
}

// turn is one message of a conversation, in either form.
type turn struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

// estimateTokens is the rule for the input tokens of a usage: a token for every
// four bytes of the UTF-8 text of system and messages, rounded up, at least one.
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
