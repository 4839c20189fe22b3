package functions

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/edgeload/edgeload/internal/refserver/edge"
	"github.com/edgeload/edgeload/internal/wire"
)

const (
	maxPromptBody = 1 << 20 // bytes of a request's body
	pipeBuffer    = 4 << 10 // bytes read from the upstream at once
)

// StreamAI is the guide's stream-ai: it takes {"prompt": …} by POST, asks the
// upstream for a stream of the answer and pipes that to the client, flushing
// every piece as it comes. The simulator's headers (wire.SimHeaders) are passed
// on.
//
// Where the guide falls short this does not follow it: an upstream error
// keeps its status, body and Retry-After instead of turning into 200; an
// unreachable upstream is 502 EDGE_FUNCTION_ERROR; a body without a prompt is
// 400; an upstream that breaks off cuts the client's stream too, so that it
// cannot be taken for complete; and a client that leaves stops the upstream.
func StreamAI(upstream *Upstream, log *slog.Logger) http.Handler {
	return &streamAI{upstream: upstream, log: log}
}

type streamAI struct {
	upstream *Upstream
	log      *slog.Logger
}

// ServeHTTP answers one prompt.
func (s *streamAI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !edge.AllowMethod(w, r, http.MethodPost) {
		return
	}
	prompt, err := readPrompt(w, r)
	if err != nil {
		edge.WriteError(w, http.StatusBadRequest, "", err.Error())
		return
	}
	resp, err := s.ask(r.Context(), prompt, r.Header)
	if err != nil {
		if r.Context().Err() == nil {
			s.log.Warn("upstream unreachable", "function", NameStreamAI, "error", err)
		}
		edge.WriteError(w, http.StatusBadGateway, edge.CodeFunctionError, "the upstream could not be reached")
		return
	}
	defer func() { _ = resp.Body.Close() }() // drops what is unread and, with it, the upstream's stream

	h := w.Header()
	if resp.StatusCode != http.StatusOK {
		copyHeaders(h, resp.Header, "Content-Type", "Retry-After", "Retry-After-Ms", "Request-Id")
		if resp.StatusCode >= http.StatusInternalServerError {
			h.Set(edge.HeaderErrorCode, edge.CodeFunctionError)
		}
	} else {
		h.Set("Content-Type", "text/event-stream")
		h.Set("Cache-Control", "no-cache")
		h.Set("Connection", "keep-alive")
		h.Set("Access-Control-Allow-Origin", "*")
		copyHeaders(h, resp.Header, "Request-Id")
	}
	w.WriteHeader(resp.StatusCode)
	if err := pipe(w, resp.Body); err != nil {
		if r.Context().Err() == nil {
			s.log.Warn("cutting a stream", "function", NameStreamAI, "error", err)
		}
		panic(http.ErrAbortHandler) // net/http's way to end an answer as broken off
	}
}

// readPrompt returns the prompt of the request's body, as the raw JSON that
// becomes the content of the one message: a string, or a list of content
// blocks.
func readPrompt(w http.ResponseWriter, r *http.Request) (json.RawMessage, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPromptBody))
	if err != nil {
		return nil, fmt.Errorf("read the request body: %w", err)
	}
	var req struct {
		Prompt json.RawMessage `json:"prompt"`
	}
	if err := json.Unmarshal(body, &req); err != nil {
		return nil, fmt.Errorf("the request body is not a JSON object: %w", err)
	}
	switch p := string(req.Prompt); {
	case p == "", p == "null", p == `""`, p == "[]":
		return nil, errors.New(`the request body has no prompt: want {"prompt": "…"}`)
	case p[0] != '"' && p[0] != '[':
		return nil, errors.New(`prompt: want a string or a list of content blocks`)
	}
	return req.Prompt, nil
}

// ask sends the guide's request to the upstream. ctx governs the whole answer,
// its body included.
func (s *streamAI) ask(ctx context.Context, prompt json.RawMessage, from http.Header) (*http.Response, error) {
	type message struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	}
	body, err := json.Marshal(struct {
		Model     string    `json:"model"`
		MaxTokens int       `json:"max_tokens"`
		Stream    bool      `json:"stream"`
		Messages  []message `json:"messages"`
	}{"claude-haiku-4-5", 1024, true, []message{{"user", prompt}}})
	if err != nil {
		return nil, fmt.Errorf("encode the upstream request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.upstream.messages, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make the upstream request: %w", err)
	}
	if s.upstream.apiKey != "" {
		req.Header.Set("X-Api-Key", s.upstream.apiKey)
	}
	req.Header.Set("Anthropic-Version", "2023-06-01")
	req.Header.Set("Content-Type", "application/json")
	copyHeaders(req.Header, from, wire.SimHeaders()...)
	return s.upstream.roundTrip(req)
}

// copyHeaders copies the named fields that are present.
func copyHeaders(to, from http.Header, names ...string) {
	for _, name := range names {
		if values := from.Values(name); len(values) > 0 {
			to[http.CanonicalHeaderKey(name)] = values
		}
	}
}

// pipe sends the headers, then copies from to w and flushes after every read.
func pipe(w http.ResponseWriter, from io.Reader) error {
	rc := http.NewResponseController(w)
	if err := rc.Flush(); err != nil {
		return fmt.Errorf("flush headers to the client: %w", err)
	}
	buf := make([]byte, pipeBuffer)
	for {
		n, rerr := from.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return fmt.Errorf("write to the client: %w", err)
			}
			if err := rc.Flush(); err != nil {
				return fmt.Errorf("flush to the client: %w", err)
			}
		}
		if rerr == io.EOF {
			return nil
		}
		if rerr != nil {
			return fmt.Errorf("read from the upstream: %w", rerr)
		}
	}
}
