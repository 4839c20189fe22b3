package llm

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/edgeload/edgeload/internal/wire"
)

// The fixed parts of the Messages stream.
const (
	eventBlockStart = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n"
	eventPing       = "event: ping\ndata: {\"type\": \"ping\"}\n\n"
	deltaPrefix     = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\""
	deltaSuffix     = "\"}}\n\n"
	eventBlockStop  = "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
	eventStop       = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"

	stopEndTurn   = "end_turn"
	stopMaxTokens = "max_tokens"
)

// message is the JSON of a whole response, and of the head of a stream.
type message struct {
	ID           string  `json:"id"`
	Type         string  `json:"type"`
	Role         string  `json:"role"`
	Model        string  `json:"model"`
	Content      []block `json:"content"`
	StopReason   *string `json:"stop_reason"`
	StopSequence *string `json:"stop_sequence"`
	Usage        usage   `json:"usage"`
}

type block struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

type usage struct {
	InputTokens  int `json:"input_tokens"`
	OutputTokens int `json:"output_tokens"`
}

func newMessage(id, model string, inputTokens int) message {
	return message{
		ID: id, Type: "message", Role: "assistant", Model: model,
		Content: []block{}, Usage: usage{InputTokens: inputTokens},
	}
}

// appendMessageStart appends the first event of a stream.
func appendMessageStart(b []byte, m message) []byte {
	body, err := json.Marshal(m)
	if err != nil { // strings and integers cannot fail to encode
		return b
	}
	b = append(b, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":"...)
	b = append(b, body...)
	return append(b, "}\n\n"...)
}

// appendMessageDelta appends the event that carries why the message ended and
// how many tokens were sent in all.
func appendMessageDelta(b []byte, stopReason string, u usage) []byte {
	b = append(b, "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\""...)
	b = append(b, stopReason...)
	b = append(b, "\",\"stop_sequence\":null},\"usage\":{\"input_tokens\":"...)
	b = strconv.AppendInt(b, int64(u.InputTokens), 10)
	b = append(b, ",\"output_tokens\":"...)
	b = strconv.AppendInt(b, int64(u.OutputTokens), 10)
	return append(b, "}}\n\n"...)
}

// eventWriter sends one event at a time, each behind its stamp. It belongs to
// one request and reuses its buffer.
type eventWriter struct {
	w   http.ResponseWriter
	rc  *http.ResponseController
	buf []byte
}

func newEventWriter(w http.ResponseWriter) *eventWriter {
	return &eventWriter{w: w, rc: http.NewResponseController(w)}
}

// send writes stamp and event in one write, flushes, and returns the instant
// in the stamp.
func (e *eventWriter) send(event []byte) (time.Time, error) {
	now := time.Now()
	e.buf = append(wire.AppendStamp(e.buf[:0], now), event...)
	if _, err := e.w.Write(e.buf); err != nil {
		return now, err
	}
	return now, e.rc.Flush()
}
