package driver

import (
	"strings"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

const (
	// maxConversation bounds what is kept of one session's questions and answers, in
	// bytes: beyond it the oldest go.
	maxConversation = 1 << 20
	// maxAnswer bounds what is kept of one answer, in bytes.
	maxAnswer = 256 << 10
)

// A conversation is what a session has said so far. It belongs to the session's
// turn, of which there is one at a time.
type conversation struct {
	messages []scenario.Message
	size     int // bytes of their content
}

// conversationOf is what the session of a has said so far; nothing in its first turn.
func conversationOf(a engine.Arrival) *conversation {
	if c, ok := a.Session.Keep.(*conversation); ok {
		return c
	}
	return new(conversation)
}

// add appends a question and its answer, and reports how many old messages had to go
// for them.
func (c *conversation) add(question, answer string) (gone int) {
	c.messages = append(c.messages, scenario.Message{Role: scenario.RoleUser, Content: question},
		scenario.Message{Role: scenario.RoleAssistant, Content: answer})
	c.size += len(question) + len(answer)
	for ; c.size > maxConversation && gone < len(c.messages); gone += 2 {
		c.size -= len(c.messages[gone].Content) + len(c.messages[gone+1].Content)
	}
	c.messages = c.messages[gone:]
	return gone
}

// keepsAnswers reports whether a template of w asks for the conversation.
func keepsAnswers(w *scenario.Workload) bool {
	if w.Load.Session == nil || w.Protocol != scenario.SSE || w.Request == nil {
		return false
	}
	const field = ".Messages"
	for _, text := range w.Request.Headers {
		if strings.Contains(text, field) {
			return true
		}
	}
	return strings.Contains(w.Request.Path, field) || strings.Contains(w.Request.Body, field)
}

// remember keeps the answer to a for the later turns of its session, and reports how
// many old messages had to go for it.
func (h *requests) remember(run *engine.Run, a engine.Arrival, answer []byte) (gone int) {
	c := conversationOf(a)
	gone = c.add(h.data(run, a).Prompt(), string(answer))
	a.Session.Keep = c
	return gone
}
