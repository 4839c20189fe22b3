package llm

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/edgeload/edgeload/internal/wire"
)

// Options sets up a Simulator; the zero value works.
type Options struct {
	Timing Timing // zero fields take the defaults stated there
	Alarm  *Alarm // makes waits precise while it runs; nil: Go's timers alone
}

// Simulator is an http.Handler for wire.PathMessages and a
// prometheus.Collector. It is safe for concurrent use.
type Simulator struct {
	timing  Timing
	alarm   *Alarm
	metrics *metrics
	number  atomic.Uint64 // of the last request, from 1
}

// New returns a simulator.
func New(opts Options) *Simulator {
	return &Simulator{timing: opts.Timing.OrDefault(), alarm: opts.Alarm, metrics: newMetrics()}
}

// ServeHTTP answers one Messages request. As soon as the client leaves it ends
// with http.ErrAbortHandler.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	number := s.number.Add(1)
	s.metrics.inFlight.Inc()
	defer s.metrics.inFlight.Dec()

	requestID := fmt.Sprintf("req_%016x", number)
	w.Header().Set("Request-Id", requestID)
	a, fault := s.accept(w, r, start, number)
	if fault != nil {
		s.metrics.requests.WithLabelValues(outcomeError).Inc()
		fault.write(w, requestID)
		return
	}
	defer s.alarm.drop(&a.alert)
	defer a.wake.Stop()

	answer := a.whole
	if a.req.Stream {
		answer = a.stream
	}
	if err := answer(r.Context(), w); err != nil { // the one reason: nobody reads any more
		s.metrics.requests.WithLabelValues(outcomeAborted).Inc()
		panic(http.ErrAbortHandler) // net/http's way to end an answer as broken off
	}
	s.metrics.requests.WithLabelValues(outcomeComplete).Inc()
}

// accept checks a request and draws its schedule.
func (s *Simulator) accept(w http.ResponseWriter, r *http.Request, start time.Time, number uint64) (*answer, *apiError) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return nil, &apiError{http.StatusMethodNotAllowed, "method not allowed: want POST"}
	}
	if fault := askedStatus(wire.HeaderSimStatus, r.Header.Get(wire.HeaderSimStatus)); fault != nil {
		return nil, fault
	}
	timing, rng, err := s.timing.forRequest(r.Header, number)
	if err != nil {
		return nil, invalid("%v", err)
	}
	req, fault := readRequest(w, r)
	if fault != nil {
		return nil, fault
	}
	a := &answer{
		req:      req,
		head:     newMessage(fmt.Sprintf("msg_%016x", number), req.Model, req.inputTokens),
		start:    start,
		schedule: timing.schedule(rng, req.MaxTokens),
		metrics:  s.metrics,
		alarm:    s.alarm,
		alert:    alert{index: -1},
		wake:     time.NewTimer(0),
	}
	return a, nil
}

// answer is one response on its way out.
type answer struct {
	req      *request
	head     message
	start    time.Time
	schedule *schedule
	teller   teller
	metrics  *metrics

	alarm *Alarm
	alert alert
	wake  *time.Timer
}

// stream sends the response as events, each token when it is due.
func (a *answer) stream(ctx context.Context, w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(http.StatusOK)
	events := newEventWriter(w)
	for _, event := range [][]byte{appendMessageStart(nil, a.head), []byte(eventBlockStart), []byte(eventPing)} {
		if _, err := events.send(event); err != nil {
			return err
		}
	}

	var event []byte
	for {
		tokens, due, ok := a.schedule.next()
		if !ok {
			break
		}
		event = a.teller.append(append(event[:0], deltaPrefix...), tokens)
		event = append(event, deltaSuffix...)
		deadline := a.start.Add(due)
		if err := a.until(ctx, deadline); err != nil {
			return err
		}
		sent, err := events.send(event)
		if err != nil {
			return err
		}
		a.head.Usage.OutputTokens += tokens
		a.metrics.sent(tokens, sent.Sub(deadline))
	}

	event = appendMessageDelta(event[:0], a.stopReason(), a.head.Usage)
	for _, event := range [][]byte{[]byte(eventBlockStop), event, []byte(eventStop)} {
		if _, err := events.send(event); err != nil {
			return err
		}
	}
	return nil
}

// whole sends the response as one JSON message when its last token is due.
func (a *answer) whole(ctx context.Context, w http.ResponseWriter) error {
	var text []byte
	var last time.Duration
	for {
		tokens, due, ok := a.schedule.next()
		if !ok {
			break
		}
		text = a.teller.append(text, tokens)
		a.head.Usage.OutputTokens += tokens
		last = due
	}
	if err := a.until(ctx, a.start.Add(last)); err != nil {
		return err
	}
	a.metrics.tokens.Add(float64(a.head.Usage.OutputTokens))
	reason := a.stopReason()
	a.head.StopReason = &reason
	a.head.Content = []block{{Type: "text", Text: string(text)}}
	body, err := json.Marshal(a.head)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, err = w.Write(body)
	return err
}

func (a *answer) stopReason() string {
	if a.schedule.capped {
		return stopMaxTokens
	}
	return stopEndTurn
}

// until waits for the deadline or the end of ctx, whichever comes first; a
// deadline that has passed returns at once.
func (a *answer) until(ctx context.Context, deadline time.Time) error {
	wait := time.Until(deadline)
	if wait <= 0 {
		return ctx.Err()
	}
	a.alarm.set(&a.alert, deadline)
	a.wake.Reset(wait)
	select {
	case <-a.wake.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
