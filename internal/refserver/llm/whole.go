package llm

import (
	"context"
	"net/http"
)

// whole sends the response as one JSON message when its last token is due. Faults
// are those of a stream, as far as they make sense: an error event is an error
// status, and a stream that ends early or is malformed is half a message.
func (a *answer) whole(ctx context.Context, w http.ResponseWriter) (Outcome, error) {
	if a.head.reasoning {
		a.counts.gave(FaultReasoning)
	}
	thoughts, said := a.teller(), a.teller()
	var reasoning, text []byte
	var damage FaultKind
	var kind string // of an error
	for damage != FaultCut && damage != FaultErrorEvent {
		for f, due := a.nextStrike(); due; f, due = a.nextStrike() {
			switch f.Kind {
			case FaultStall:
				a.start = a.start.Add(f.For)
			case FaultEmpty:
			default:
				damage, kind = f.Kind, f.Type
			}
		}
		tokens, due, ok := a.schedule.next(a.thoughts)
		if !ok || damage == FaultCut || damage == FaultErrorEvent {
			break
		}
		if a.thoughts > 0 {
			reasoning = thoughts.append(reasoning, tokens)
		} else {
			text = said.append(text, tokens)
		}
		a.count(tokens, due)
	}
	if err := a.wait.until(ctx, a.start.Add(a.last)); err != nil {
		return "", err
	}
	switch damage {
	case FaultCut:
		return OutcomeCut, nil
	case FaultErrorEvent:
		failure := &apiError{status: statusOverloaded, message: failureMessage("overloaded_error")}
		if kind != "" {
			failure = &apiError{status: http.StatusInternalServerError, message: failureMessage(kind)}
		}
		failure.write(w, a.dialect, w.Header().Get(a.dialect.idHeader()))
		return OutcomeError, nil
	}
	a.chunks.tokens.Add(uint64(a.sent.output))
	body := a.dialect.whole(&a.head, string(reasoning), string(text), a.sent, a.schedule.capped)
	w.Header().Set("Content-Type", "application/json")
	outcome := OutcomeComplete
	switch damage {
	case FaultTruncate:
		outcome = OutcomeTruncated
		body = body[:len(body)/2]
	case FaultMalformed:
		body = body[:len(body)/2]
	}
	_, err := w.Write(body)
	return outcome, err
}
