package llm

import (
	"context"
	"net/http"
	"time"
)

// answer is one response on its way out. What each chunk needs comes first and
// lies together: with thousands of streams it is not in the cache.
type answer struct {
	start    time.Time // that deadlines count from; a stall puts it off
	schedule schedule
	wait     waiter
	out      eventWriter
	sent     usage
	last     time.Duration // when the last chunk was due
	thoughts int           // tokens of reasoning that are not sent yet
	chunks   *shard        // where chunks are counted
	plan     plan
	pingAt   time.Time

	dialect dialect
	head    head
	stream  bool
	counts  *counts
}

// events sends the response as events, each token when it is due. An error means
// that the client has left.
func (a *answer) events(ctx context.Context, w http.ResponseWriter) (Outcome, error) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(http.StatusOK)
	a.out.begin(w, a.plan.split)
	a.announce()
	if err := a.out.flush(); err != nil { // there may be no event at once
		return "", err
	}
	if err := a.sendAll(a.dialect.begin(&a.head)); err != nil {
		return "", err
	}
	if outcome, err := a.tokens(ctx); outcome != "" || err != nil {
		return outcome, err
	}
	return OutcomeComplete, a.sendAll(a.dialect.end(&a.head, a.sent, a.schedule.capped))
}

// announce counts the faults that are of a whole stream.
func (a *answer) announce() {
	a.pingAt = a.start.Add(a.plan.ping)
	for kind, given := range map[FaultKind]bool{
		FaultReasoning: a.head.reasoning,
		FaultRoleOnly:  a.plan.roleOnly != roleOnlyDefault,
		FaultSplit:     a.plan.split,
		FaultPing:      a.plan.ping > 0,
	} {
		if given {
			a.counts.gave(kind)
		}
	}
}

// tokens sends reasoning and text. An outcome is a fault's that ended the stream.
func (a *answer) tokens(ctx context.Context) (Outcome, error) {
	if !a.head.reasoning {
		return a.part(ctx, false, true)
	}
	if outcome, err := a.part(ctx, true, true); outcome != "" || err != nil {
		return outcome, err
	}
	if a.schedule.left == 0 { // max_tokens
		return "", nil
	}
	if err := a.sendAll(a.dialect.turn(&a.head)); err != nil {
		return "", err
	}
	return a.part(ctx, false, false)
}

// part sends the reasoning or the text; first, where the stream's first chunk is
// in it.
func (a *answer) part(ctx context.Context, reasoning, first bool) (Outcome, error) {
	said := a.teller()
	prefix, suffix := a.dialect.around(&a.head, reasoning, first)
	for {
		if len(a.plan.strikes) > 0 {
			if outcome, err := a.strike(ctx, prefix, suffix); outcome != "" || err != nil {
				return outcome, err
			}
		}
		if reasoning && a.thoughts == 0 {
			return "", nil
		}
		tokens, due, ok := a.schedule.next(a.thoughts)
		if !ok {
			return "", nil
		}
		deadline := a.start.Add(due)
		if err := a.pings(ctx, deadline); err != nil {
			return "", err
		}
		a.out.set(prefix, &said, tokens, suffix) // beforehand, so that little is left to do when it is due
		if err := a.wait.until(ctx, deadline); err != nil {
			return "", err
		}
		sent, err := a.out.send()
		if err != nil {
			return "", err
		}
		a.count(tokens, due)
		a.chunks.sent(tokens, sent.Sub(deadline))
		if first {
			first = false
			prefix, suffix = a.dialect.around(&a.head, reasoning, false)
		}
	}
}

// count keeps the account of what was sent, in an answer of any form.
func (a *answer) count(tokens int, due time.Duration) {
	a.last = due
	a.sent.output += tokens
	if a.thoughts > 0 {
		a.thoughts -= tokens
		a.sent.reasoning += tokens
	}
}

// strike gives the faults that strike after the tokens sent so far.
func (a *answer) strike(ctx context.Context, prefix, suffix string) (Outcome, error) {
	for f, due := a.nextStrike(); due; f, due = a.nextStrike() {
		var event []byte
		var outcome Outcome
		switch f.Kind {
		case FaultCut:
			return OutcomeCut, nil
		case FaultTruncate:
			return OutcomeTruncated, nil
		case FaultErrorEvent:
			event, outcome = a.dialect.failure(f.Type), OutcomeErrorEvent
		case FaultMalformed:
			event = a.dialect.malformed(&a.head)
		case FaultEmpty:
			event = []byte(prefix + suffix)
		case FaultStall:
			a.start = a.start.Add(f.For)
			if err := a.wait.until(ctx, a.start.Add(a.last)); err != nil {
				return "", err
			}
			for a.plan.ping > 0 && a.pingAt.Before(a.start.Add(a.last)) {
				a.pingAt = a.pingAt.Add(a.plan.ping)
			}
			continue
		}
		if err := a.out.sendEvent(event); outcome != "" || err != nil {
			return outcome, err
		}
	}
	return "", nil
}

// nextStrike takes the next fault that is due, and counts it.
func (a *answer) nextStrike() (f Fault, due bool) {
	if len(a.plan.strikes) == 0 || a.plan.strikes[0].After > a.sent.output {
		return Fault{}, false
	}
	f, a.plan.strikes = a.plan.strikes[0], a.plan.strikes[1:]
	a.counts.gave(f.Kind)
	return f, true
}

// pings sends the pings that are due before a chunk is.
func (a *answer) pings(ctx context.Context, deadline time.Time) error {
	for a.plan.ping > 0 && a.pingAt.Before(deadline) {
		if err := a.wait.until(ctx, a.pingAt); err != nil {
			return err
		}
		if err := a.out.sendEvent(a.dialect.ping()); err != nil {
			return err
		}
		a.pingAt = a.pingAt.Add(a.plan.ping)
	}
	return nil
}

// teller begins a text anew.
func (a *answer) teller() teller {
	if a.plan.split {
		return teller{text: accented}
	}
	return teller{text: prose}
}

func (a *answer) sendAll(events [][]byte) error {
	for _, event := range events {
		if err := a.out.sendEvent(event); err != nil {
			return err
		}
	}
	return nil
}
