package functions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/edgeload/edgeload/internal/refserver/edge"
	"github.com/edgeload/edgeload/internal/refserver/llm"
)

const (
	maxPromptBody = 1 << 20 // bytes of a request's body
	maxAnswer     = 1024    // tokens that are asked for, as in the guide

	// QueryAPI in stream-ai's query names the API to ask, as llm.ParseAPI reads it.
	QueryAPI = "api"

	modelAnthropic = "claude-haiku-4-5" // the guide's
	modelOpenAI    = "gpt-5-mini"
)

// answeredHeaders are what a client gets to see of an upstream's header.
var answeredHeaders = []string{"Content-Type", "Retry-After", "Retry-After-Ms", "Request-Id", "X-Request-Id"}

// StreamAIOptions sets up stream-ai.
type StreamAIOptions struct {
	API       llm.API  // asked where a request names none
	Anthropic Upstream // nil: a request for it is answered 400
	OpenAI    Upstream // nil: a request for it is answered 400

	AnthropicModel string // empty: the guide's, claude-haiku-4-5
	OpenAIModel    string // empty: gpt-5-mini

	Log *slog.Logger // nil: discard
}

// StreamAI is the guide's stream-ai: it takes {"prompt": …} by POST, asks the
// upstream for a stream of the answer and pipes that to the client, flushing
// every piece as it comes. ?api=anthropic or ?api=openai names the upstream's API,
// in whose form the client gets the stream. The simulator's headers
// (wire.SimHeaders) are passed on.
//
// Where the guide falls short this does not follow it: an upstream error
// keeps its status, body and Retry-After instead of turning into 200; an
// unreachable upstream is 502 EDGE_FUNCTION_ERROR; a body without a prompt is
// 400; an upstream that breaks off cuts the client's stream too, so that it
// cannot be taken for complete; and a client that leaves stops the upstream.
func StreamAI(opts StreamAIOptions) http.Handler {
	if opts.AnthropicModel == "" {
		opts.AnthropicModel = modelAnthropic
	}
	if opts.OpenAIModel == "" {
		opts.OpenAIModel = modelOpenAI
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	return &streamAI{StreamAIOptions: opts}
}

type streamAI struct {
	StreamAIOptions
}

// ServeHTTP answers one prompt.
func (s *streamAI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !edge.AllowMethod(w, r, http.MethodPost) {
		return
	}
	upstream, body, err := s.request(w, r)
	if err != nil {
		edge.WriteError(w, http.StatusBadRequest, "", err.Error())
		return
	}
	answer := newUpstreamAnswer(w)
	defer s.logCut(r.Context(), answer)
	if err := upstream.Answer(r.Context(), answer, body, r.Header); err != nil {
		if r.Context().Err() == nil {
			s.Log.Warn("upstream unreachable", "function", NameStreamAI, "error", err)
		}
		edge.WriteError(w, http.StatusBadGateway, edge.CodeFunctionError, "the upstream could not be reached")
	}
	answer.done = true
}

// logCut says that a stream broke off although its client was there to read it.
func (s *streamAI) logCut(ctx context.Context, answer *upstreamAnswer) {
	if !answer.done && ctx.Err() == nil {
		s.Log.Warn("cutting a stream, for the upstream broke off", "function", NameStreamAI, "status", answer.status)
	}
}

// request reads a prompt and returns whom to ask and what to send.
func (s *streamAI) request(w http.ResponseWriter, r *http.Request) (Upstream, []byte, error) {
	api := s.API
	if r.URL.RawQuery != "" {
		if name := r.URL.Query().Get(QueryAPI); name != "" {
			var err error
			if api, err = llm.ParseAPI(name); err != nil {
				return nil, nil, err
			}
		}
	}
	upstream := s.Anthropic
	if api == llm.OpenAI {
		upstream = s.OpenAI
	}
	if upstream == nil {
		return nil, nil, fmt.Errorf("no upstream with the API %s is set up", api)
	}
	prompt, err := readPrompt(w, r)
	if err != nil {
		return nil, nil, err
	}
	body, err := s.encode(api, prompt)
	return upstream, body, err
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

// encode makes the upstream's request: with Anthropic's API the guide's own.
func (s *streamAI) encode(api llm.API, prompt json.RawMessage) ([]byte, error) {
	type message struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	}
	type streamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	}
	request := struct {
		Model               string         `json:"model"`
		MaxTokens           int            `json:"max_tokens,omitempty"`
		MaxCompletionTokens int            `json:"max_completion_tokens,omitempty"`
		Stream              bool           `json:"stream"`
		StreamOptions       *streamOptions `json:"stream_options,omitempty"`
		Messages            []message      `json:"messages"`
	}{Model: s.AnthropicModel, MaxTokens: maxAnswer, Stream: true, Messages: []message{{"user", prompt}}}
	if api == llm.OpenAI {
		request.Model, request.MaxTokens, request.MaxCompletionTokens = s.OpenAIModel, 0, maxAnswer
		request.StreamOptions = &streamOptions{IncludeUsage: true}
	}
	body, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("encode the upstream request: %w", err)
	}
	return body, nil
}
