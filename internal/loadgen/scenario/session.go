package scenario

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// A Session is a user who asks several times, with time to think between the end of
// an answer and the next question. Each question is an arrival of its own; one that
// fails ends the session.
type Session struct {
	// Turns are how many questions a session has; at least 1.
	Turns CountDist `yaml:"turns" json:"turns"`
	// Think is the pause between the end of an answer and the next question;
	// default 0s.
	Think TimeDist `yaml:"think,omitempty" json:"think,omitzero"`
}

// TurnsOf is how many questions session number n of workload has: the same for the
// same seed.
func (s *Session) TurnsOf(seed uint64, workload string, n uint64) int {
	return max(1, s.Turns.Draw(rand.New(draws(seed, hashOf("turns", workload), n))))
}

// ThinkBefore is the pause before turn, from 1, of that session.
func (s *Session) ThinkBefore(seed uint64, workload string, n uint64, turn int) time.Duration {
	return max(0, s.Think.Draw(rand.New(draws(seed, hashOf("think", workload), mix(n)+uint64(turn)))))
}

// A Turn is what a template sees of an arrival's place in its session.
type Turn struct {
	Session uint64 // its number in the workload
	Turn    int    // from 0
	// Keeps says that answers are kept, and so there is a conversation.
	Keeps bool
	// Before is the conversation so far, without this turn's question.
	Before []Message
}

// A Message is one part of a conversation.
type Message struct {
	// Role is user or assistant.
	Role string `json:"role"`
	// Content is the question, or the answer that the target gave.
	Content string `json:"content"`
}

// Roles of messages.
const (
	RoleUser      = "user"
	RoleAssistant = "assistant"
)

var errNoSession = fmt.Errorf("no session: the workload's load has none")

var errNoMessages = fmt.Errorf("no messages: only a workload of protocol %s keeps the answers of its sessions", SSE)

// Turn is the place of the question in its session, from 0.
func (d *Data) Turn() (int, error) {
	if d.InSession == nil {
		return 0, errNoSession
	}
	return d.InSession.Turn, nil
}

// Session names the arrival's session, differently in every run.
func (d *Data) Session() (string, error) {
	if d.InSession == nil {
		return "", errNoSession
	}
	return ArrivalID(hashOf("session", d.RunID, d.Workload), d.InSession.Session), nil
}

// Messages is the conversation so far, which ends with this turn's question, the
// Prompt.
func (d *Data) Messages() ([]Message, error) {
	if d.InSession == nil {
		return nil, errNoSession
	}
	if !d.InSession.Keeps {
		return nil, errNoMessages
	}
	all := make([]Message, 0, len(d.InSession.Before)+1)
	return append(append(all, d.InSession.Before...), Message{RoleUser, d.Prompt()}), nil
}
